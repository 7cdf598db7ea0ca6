//! `Response`.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::response::Parts;
use http::{Extensions, HeaderMap, StatusCode, Uri, Version};
use http_body::Body as _;
use http_body_util::{BodyDataStream, BodyExt};
use url::Url;

use super::info::ResponseInfo;
use super::payload::{Payload, Source};
use crate::body::Body;
use crate::config::Reading;
use crate::error::Result;
use crate::pool::{Incoming, Timings};
use crate::redirect::Hop;
use crate::url::Target;

/// The answer to a request: its head is here, its body comes as it is read.
///
/// # Connection
///
/// Holds its connection until the body's end, if the body has not come with the head already.
/// Reading drives the connection; nothing is read ahead of the reader but what fits its buffer.
/// Dropped before the end, it reads off up to `pool_drain_bytes` of the rest, for at most a second,
/// so that the connection survives; else the connection is closed.
///
/// An unread response keeps an awaited close waiting, as it is an exchange that has not ended.
pub struct Response {
    // Boxed: it is handed through half a dozen async functions, each of which would copy it.
    pub(super) answer: Box<Answer>,
}

pub(crate) struct Answer {
    pub(super) head: Parts,
    pub(super) body: Payload,
    pub(super) info: ResponseInfo,
    /// What has come after the body.
    trailers: Option<Box<HeaderMap>>,
}

impl Response {
    pub(crate) fn of(answer: Box<Answer>) -> Self {
        Self { answer }
    }

    /// Adds what is known once no redirect follows, and says how the body is read. Takes the target.
    pub(crate) fn complete(&mut self, target: &mut Target, history: Vec<Hop>, reading: Reading) {
        let answer = &mut *self.answer;
        answer.info.complete(target, history);
        answer.body.read_as(&mut answer.head, reading);
    }

    /// Names what answered, unless that is known.
    pub(crate) fn or_from(mut self, uri: Uri) -> Self {
        if self.answer.info.uri.scheme().is_none() {
            // It may have been asked for its URL before.
            self.answer.info = ResponseInfo::unknown();
            self.answer.info.complete(&mut uri.into(), Vec::new());
        }
        self
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.answer.head.status
    }

    /// Returns the HTTP version of the answer.
    pub fn version(&self) -> Version {
        self.answer.head.version
    }

