//! The body of a response as it is given: decoded, and within its limit.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use http::response::Parts;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::task::coop::poll_proceed;

use crate::body::Body;
use crate::config::{MAX_COLLECTED, Reading};
use crate::decode::{Chain, Progress, too_large};
use crate::error::{Error, Result};
use crate::pool::Incoming;

/// A body with what is to be done to it on the way.
pub(super) struct Payload {
    pub(super) source: Source,
    /// `None`: nothing.
    filter: Option<Box<Filter>>,
}

/// Where a body comes from.
pub(super) enum Source {
    Exchange(Incoming),
    /// Whoever made the response.
    Made(Body),
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        match self {
            Self::Exchange(incoming) => Pin::new(incoming).poll_frame(cx),
            Self::Made(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn give_up(&mut self) {
        match self {
            Self::Exchange(incoming) => incoming.give_up(),
            Self::Made(body) => *body = Body::empty(),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Exchange(incoming) => incoming.is_end_stream(),
            Self::Made(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Exchange(incoming) => incoming.size_hint(),
            Self::Made(body) => body.size_hint(),
        }
    }
}

/// What is done to a body.
struct Filter {
    /// Empty: nothing is decoded.
    chain: Chain,
    /// Unless it is collected.
    limit: Option<u64>,
    /// Bytes given so far.
    given: u64,
    /// Whether it has ended, or failed.
    over: bool,
}

impl Payload {
    /// Takes a body as it is.
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            filter: None,
        }
    }

    /// Says how it is read. Takes the codings that are undone, and what they say of the length, out of the
    /// headers.
    pub(super) fn read_as(&mut self, head: &mut Parts, reading: Reading) {
        // RFC 9110 §14.2: a range is one of the coded body.
        let decoded = reading.decompress && head.status != StatusCode::PARTIAL_CONTENT;
        let chain = (decoded && !self.source.is_end_stream())
            .then(|| Chain::take(&mut head.headers))
            .flatten();
        self.filter = (chain.is_some() || reading.max_body.is_some()).then(|| {
            Box::new(Filter {
                chain: chain.unwrap_or_default(),
                limit: reading.max_body,
                given: 0,
                over: false,
            })
        });
    }

    /// Sets the limit of a body that is to be collected in memory, unless it has one, and returns it.
    ///
    /// What is too long by its own account is refused before any of it is read.
    pub(super) fn begin_collecting(&mut self) -> Result<u64> {
        let limit = match &mut self.filter {
            Some(filter) => *filter.limit.get_or_insert(MAX_COLLECTED),
            None => MAX_COLLECTED,
        };
        match self.size_hint().exact() {
            Some(length) if length > limit => Err(self.refuse(limit, length)),
            _ => Ok(limit),
        }
    }

    /// Ends a body of which that many bytes have been seen.
    pub(super) fn refuse(&mut self, limit: u64, seen: u64) -> Error {
        self.source.give_up();
        too_large(limit, seen).after_sending()
    }
}

impl Filter {
    fn poll_frame(
        &mut self,
        source: &mut Source,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        let limit = self.limit.unwrap_or(u64::MAX);
        loop {
            if !self.chain.is_empty() {
                // What has come may expand for long without any reading, which is what else yields.
                ready!(poll_proceed(cx)).made_progress();
                match self.chain.step(limit)? {
                    Progress::Part(part) => return Poll::Ready(Some(Ok(Frame::data(part)))),
                    Progress::Moved => continue,
                    Progress::Hungry => {}
                }
            }
            let Some(frame) = ready!(source.poll_frame(cx)?) else {
                self.chain.finish()?;
                return Poll::Ready(None);
            };
            match frame.into_data() {
                Ok(part) if self.chain.is_empty() => {
                    self.given += part.len() as u64;
                    if self.given > limit {
                        return Poll::Ready(Some(Err(too_large(limit, self.given))));
                    }
                    return Poll::Ready(Some(Ok(Frame::data(part))));
                }
                Ok(part) => self.chain.push(part),
                Err(trailers) => {
                    self.chain.finish()?;
                    return Poll::Ready(Some(Ok(trailers)));
                }
            }
        }
    }
}

impl HttpBody for Payload {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        let Self { source, filter } = &mut *self;
        let Some(filter) = filter else {
            return source.poll_frame(cx);
        };
        if filter.over {
            return Poll::Ready(None);
        }
        let frame = ready!(filter.poll_frame(source, cx));
        if let Some(Err(error)) = frame {
            filter.over = true;
            source.give_up();
            return Poll::Ready(Some(Err(error.after_sending())));
        }
        filter.over = frame.is_none();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.filter {
            Some(filter) if filter.over => true,
            // A coding may have ended too early, which is told at the end.
            Some(filter) if !filter.chain.is_empty() => false,
            _ => self.source.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.filter {
            Some(filter) if filter.over => SizeHint::with_exact(0),
            Some(filter) if !filter.chain.is_empty() => SizeHint::default(),
            _ => self.source.size_hint(),
        }
    }
}
