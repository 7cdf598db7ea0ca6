//! The one error of this crate.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::runtime::TryCurrentError;

/// A `Result` whose error is this crate's [`Error`] unless said otherwise.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error, boxed: what connectors and body streams of the user may fail with.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// An error that several errors have come from.
pub(crate) type SharedError = Arc<dyn StdError + Send + Sync>;

/// Everything that can go wrong with a session, a request or its response.
///
/// One word wide. Branch on [`kind`](Self::kind) or the predicates, read the context by
/// [`url`](Self::url), [`status`](Self::status) and [`body`](Self::body).
///
/// # Contract
///
/// `Display` says what happened at this level only; [`source`](StdError::source) gives the next
/// level down. The wording may change in any release. No error shows a query string, a credential
/// or the value of a header.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Option<Box<str>>,
    url: Option<Box<str>>,
    answer: Option<Box<Answer>>,
    source: Option<SharedError>,
    sent: bool,
}

/// What is known of the response that the error is about.
struct Answer {
    status: StatusCode,
    headers: Option<HeaderMap>,
    body: Option<Bytes>,
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The URL does not parse, has no host, leaves its base path, or is neither http nor https.
    Url,
    /// A setting, a header, a query, a form, a JSON body or a length was refused before anything went out.
    Builder,
    /// The host's name could not be resolved.
    Dns,
    /// No connection could be made.
    Connect,
    /// The TLS handshake failed, or the certificate was refused.
    Tls,
    /// A time limit passed; [`TimeoutPhase`] says which.
    Timeout(TimeoutPhase),
    /// The session is closed, or was closed under the request.
    Closed,
    /// `raise_for_status`: the server answered 4xx or 5xx, or what `raise_for_status_if` refuses.
    Status,
    /// A redirect that could not be followed: one too many, to no http or https URL, refused by the
    /// policy, or asking once more for a body that can be sent only once. [`Error::url`] is the URL
    /// that redirected.
    Redirect,
    /// The request's own body failed, or gave another length than was declared.
    Body,
    /// The connection ended before the response's body did.
    BodyTruncated,
    /// The response's body is not what it was asked to be read as, or not what its
    /// `Content-Encoding` says.
    Decode,
    /// The response's body is longer than `max_body` allows.
    BodyTooLarge,
    /// The peer broke off or broke HTTP: closed or reset before its answer, or answered garbage.
    Protocol,
    /// The `on_open` hook failed.
    Hook,
    /// The [`CredentialsProvider`](crate::CredentialsProvider) failed, or gave none that are good.
    Credentials,
    /// A [`Middleware`](crate::Middleware) failed, by [`Error::middleware`].
    Middleware,
    /// Not called from within a tokio runtime. (One without its IO or time driver panics, as all of
    /// tokio does: build it with `enable_all`.)
    NoRuntime,
}

/// The time limit that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeoutPhase {
    /// `timeout`: the whole request, its body included.
    Total,
    /// `pool_timeout`: waiting for a connection at the pool's limit.
    Pool,
    /// `connect_timeout`: resolving, connecting, TLS, the preface of HTTP/2.
    Connect,
    /// `write_timeout`: between two parts of the request's body.
    Write,
    /// `head_timeout`: from the request on the wire to the head of the response.
    Head,
    /// `read_timeout`: between two reads of the body.
    Read,
    /// [`RetryPolicy::try_timeout`](crate::RetryPolicy::try_timeout): one try of a request.
    Try,
}

