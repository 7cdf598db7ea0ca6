//! Which codings are built in, and which of them a response says it has.

use std::sync::LazyLock;

use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue};

#[cfg(feature = "brotli")]
use super::brotli::Brotli;
use super::decoder::Decoder;
#[cfg(feature = "deflate")]
use super::flate::Deflate;
#[cfg(feature = "gzip")]
use super::flate::Gzip;
#[cfg(feature = "zstd")]
use super::zstd::Zstd;

/// A coding that is built in.
#[derive(Debug)]
pub(super) struct Coding {
    /// As in IANA's registry.
    pub(super) name: &'static str,
    pub(super) decoder: fn() -> Box<dyn Decoder>,
}

/// In the order in which they are asked for, which is that of browsers.
const CODINGS: &[Coding] = &[
    #[cfg(feature = "gzip")]
    Coding {
        name: "gzip",
        decoder: Gzip::boxed,
    },
    #[cfg(feature = "deflate")]
    Coding {
        name: "deflate",
        decoder: Deflate::boxed,
    },
    #[cfg(feature = "brotli")]
    Coding {
        name: "br",
        decoder: Brotli::boxed,
    },
    #[cfg(feature = "zstd")]
    Coding {
        name: "zstd",
        decoder: Zstd::boxed,
    },
];

/// How many codings one upon the other are taken for meant.
const MOST: usize = 4;

/// The `Accept-Encoding` of requests, if any coding is built in.
pub(crate) fn accept_encoding() -> Option<&'static HeaderValue> {
    // Made of a static string: clones of it count no references.
    static NAMES: LazyLock<HeaderValue> = LazyLock::new(|| {
        let names: Vec<_> = CODINGS.iter().map(|coding| coding.name).collect();
        HeaderValue::from_static(names.join(", ").leak())
    });
    (!CODINGS.is_empty()).then(|| &*NAMES)
}

/// The codings of a body in the order in which they were applied. `None`: there are none, or one that
/// is not built in, or too many.
pub(super) fn of(headers: &HeaderMap) -> Option<Vec<&'static Coding>> {
    if CODINGS.is_empty() || !headers.contains_key(CONTENT_ENCODING) {
        return None;
    }
    let mut codings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let names = value.to_str().ok()?.split(',').map(str::trim);
        // An empty element of a list is ignored (RFC 9110 §5.6.1.2).
        for name in names.filter(|name| !name.is_empty() && !is(name, "identity")) {
            codings.push(named(name)?);
        }
    }
    (!codings.is_empty() && codings.len() <= MOST).then_some(codings)
}

fn named(name: &str) -> Option<&'static Coding> {
    // RFC 9110 §8.4.1.3
    let name = if is(name, "x-gzip") { "gzip" } else { name };
    CODINGS.iter().find(|coding| is(name, coding.name))
}

fn is(name: &str, other: &str) -> bool {
    name.eq_ignore_ascii_case(other)
}
