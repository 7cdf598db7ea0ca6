//! A request, and the message that goes on the wire for it.

use http::header::{ACCEPT_ENCODING, HOST, RANGE, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use tokio::time::Instant;

use crate::body::Body;
use crate::config::Timeouts;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request: what it brings itself.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) extensions: Extensions,
    pub(crate) body: Body,
    /// The caller says that doing it twice does no harm, whatever the method.
    pub(crate) idempotent: bool,
}

/// Where a request goes, and what its session adds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    /// Absolute, normalised.
    pub(crate) uri: &'a Uri,
    /// What the request gets unless it has it.
    pub(crate) default_headers: &'a HeaderMap,
    /// The codings to ask for, unless the request says which itself. A range is asked for as it is:
    /// a part of something coded cannot be decoded.
    pub(crate) accept_encoding: Option<&'static HeaderValue>,
    pub(crate) timeouts: &'a Timeouts,
    /// When the whole request must be over.
    pub(crate) deadline: Option<Instant>,
    /// When this message must have its answer; told as the phase `Total`.
    pub(crate) answer_by: Option<Instant>,
    /// From the closing hook, which may send when others no longer may.
    pub(crate) as_hook: bool,
}

impl Outgoing {
    pub(crate) fn new(method: Method) -> Self {
        Self {
            method,
            version: Version::HTTP_11,
            headers: HeaderMap::new(),
            extensions: Extensions::new(),
            body: Body::empty(),
            idempotent: false,
        }
    }

    /// Returns the same request once more, if its body can be.
    pub(crate) fn try_clone(&self) -> Option<Self> {
        Some(Self {
            body: self.body.try_clone()?,
            method: self.method.clone(),
            version: self.version,
            headers: self.headers.clone(),
            extensions: self.extensions.clone(),
            idempotent: self.idempotent,
        })
    }

    /// Whether there will be a body for a second time.
    pub(super) fn has_lasting_body(&self) -> bool {
        self.body.is_replayable()
    }

    /// Whether sending it twice does no harm, and is possible: by its method (RFC 9110 §9.2.2), by
    /// the caller's word, or by a key that lets the server tell.
    pub(super) fn can_be_replayed(&self) -> bool {
        self.is_harmless_twice() && self.has_lasting_body()
    }

    pub(crate) fn is_harmless_twice(&self) -> bool {
        self.method.is_idempotent() || self.idempotent || self.headers.contains_key(IDEMPOTENCY_KEY)
    }

    /// Makes the message, filling in what the request left out. Over HTTP/1 `Host` comes first (RFC
    /// 9110 §7.2): the request's, or else `host`. HTTP/2 has no `host`, and names it in the URI.
    ///
    /// Takes the body out of the request, unless it may be sent `again`.
    pub(super) fn message(
        &mut self,
        terms: &Terms<'_>,
        host: Option<&HeaderValue>,
        again: bool,
    ) -> Request<Body> {
        let copy = if again { self.body.try_clone() } else { None };
        let mut message = Request::new(copy.unwrap_or_else(|| std::mem::take(&mut self.body)));
        *message.method_mut() = self.method.clone();
        *message.version_mut() = self.version;
        *message.extensions_mut() = self.extensions.clone();
        let (own, defaults) = (&self.headers, terms.default_headers);
        let headers = message.headers_mut();
        if let Some(host) = own.get(HOST).or_else(|| defaults.get(HOST)).or(host) {
            headers.insert(HOST, host.clone());
        }
        let defaults = defaults.iter().filter(|(name, _)| !own.contains_key(*name));
        for (name, value) in defaults.chain(own).filter(|(name, _)| **name != HOST) {
            headers.append(name.clone(), value.clone());
        }
        if let Some(codings) = terms.accept_encoding
            && !headers.contains_key(RANGE)
        {
            let accepted = headers.entry(ACCEPT_ENCODING);
            accepted.or_insert_with(|| codings.clone());
        }
        match host {
            Some(_) => *message.uri_mut() = path_of(terms.uri),
            None => suit_http2(&mut message, terms.uri),
        }
        message
    }
}

/// Whether a message's body is in a transfer coding that is neither asked for nor made here: all but
/// `chunked`, once.
pub(crate) fn has_other_coding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    codings.next().is_some_and(|first| !is_chunked(first)) || codings.next().is_some()
}

fn path_of(uri: &Uri) -> Uri {
    uri.path_and_query()
        .map_or_else(Uri::default, |target| Uri::from(target.clone()))
}

/// Makes a message that was to go over the one protocol ready for the other, if it is `host`, which
/// HTTP/1 alone has, that it lacks or has too much.
pub(super) fn suit(message: &mut Request<Body>, uri: &Uri, host: Option<&HeaderValue>) {
    match (host, message.version()) {
        (Some(host), Version::HTTP_2) => {
            // The caller's own, if it had one.
            let own = message.uri().authority();
            let own = own.and_then(|own| HeaderValue::from_str(own.as_str()).ok());
            let host = own.unwrap_or_else(|| host.clone());
            *message.uri_mut() = path_of(uri);
            *message.version_mut() = Version::HTTP_11;
            message.headers_mut().insert(HOST, host);
        }
        (None, version) if version != Version::HTTP_2 => suit_http2(message, uri),
        _ => {}
    }
}

/// Names the host in the URI (RFC 9113 §8.3.1): the caller's own, or the URL's.
fn suit_http2(message: &mut Request<Body>, uri: &Uri) {
    let mut parts = uri.clone().into_parts();
    let own = message.headers_mut().remove(HOST);
    let own = own.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    parts.authority = own.or(parts.authority);
    *message.uri_mut() = Uri::from_parts(parts).expect("it has the parts of a whole URI");
    *message.version_mut() = Version::HTTP_2;
}