impl TimeoutPhase {
    fn describe(self) -> &'static str {
        match self {
            Self::Total => "the request took longer than its timeout",
            Self::Pool => "no connection of the pool became free in time",
            Self::Connect => "no connection was made in time",
            Self::Write => "the next part of the request's body was not sent in time",
            Self::Head => "the response's head did not come in time",
            Self::Read => "the next part of the body did not come in time",
            Self::Try => "the last try of the request took longer than its limit",
        }
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Inner {
            kind,
            message: None,
            url: None,
            answer: None,
            source: None,
            sent: false,
        }))
    }

    pub(crate) fn url_invalid(message: impl Into<Box<str>>) -> Self {
        Self::new(ErrorKind::Url).with_message(message)
    }

    pub(crate) fn builder(message: impl Into<Box<str>>) -> Self {
        Self::new(ErrorKind::Builder).with_message(message)
    }

    pub(crate) fn no_runtime(source: TryCurrentError) -> Self {
        Self::new(ErrorKind::NoRuntime).with_source(source)
    }

    pub(crate) fn closed(message: impl Into<Box<str>>) -> Self {
        Self::new(ErrorKind::Closed).with_message(message)
    }

    pub(crate) fn timeout(phase: TimeoutPhase) -> Self {
        Self::new(ErrorKind::Timeout(phase))
    }

    pub(crate) fn redirect(message: impl Into<Box<str>>) -> Self {
        let error = Self::new(ErrorKind::Redirect).after_sending();
        error.with_message(message)
    }

    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Names the status, and keeps what else is known of the response.
    pub(crate) fn with_answer(
        mut self,
        status: StatusCode,
        headers: Option<HeaderMap>,
        body: Option<Bytes>,
    ) -> Self {
        self.0.answer = Some(Box::new(Answer {
            status,
            headers,
            body,
        }));
        self
    }

    pub(crate) fn with_message(mut self, message: impl Into<Box<str>>) -> Self {
        self.0.message = Some(message.into());
        self
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into().into());
        self
    }

    pub(crate) fn with_shared_source(mut self, source: SharedError) -> Self {
        self.0.source = Some(source);
        self
    }

    /// Names the URL, without user info, query and fragment.
    pub(crate) fn with_uri(mut self, uri: &http::Uri) -> Self {
        if self.0.url.is_none()
            && let Some(authority) = uri.authority()
        {
            let scheme = uri.scheme_str().unwrap_or("http");
            let host = authority.as_str().rsplit('@').next().unwrap_or_default();
            self.0.url = Some(format!("{scheme}://{host}{}", uri.path()).into());
        }
        self
    }

    /// Marks that bytes of the request may have reached the server.
    pub(crate) fn after_sending(mut self) -> Self {
        self.0.sent = true;
        self
    }

    /// Marks that bytes of the request may have reached the server, if they may.
    pub(crate) fn or_sent(mut self, sent: bool) -> Self {
        self.0.sent |= sent;
        self
    }

    /// Makes an error of a middleware's own that of its request, with the kind
    /// [`ErrorKind::Middleware`].
    pub fn middleware(source: impl Into<BoxError>) -> Self {
        Self::new(ErrorKind::Middleware).with_source(source)
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The URL of the request, without user info, query and fragment.
    pub fn url(&self) -> Option<&str> {
        self.0.url.as_deref()
    }

    /// The status that `raise_for_status` refused, of the redirect that could not be followed, or of the
    /// response that is not the JSON that was expected.
    pub fn status(&self) -> Option<StatusCode> {
        self.0.answer.as_ref().map(|answer| answer.status)
    }

    /// The headers of a response that was refused by its status, or of the redirect that could not be
    /// followed.
    ///
    /// Neither `Display` nor `Debug` shows them.
    pub fn headers(&self) -> Option<&HeaderMap> {
        self.0.answer.as_ref()?.headers.as_ref()
    }

    /// The head of the response's body: at most 8 KiB of one that was refused by its status, 512 bytes
    /// of one that is not the JSON that was expected. `None` of others, and of one that is still to be
    /// read ([`error_for_status_ref`](crate::Response::error_for_status_ref)).
    ///
    /// Neither `Display` nor `Debug` shows it: it may hold what is not for everybody.
    pub fn body(&self) -> Option<&[u8]> {
        self.0.answer.as_ref()?.body.as_deref()
    }

    /// Whether a time limit passed, in whichever phase.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Timeout(_))
    }

    /// Whether no connection could be made: name, network, TLS or `connect_timeout`.
    pub fn is_connect(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::Dns
                | ErrorKind::Connect
                | ErrorKind::Tls
                | ErrorKind::Timeout(TimeoutPhase::Connect)
        )
    }

    /// Whether the session was closed.
    pub fn is_closed(&self) -> bool {
        self.0.kind == ErrorKind::Closed
    }

    /// Whether the server answered, and `raise_for_status` or `raise_for_status_if` refused its status.
    pub fn is_status(&self) -> bool {
        self.0.kind == ErrorKind::Status
    }

    /// Whether a redirect could not be followed.
    pub fn is_redirect(&self) -> bool {
        self.0.kind == ErrorKind::Redirect
    }

    /// Whether the request was refused before anything went out.
    pub fn is_builder(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Url | ErrorKind::Builder)
    }

    /// Whether the response's body could not be read as what it was asked for.
    pub fn is_decode(&self) -> bool {
        self.0.kind == ErrorKind::Decode
    }

    /// Whether bytes of the request may have reached the server.
    ///
    /// `false` is certain: the server has seen nothing of it, or has said that it did nothing with it
    /// (RFC 9113 §8.7).
    pub fn was_sent(&self) -> bool {
        self.0.sent
    }

    /// Whether the same request may be tried again without any risk of being carried out twice,
    /// and with some hope: nothing of it was sent, and it is not the request itself that is wrong.
    pub fn is_retryable(&self) -> bool {
        !self.0.sent
            && (self.is_connect()
                || matches!(
                    self.0.kind,
                    ErrorKind::Timeout(TimeoutPhase::Pool) | ErrorKind::Protocol
                ))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        match (&inner.message, inner.kind) {
            (Some(message), _) => f.write_str(message)?,
            (None, ErrorKind::Timeout(phase)) => f.write_str(phase.describe())?,
            (None, ErrorKind::Status) => f.write_str("the server refused the request")?,
            (None, kind) => f.write_str(kind.describe())?,
        }
        if let Some(answer) = &inner.answer {
            write!(f, ": {}", answer.status)?;
        }
        if let Some(url) = &inner.url {
            write!(f, " ({url})")?;
        }
        Ok(())
    }
}

