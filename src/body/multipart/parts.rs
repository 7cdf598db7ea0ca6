//! Bodies one after the other.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::body::outgoing::Body;
use crate::error::{Error, Result};

/// The parts of a body with what is between them.
#[derive(Default)]
pub(super) struct Parts(pub(super) VecDeque<Body>);

impl Parts {
    /// The same once more, if all of them can be.
    pub(super) fn try_clone(&self) -> Option<Self> {
        let parts = self.0.iter().map(Body::try_clone);
        parts.collect::<Option<_>>().map(Self)
    }

    pub(super) fn is_replayable(&self) -> bool {
        self.0.iter().all(Body::is_replayable)
    }
}

impl HttpBody for Parts {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        while let Some(part) = self.0.front_mut() {
            match ready!(Pin::new(part).poll_frame(cx)) {
                // Trailers of a part would be those of the whole.
                Some(Ok(frame)) if frame.is_trailers() => {}
                Some(frame) => return Poll::Ready(Some(frame)),
                None => drop(self.0.pop_front()),
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.0.iter().all(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let mut lengths = self.0.iter().map(|part| part.size_hint().exact());
        // Of a stream that pretends to have no end, the length is not known either.
        let sum = lengths.try_fold(0_u64, |sum, length| sum.checked_add(length?));
        sum.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
