//! What is uploaded.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

static CHUNK: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// A body of a known length, made part by part.
pub(super) struct Chunks(u64);

impl Chunks {
    pub(super) fn new(bytes: u64) -> Self {
        Self(bytes)
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0 == 0 {
            return Poll::Ready(None);
        }
        let part = usize::try_from(self.0).map_or(CHUNK.len(), |left| left.min(CHUNK.len()));
        self.0 -= part as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&CHUNK[..part])))))
    }

    fn is_end_stream(&self) -> bool {
        self.0 == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}