impl ErrorKind {
    fn describe(self) -> &'static str {
        match self {
            Self::Url => "invalid URL",
            Self::Builder => "invalid request or setting",
            Self::Dns => "the host's name could not be resolved",
            Self::Connect => "no connection could be made",
            Self::Tls => "the TLS handshake failed",
            Self::Timeout(phase) => phase.describe(),
            Self::Closed => "the session is closed",
            Self::Status => "the server refused the request",
            Self::Redirect => "the redirect could not be followed",
            Self::Body => "the request's body failed",
            Self::BodyTruncated => "the connection ended before the body did",
            Self::Decode => "the body could not be decoded",
            Self::BodyTooLarge => "the response's body is longer than max_body allows",
            Self::Protocol => "the peer broke the HTTP exchange",
            Self::Hook => "the on_open hook failed",
            Self::Credentials => "there are no credentials for the request",
            Self::Middleware => "a middleware failed",
            Self::NoRuntime => "not called from within a tokio runtime",
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &inner.kind);
        if let Some(message) = &inner.message {
            debug.field("message", message);
        }
        if let Some(url) = &inner.url {
            debug.field("url", url);
        }
        if let Some(answer) = &inner.answer {
            debug.field("status", &answer.status);
        }
        if let Some(source) = &inner.source {
            debug.field("source", source);
        }
        debug.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_ref()
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_word_wide_and_can_be_sent_and_shared() {
        fn assert_traits<T: Send + Sync + StdError + 'static>() {}
        assert_traits::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn an_error_names_the_url_without_its_secrets() {
        let uri = "http://user:pass@host:81/path?token=secret"
            .parse()
            .unwrap();
        let error = Error::timeout(TimeoutPhase::Head).with_uri(&uri);
        assert_eq!(error.url(), Some("http://host:81/path"));
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains("secret") && !shown.contains("pass"),
            "{shown}"
        );
    }
}
