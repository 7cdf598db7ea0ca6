//! `Response`.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http::header::CONTENT_TYPE;
use http::{Extensions, HeaderMap, StatusCode, Uri, Version};
use http_body::Body as _;
use http_body_util::{BodyDataStream, BodyExt};
use tokio::runtime::Handle;
use tokio::time::timeout;
use url::Url;

use crate::body::Body;
use crate::error::{Error, ErrorKind, Result};
use crate::pool::{Incoming, Timings};
use crate::redirect::Hop;
use crate::url::Target;

/// How much of a refused response's body its error keeps.
const ERROR_BODY: usize = 8 * 1024;

/// How long it waits for that.
const ERROR_BODY_TIME: Duration = Duration::from_secs(5);

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
    answer: Box<Answer>,
}

struct Answer {
    head: http::response::Parts,
    body: Incoming,
    uri: Uri,
    fragment: Option<Box<str>>,
    url: OnceLock<Box<Url>>,
    history: Vec<Hop>,
}

impl Response {
    pub(crate) fn new(answer: http::Response<Incoming>, target: Target, history: Vec<Hop>) -> Self {
        let (head, body) = answer.into_parts();
        Self {
            answer: Box::new(Answer {
                head,
                body,
                uri: target.uri,
                fragment: target.fragment,
                url: OnceLock::new(),
                history,
            }),
        }
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
        &self.answer.history
    }

    /// Returns the URL that answered, after all redirects, as it was resolved; made on first use.
    ///
    /// Without user info. It has the fragment that the request's URL or a redirect had.
    pub fn url(&self) -> &Url {
        self.answer.url.get_or_init(|| {
            let target = Target {
                uri: self.answer.uri.clone(),
                fragment: self.answer.fragment.clone(),
                user_info: None,
            };
            Box::new(target.to_url())
        })
    }

    /// Returns the length of the body that is still to be read, in bytes, where the server told it.
    ///
    /// 0 for an answer to HEAD, whose `Content-Length` header speaks of another answer's body.
    pub fn content_length(&self) -> Option<u64> {
        self.answer.body.size_hint().exact()
    }

    /// Returns how long the request took, step by step, until the response's head was there.
    pub fn timings(&self) -> Timings {
        self.answer.body.timings()
    }

    /// Returns the server's address, where the connector tells it (the default one does).
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.answer.body.remote_addr()
    }

    /// Turns 4xx and 5xx into an error, which carries the status and the head of the body.
    ///
    /// Reads at most 8 KiB of the body for it, for at most five seconds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Status`]. That the body cannot be read does not hide the status.
    pub async fn error_for_status(mut self) -> Result<Self> {
        if !(self.answer.head.status.is_client_error() || self.answer.head.status.is_server_error())
        {
            return Ok(self);
        }
        let mut body = BytesMut::new();
        let head_of_body = async {
            while body.len() < ERROR_BODY {
                match self.chunk().await {
                    Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                    Ok(None) | Err(_) => break,
                }
            }
        };
        // What has come until then is what there is: the status matters more.
        if Handle::try_current().is_ok() {
            let _ = timeout(ERROR_BODY_TIME, head_of_body).await;
        } else {
            head_of_body.await;
        }
        body.truncate(ERROR_BODY);
        Err(Error::status_code(self.answer.head.status, body.freeze()).with_uri(&self.answer.uri))
    }

    /// Reads the next part of the body. `None` at its end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::BodyTruncated`], [`ErrorKind::Protocol`], [`ErrorKind::Timeout`] or
    /// [`ErrorKind::Closed`]; [`ErrorKind::Body`] if the request was still being sent, and its own
    /// body failed. The connection is closed then.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: a part that was not returned is returned by the next call.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut self.answer.body).poll_frame(cx)).await {
            let frame = frame.map_err(|error| error.with_uri(&self.answer.uri))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Reads the whole body.
    ///
    /// # Errors
    ///
    /// As [`chunk`](Self::chunk).
    ///
    /// # Cancel safety
    ///
    /// What was read is lost, and the rest treated as that of a dropped response.
    pub async fn bytes(mut self) -> Result<Bytes> {
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        if self.answer.body.is_end_stream() {
            return Ok(first);
        }
        let Some(second) = self.chunk().await? else {
            return Ok(first);
        };
        // What the server says is left is believed only so far.
        let left = self.answer.body.size_hint().lower().min(1024 * 1024);
        let left = usize::try_from(left).unwrap_or_default();
        let mut all = BytesMut::with_capacity(first.len() + second.len() + left);
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while let Some(chunk) = self.chunk().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    /// Reads the whole body as UTF-8 text.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`], if the body is not UTF-8, or the server says that it is in another
    /// charset; else as [`chunk`](Self::chunk).
    pub async fn text(self) -> Result<String> {
        let uri = self.answer.uri.clone();
        if let Some(charset) = self.foreign_charset() {
            return Err(undecoded(
                &uri,
                format!("the body is in {charset}, not in UTF-8"),
            ));
        }
        let bytes = self.bytes().await?;
        String::from_utf8(bytes.into()).map_err(|error| {
            undecoded(&uri, "the body is not UTF-8").with_source(error.utf8_error())
        })
    }

    /// The charset of the `Content-Type`, unless UTF-8 covers it.
    fn foreign_charset(&self) -> Option<String> {
        let content_type = self.answer.head.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let charset = content_type.split(';').skip(1).find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim()
                .eq_ignore_ascii_case("charset")
                .then(|| value.trim().trim_matches('"'))
        })?;
        let covered = ["", "utf-8", "utf8", "us-ascii", "ascii"];
        (!covered
            .iter()
            .any(|name| charset.eq_ignore_ascii_case(name)))
        .then(|| charset.to_owned())
    }

    /// Reads the whole body as JSON.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`], whose source says line and column; else as [`chunk`](Self::chunk).
    #[cfg(feature = "json")]
    #[cfg_attr(docsrs, doc(cfg(feature = "json")))]
    pub async fn json<T: serde::de::DeserializeOwned>(self) -> Result<T> {
        let uri = self.answer.uri.clone();
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            undecoded(&uri, "the body is not the JSON that was expected").with_source(error)
        })
    }

    /// Turns the response into the stream of its body's parts.
    ///
    /// The stream owns the exchange: it may be returned from the function that made it, and
    /// outlives every handle of its session. Dropped early, it does what a dropped response does.
    pub fn bytes_stream(self) -> impl Stream<Item = Result<Bytes>> + Send + Sync + Unpin + use<> {
        let Answer { body, uri, .. } = *self.answer;
        BodyDataStream::new(body).map(move |part| part.map_err(|error| error.with_uri(&uri)))
    }

    /// Turns the response into one of the `http` crate, whose body is still to be read.
    pub fn into_http(self) -> http::Response<Body> {
        let Answer {
            head, body, uri, ..
        } = *self.answer;
        let body = body.map_err(move |error| error.with_uri(&uri));
        http::Response::from_parts(head, Body::wrap(body))
    }
}

/// The error for a body that is not what it was asked to be read as.
fn undecoded(uri: &Uri, message: impl Into<Box<str>>) -> Error {
    let error = Error::new(ErrorKind::Decode).with_message(message);
    error.with_uri(uri).after_sending()
}

impl From<Response> for Body {
    /// Makes what one server answers the body for another, without reading it into memory.
    fn from(response: Response) -> Self {
        response.into_http().into_body()
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
