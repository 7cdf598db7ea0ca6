//! Bodies and responses for handlers.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Frame;
use tokio::sync::mpsc;

/// Any error, boxed.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What handlers answer with.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Makes a body without bytes.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Makes a body of known length.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Answers 200 with a text.
pub fn text(text: impl Into<Bytes>) -> Response<Body> {
    respond(StatusCode::OK, full(text))
}

/// Answers with a status and no body.
pub fn status(status: u16) -> Response<Body> {
    respond(
        StatusCode::from_u16(status).expect("a valid status"),
        empty(),
    )
}

/// Answers with a status and a body.
pub fn respond(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// Makes a streaming body (chunked, unless the handler sets Content-Length) that the sender scripts.
pub fn channel_body() -> (BodySender, Body) {
    let (frames, receiver) = mpsc::channel(1);
    (
        BodySender { frames },
        ChannelBody { frames: receiver }.boxed_unsync(),
    )
}

/// The server has dropped the body: its connection is gone, or its handler was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyDropped;

/// Scripts a streaming body from the test; dropping it ends the body in order.
#[derive(Debug)]
pub struct BodySender {
    frames: mpsc::Sender<Result<Frame<Bytes>, BoxError>>,
}

impl BodySender {
    /// Sends a chunk; waits while the one before has not been taken by the connection.
    pub async fn send(&self, chunk: impl Into<Bytes>) -> Result<(), BodyDropped> {
        self.frame(Ok(Frame::data(chunk.into()))).await
    }

    /// Sends the trailers, which end the body.
    pub async fn send_trailers(self, trailers: HeaderMap) -> Result<(), BodyDropped> {
        self.frame(Ok(Frame::trailers(trailers))).await
    }

    /// Breaks the body off: the server closes the connection in the middle of it.
    pub async fn fail(self, reason: &str) -> Result<(), BodyDropped> {
        self.frame(Err(reason.into())).await
    }

    /// Waits, without a limit, until the server has dropped the body.
    pub async fn dropped(&self) {
        self.frames.closed().await;
    }

    pub fn is_dropped(&self) -> bool {
        self.frames.is_closed()
    }

    async fn frame(&self, frame: Result<Frame<Bytes>, BoxError>) -> Result<(), BodyDropped> {
        self.frames.send(frame).await.map_err(|_| BodyDropped)
    }
}

struct ChannelBody {
    frames: mpsc::Receiver<Result<Frame<Bytes>, BoxError>>,
}

impl hyper::body::Body for ChannelBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.frames.poll_recv(context)
    }
}
