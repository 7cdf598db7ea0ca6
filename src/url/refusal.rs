//! Why a URL is refused: no error shows a query, a fragment or what may be user info.

use url::{ParseError, Url};

use crate::error::{BoxError, Error, Result};

/// The longest URI that `http::Uri` holds, in bytes.
pub(super) const MAX_LEN: usize = u16::MAX as usize - 1;

/// The error for a relative string where no base is set.
pub(crate) fn no_base(relative: &str) -> Error {
    let shown = shown(relative);
    Error::url_invalid(format!("{shown:?} is relative and no base_url is set"))
}

/// Refuses control characters, some of which `url::Url` encodes, and others it leaves out: a line end in a
/// URL is an attempt at something, or a mistake.
pub(super) fn check_controls(input: &str) -> Result<()> {
    let Some(at) = input.bytes().position(|byte| byte.is_ascii_control()) else {
        return Ok(());
    };
    let code = input.as_bytes()[at];
    Err(Error::url_invalid(format!(
        "the URL has the control character U+{code:04X} at byte {at}"
    )))
}

/// Refuses an http URL that does not have two slashes before its host: browsers take any number of them, so
/// that `http:users` and `http:///users` would be of the host `users`, which nobody means. RFC 9110 §4.2.1
/// has it that a URL without a host is to be rejected.
pub(super) fn check_slashes(input: &str, url: &Url) -> Result<()> {
    let after_scheme = input.split_once(':').map_or("", |(_, rest)| rest);
    let is_slash = |c: &char| matches!(c, '/' | '\\');
    let slashes = after_scheme.chars().take_while(is_slash).count();
    if matches!(url.scheme(), "http" | "https") && slashes != 2 {
        return Err(Error::url_invalid(
            "the URL does not have `//` between its scheme and its host",
        ));
    }
    Ok(())
}

pub(super) fn not_http(url: &Url) -> Error {
    // `user:password@host` has a scheme, too.
    if !url.has_authority() && url.as_str().contains('@') {
        return Error::url_invalid("the URL's scheme is neither http nor https");
    }
    let scheme = url.scheme();
    let hint = if url.has_authority() {
        ""
    } else {
        " (before a host goes `http://`, before a path with a colon `./`)"
    };
    Error::url_invalid(format!(
        "the URL's scheme {scheme:?} is neither http nor https{hint}"
    ))
}

/// Names the host and port at which `url::Url` gave up: nothing else can be wrong.
pub(super) fn unparsable(input: &str, why: ParseError) -> Error {
    if why == ParseError::EmptyHost {
        return Error::url_invalid("the URL has no host");
    }
    let rest = input.split_once(':').map_or(input, |(_, rest)| rest);
    let rest = rest.trim_start_matches(['/', '\\']);
    let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    // An `@` further on: the authority may be half of a password with a slash in it.
    if after.contains('@') {
        return Error::url_invalid(format!("the URL does not parse: {why}"));
    }
    let mut host = authority.rsplit('@').next().unwrap_or_default();
    if let Some((name, port)) = host.rsplit_once(':')
        && !port.bytes().all(|byte| byte.is_ascii_digit())
        && why == ParseError::InvalidPort
    {
        // A forgotten `@` makes a port of a password, too.
        host = name;
    }
    Error::url_invalid(format!("the URL does not parse: {why} in {host:?}"))
}

pub(super) fn not_a_uri(why: impl Into<BoxError>) -> Error {
    Error::url_invalid("the URL holds characters that HTTP cannot send").with_source(why)
}

pub(super) fn too_long() -> Error {
    Error::url_invalid(format!("the URL is longer than {MAX_LEN} bytes"))
}

/// What an error may show of `input`, which has no scheme or is normal.
pub(crate) fn shown(input: &str) -> &str {
    // With an `@`, all but a plain path might hold a password, or the first half of one.
    let is_path = matches!(input.as_bytes(), [b'/', first, ..] if first.is_ascii_alphanumeric());
    if !is_path && input.contains('@') {
        return "…";
    }
    before_query(input)
}

pub(super) fn before_query(input: &str) -> &str {
    input.split(['?', '#']).next().unwrap_or_default()
}
