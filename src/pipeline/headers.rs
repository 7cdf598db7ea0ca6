//! Which headers go on with a redirected request.

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};

/// Leaves out what describes a body that goes on no longer (RFC 9110 §15.4).
pub(super) fn leave_payload(headers: &mut HeaderMap) {
    retain(headers, |name| !is_of_payload(name));
}

/// Leaves out what only the origin that the request was made for is told.
pub(super) fn leave_origin(headers: &mut HeaderMap) {
    retain(headers, goes_anywhere);
}

/// Leaves out what never goes to another origin, however much it is trusted.
pub(super) fn leave_trusted_origin(headers: &mut HeaderMap) {
    retain(headers, |name| !matches!(name, "cookie" | "host"));
}

fn is_of_payload(name: &str) -> bool {
    let of_message = matches!(
        name,
        "transfer-encoding" | "trailer" | "expect" | "digest" | "repr-digest" | "last-modified"
    );
    of_message || name.starts_with("content-")
}

/// Whether the header is of no use to a thief, and the request would be another without it.
fn goes_anywhere(name: &str) -> bool {
    let is_plain = matches!(
        name,
        "accept"
            | "accept-encoding"
            | "accept-language"
            | "user-agent"
            | "range"
            | "cache-control"
            | "traceparent"
            | "tracestate"
    );
    is_plain || name.starts_with("if-") || name.starts_with("content-")
}

/// Puts headers in place of those of the same names.
pub(crate) fn replace(headers: &mut HeaderMap, others: HeaderMap) {
    retain(headers, |name| !others.contains_key(name));
    headers.extend(others);
}

/// Marks credentials as sensitive, whoever brought them: then nobody's `Debug` shows them.
pub(crate) fn mark_sensitive(headers: &mut HeaderMap) {
    for (name, value) in headers {
        if matches!(*name, AUTHORIZATION | PROXY_AUTHORIZATION | COOKIE) {
            value.set_sensitive(true);
        }
    }
}

/// In their order, which `HeaderMap::remove` does not keep; names come in lower case.
pub(crate) fn retain(headers: &mut HeaderMap, stays: impl Fn(&str) -> bool) {
    if headers.keys().all(|name| stays(name.as_str())) {
        return;
    }
    let mut left = HeaderMap::with_capacity(headers.keys_len());
    for (name, value) in &*headers {
        if stays(name.as_str()) {
            left.append(name, value.clone());
        }
    }
    *headers = left;
}