    /// Returns the headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.answer.head.headers
    }

    /// Returns the headers for changing.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.answer.head.headers
    }

    /// Returns the extensions.
    pub fn extensions(&self) -> &Extensions {
        &self.answer.head.extensions
    }

    /// Returns the redirects that led here, in their order, each with its status, URL and headers.
    pub fn history(&self) -> &[Hop] {
        self.answer.info.history()
    }

    /// Returns the URL that answered, after all redirects, as it was resolved; made on first use.
    ///
    /// Without user info. It has the fragment that the request's URL or a redirect had.
    pub fn url(&self) -> &Url {
        self.answer.info.url()
    }

    /// Returns the length of the body that is still to be read, in bytes, where the server told it.
    ///
    /// `None` where the body is decoded on the way: the server told that of the coded one.
    /// 0 for an answer to HEAD, whose `Content-Length` header speaks of another answer's body.
    pub fn content_length(&self) -> Option<u64> {
        self.answer.body.size_hint().exact()
    }

    /// Returns how long the request took, step by step, until the response's head was there.
    pub fn timings(&self) -> Timings {
        match &self.answer.body.source {
            Source::Exchange(incoming) => incoming.timings(),
            Source::Made(_) => self.answer.info.timings(),
        }
    }

    /// Returns the server's address, where the connector tells it (the default one does).
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        match &self.answer.body.source {
            Source::Exchange(incoming) => incoming.remote_addr(),
            Source::Made(_) => self.answer.info.remote_addr(),
        }
    }

    /// Reads the next part of the body. `None` at its end.
    ///
    /// # Errors
    ///
    /// The [`ErrorKind`](crate::ErrorKind)s `BodyTruncated`, `Protocol`, `Timeout` or `Closed`; `Body`, if
    /// the request was still being sent, and its own body failed; `Decode`, if it is not what its
    /// `Content-Encoding` says; `BodyTooLarge`. The connection is closed then.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: a part that was not returned is returned by the next call.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut self.answer.body).poll_frame(cx)).await {
            let frame = frame.map_err(|error| error.with_uri(&self.answer.info.uri))?;
            match frame.into_data() {
                Ok(data) => return Ok(Some(data)),
                Err(other) => self.answer.trailers = other.into_trailers().ok().map(Box::new),
            }
        }
        Ok(None)
    }

    /// Returns the trailers (RFC 9110 §6.5), once the body has been read to its end by
    /// [`chunk`](Self::chunk) or [`read`](Self::read). `None`: it had none.
    ///
    /// Some servers send them only to who says so, by the header `TE: trailers`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use hyper_session::{Response, Result};
    /// async fn sum(mut answer: Response) -> Result<bool> {
    ///     let body = answer.read().await?;
    ///     let sum = body.iter().map(|byte| u64::from(*byte)).sum::<u64>().to_string();
    ///     let told = answer.trailers().and_then(|trailers| trailers.get("x-sum"));
    ///     Ok(told.is_some_and(|told| told == &sum))
    /// }
    /// ```
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.answer.trailers.as_deref()
    }

    /// Turns the response into the stream of its body's parts. Trailers are left out: they are among the
    /// frames of the body that [`into_http`](Self::into_http) gives.
    ///
    /// The stream owns the exchange: it may be returned from the function that made it, and
    /// outlives every handle of its session. Dropped early, it does what a dropped response does.
    pub fn bytes_stream(self) -> impl Stream<Item = Result<Bytes>> + Send + Sync + Unpin + use<> {
        let Answer { body, info, .. } = *self.answer;
        BodyDataStream::new(body).map(move |part| part.map_err(|error| error.with_uri(&info.uri)))
    }

    /// Turns the response into one of the `http` crate, whose body is still to be read. Its extensions
    /// have a [`ResponseInfo`]: the URL that answered, the redirects, the timings and the server's address.
    pub fn into_http(self) -> http::Response<Body> {
        let (timings, remote_addr) = (self.timings(), self.remote_addr());
        let Answer {
            mut head,
            body,
            mut info,
            ..
        } = *self.answer;
        info.keep(timings, remote_addr);
        let body = body_from(body, info.uri.clone());
        head.extensions.insert(info);
        http::Response::from_parts(head, body)
    }
}

impl From<http::Response<Body>> for Response {
    /// Makes a response of what a cache, a test or a `tower` layer gives.
    ///
    /// Its body is taken as it is. Where it came from its [`ResponseInfo`] tells, if it has one. Else,
    /// answered by a middleware, it has its request's URL; else that is `about:blank`.
    fn from(response: http::Response<Body>) -> Self {
        let (mut head, body) = response.into_parts();
        let info = head.extensions.remove::<ResponseInfo>();
        let mut answer = Box::new(Answer::new(head, Source::Made(body)));
        if let Some(info) = info {
            answer.info = info;
        }
        Self::of(answer)
    }
}

impl From<(Parts, Incoming)> for Answer {
    fn from((head, body): (Parts, Incoming)) -> Self {
        Self::new(head, Source::Exchange(body))
    }
}

impl Answer {
    fn new(head: Parts, source: Source) -> Self {
        Self {
            head,
            body: Payload::new(source),
            info: ResponseInfo::unknown(),
            trailers: None,
        }
    }
}

fn body_from(body: Payload, uri: Uri) -> Body {
    Body::wrap(body.map_err(move |error| error.with_uri(&uri)))
}

impl From<Response> for Body {
    /// Makes what one server answers the body for another, without reading it into memory.
    fn from(response: Response) -> Self {
        let Answer { body, info, .. } = *response.answer;
        body_from(body, info.uri)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.answer.head.status)
            .field("version", &self.answer.head.version)
            .finish_non_exhaustive()
    }
}

const _: () = {
    const fn assert_traits<T: Send + Sync + Unpin>() {}
    assert_traits::<Response>();
};
