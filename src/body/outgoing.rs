//! `Body`.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http::HeaderValue;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::StreamBody;

use super::streaming::{LARGE, Make, Progress, Streaming};
use crate::error::{BoxError, Error};

/// A body: of a request, or of a response that has become an [`http::Response`].
///
/// `Send + Sync + Unpin`, whatever is inside. Bodies made of bytes or files can be sent again, should a
/// connection turn out to be dead, and those that [`replayable`](Self::replayable) makes; streams
/// cannot.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use hyper_session::Body;
///
/// let text = Body::from("hello");
/// let parts = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from("a")), Ok(Bytes::from("b"))]);
/// let streamed = Body::wrap_stream(parts);
/// assert!(text.try_clone().is_some());
/// assert!(streamed.try_clone().is_none());
/// ```
#[derive(Default)]
pub struct Body {
    // Boxed: hyper copies each message a dozen times on its way, and most have no body.
    content: Option<Box<Content>>,
}

enum Content {
    Full(Bytes),
    Streaming(Streaming),
}

impl Body {
    /// Makes a body of no bytes.
    pub const fn empty() -> Self {
        Self { content: None }
    }

    /// Wraps a stream of parts, sent as they come.
    ///
    /// Sent in chunks, or with the `Content-Length` that the request sets; the stream is then held
    /// to it. An error of the stream ends the request with [`ErrorKind::Body`](crate::ErrorKind::Body).
    pub fn wrap_stream<S, T, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<T, E>> + Send + 'static,
        T: Into<Bytes> + 'static,
        E: Into<BoxError> + 'static,
    {
        Self::wrap(StreamBody::new(
            stream.map_ok(|part| Frame::data(part.into())),
        ))
    }

    /// Wraps any [`http_body::Body`].
    ///
    /// A body that knows its exact length is sent with it and held to it.
    ///
    /// Its trailers are sent if the request names them in a `Trailer` header (RFC 9110 §6.6.2): the body
    /// is then sent in chunks, whatever its length. Over HTTP/1 others are left out, as are all beside a
    /// `Content-Length` of the request's own.
    pub fn wrap<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Content::Streaming(Streaming::new(body)).into()
    }

    /// Makes a body by `make`, and makes it by it again whenever it has to be sent once more.
    ///
    /// # Examples
    ///
    /// ```
    /// use hyper_session::Body;
    ///
    /// let body = Body::replayable(|| {
    ///     let lines = (0..1_000_000).map(|number| Ok::<_, std::io::Error>(format!("{number}\n")));
    ///     Body::wrap_stream(futures::stream::iter(lines))
    /// });
    /// assert!(body.try_clone().is_some());
    /// ```
    pub fn replayable(make: impl Fn() -> Self + Send + Sync + 'static) -> Self {
        Self::made_by(Arc::new(move || Some(make().into_streaming()))).unwrap_or_default()
    }

    /// A body that `make` makes again where it can. `None`: it does not.
    pub(super) fn made_by(make: Make) -> Option<Self> {
        Streaming::replayable(make).map(|streaming| Content::Streaming(streaming).into())
    }

    /// Returns the same body once more from its beginning, if that can be. Costs no copy.
    pub fn try_clone(&self) -> Option<Self> {
        match self.content.as_deref() {
            None => Some(Self::empty()),
            Some(Content::Full(bytes)) => Some(bytes.clone().into()),
            Some(Content::Streaming(streaming)) => {
                Some(Content::Streaming(streaming.try_clone()?).into())
            }
        }
    }

    /// Whether [`try_clone`](Self::try_clone) can give it once more.
    pub(crate) fn is_replayable(&self) -> bool {
        match self.content.as_deref() {
            None | Some(Content::Full(_)) => true,
            Some(Content::Streaming(streaming)) => streaming.is_replayable(),
        }
    }

    /// What it is, where it knows that itself: the `Content-Type` of a request or part that has none.
    pub(super) fn content_type(&self) -> Option<&HeaderValue> {
        match self.content.as_deref()? {
            Content::Full(_) => None,
            Content::Streaming(streaming) => streaming.content_type.as_ref(),
        }
    }

    /// What it is, which it does not know from then on.
    pub(crate) fn take_content_type(&mut self) -> Option<HeaderValue> {
        match self.content.as_deref_mut()? {
            Content::Full(_) => None,
            Content::Streaming(streaming) => streaming.content_type.take(),
        }
    }

    pub(super) fn with_content_type(self, content_type: Option<HeaderValue>) -> Self {
        let mut streaming = self.into_streaming();
        streaming.content_type = content_type;
        Content::Streaming(streaming).into()
    }

    /// The same as a stream, whatever it is made of.
    pub(super) fn into_streaming(self) -> Streaming {
        match self.content.map(|content| *content) {
            None => Streaming::new(Parts(Bytes::new())),
            Some(Content::Full(bytes)) => Streaming::new(Parts(bytes)),
            Some(Content::Streaming(streaming)) => streaming,
        }
    }

    /// The bytes, if the body is made of bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self.content.as_deref() {
            None => Some(&[]),
            Some(Content::Full(bytes)) => Some(bytes),
            Some(Content::Streaming(_)) => None,
        }
    }

    /// The exact length in bytes, where it is known.
    pub(crate) fn length(&self) -> Option<u64> {
        match self.content.as_deref() {
            None => Some(0),
            Some(Content::Full(bytes)) => Some(bytes.len() as u64),
            Some(Content::Streaming(streaming)) => streaming.announced(),
        }
    }

    /// Holds a stream of unknown length to the length that its request announces.
    pub(crate) fn announce(&mut self, length: u64) {
        if let Some(streaming) = self.streaming() {
            streaming.announce(length);
        }
    }

    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.content.as_deref(), Some(Content::Streaming(_)))
    }

    /// Has a stream sent to its end, trailers included, and not only up to its length.
    pub(crate) fn forget_length(&mut self) {
        if let Some(streaming) = self.streaming() {
            streaming.forget_length();
        }
    }

    /// Lets a stream rest once `write_dead` is set: its connection takes all that it is given, and
    /// sends nothing.
    pub(crate) fn stop_at(&mut self, write_dead: Option<&Arc<AtomicBool>>) {
        if let Some(streaming) = self.streaming() {
            streaming.stop_at(write_dead.cloned());
        }
    }

    /// Tells later how much of a stream has been taken. `None` for bytes.
    pub(crate) fn progress(&self) -> Option<Arc<Progress>> {
        match self.content.as_deref()? {
            Content::Streaming(streaming) => Some(streaming.progress()),
            Content::Full(_) => None,
        }
    }

    /// Has a stream told when all of it is sent.
    pub(crate) fn track(&mut self) {
        if let Some(streaming) = self.streaming() {
            streaming.track();
        }
    }

    /// Has nothing of it taken until the peer asks for it, or for that long. How to tell that it has
    /// asked. `None`: there is nothing to take.
    pub(crate) fn hold_back(&mut self, limit: Duration) -> Option<Arc<Progress>> {
        if let Some(Content::Full(bytes)) = self.content.as_deref_mut() {
            *self = Self::wrap(Parts(std::mem::take(bytes)));
        }
        let streaming = self.streaming()?;
        streaming.hold_back(limit);
        Some(streaming.progress())
    }

    /// Has a large body of bytes taken in parts, as the peer makes room for them.
    pub(crate) fn split(&mut self) {
        if let Some(Content::Full(bytes)) = self.content.as_deref_mut()
            && bytes.len() as u64 > LARGE
        {
            *self = Self::wrap(Parts(std::mem::take(bytes)));
        }
    }

    fn streaming(&mut self) -> Option<&mut Streaming> {
        match self.content.as_deref_mut()? {
            Content::Streaming(streaming) => Some(streaming),
            Content::Full(_) => None,
        }
    }
}

/// Bytes, part by part.
struct Parts(Bytes);

/// How large the parts are, in bytes.
const PART: usize = 64 * 1024;

impl HttpBody for Parts {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let length = self.0.len().min(PART);
        let part = self.0.split_to(length);
        Poll::Ready((length > 0).then_some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let bytes = match self.content.as_deref_mut() {
            None => return Poll::Ready(None),
            Some(Content::Streaming(streaming)) => return Pin::new(streaming).poll_frame(cx),
            Some(Content::Full(bytes)) => std::mem::take(bytes),
        };
        self.content = None;
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self.content.as_deref() {
            None => true,
            Some(Content::Full(bytes)) => bytes.is_empty(),
            Some(Content::Streaming(streaming)) => streaming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self.content.as_deref() {
            None => SizeHint::with_exact(0),
            Some(Content::Full(bytes)) => SizeHint::with_exact(bytes.len() as u64),
            Some(Content::Streaming(streaming)) => streaming.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length() {
            Some(length) => write!(f, "Body({length} bytes)"),
            None => f.write_str("Body(stream)"),
        }
    }
}

impl From<Content> for Body {
    fn from(content: Content) -> Self {
        Self {
            content: Some(Box::new(content)),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            return Self::empty();
        }
        Content::Full(bytes).into()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

const _: () = {
    const fn assert_traits<T: Send + Sync + Unpin>() {}
    assert_traits::<Body>();
};
