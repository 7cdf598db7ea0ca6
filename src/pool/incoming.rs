//! The body of a response, from its head to the end of the exchange.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::timeout;

use super::connection::Lane;
use super::http1::Link;
use super::limit::Limit;
use super::reader::{Reader, Source};
use super::sending::Sending;
use super::shared::{Exchange, Pool};
use super::timings::{Course, Timings};
use crate::error::{Error, Result};

/// How long the rest of a dropped body may take to come.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// The body of a response and the exchange that it ends.
///
/// A connection of its own goes back to the pool at the body's end. Dropped before, the rest is read
/// off if it is small and comes soon, so that the connection survives; else the connection is
/// closed. A stream of a shared connection is reset.
pub(crate) struct Incoming {
    reader: Option<Reader>,
    course: Course,
}

impl Incoming {
    /// Takes over from the head: gives the connection back at once if it is free already, hands it
    /// to a task if the request is still being sent, or else drives it.
    pub(super) fn new(
        exchange: Exchange,
        body: hyper::body::Incoming,
        limit: Limit,
        upload: Sending,
        course: Course,
        now: u64,
    ) -> Self {
        let source = if exchange.is_ready() {
            drop(exchange.finish(now));
            Source::Memory
        } else if upload.is_running() {
            Source::upload(exchange)
        } else {
            Source::Reader(exchange)
        };
        Self {
            reader: Some(Reader::new(body, source, limit, upload)),
            course,
        }
    }

    pub(crate) fn timings(&self) -> Timings {
        self.course.timings()
    }

    /// The server's address, where the connector tells it.
    pub(crate) fn remote_addr(&self) -> Option<SocketAddr> {
        self.course.made.remote_addr
    }

    /// Closes a connection of its own, or resets the stream: what comes on it is not wanted, or not to
    /// be believed. Nothing more of the body is given.
    pub(crate) fn give_up(&mut self) {
        let reader = self.reader.as_mut().expect("only drop takes the reader");
        reader.sever();
    }

    fn reader(&self) -> &Reader {
        self.reader.as_ref().expect("only drop takes the reader")
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            drain(reader);
        }
    }
}

/// Reads off what is left of a body that nobody wants, as far as it has come.
fn drain(mut reader: Reader) {
    reader.take_its_time();
    let (pool, link) = match reader.source() {
        Source::Memory => return,
        source @ Source::Task(_) => return source.sever(),
        Source::Reader(exchange) => match exchange.lane() {
            // Dropped, it is reset.
            Lane::Http2(_) => return reader.leave(),
            Lane::Http1(connection) => (Arc::clone(exchange.pool()), Arc::clone(&connection.link)),
        },
    };
    let budget = pool.config.drain_bytes;
    if reader.size_hint().lower() > budget || pool.is_shut() {
        return;
    }
    let mut draining = Draining { reader, budget };
    let mut nobody = Context::from_waker(Waker::noop());
    if draining.poll(&mut nobody).is_pending() {
        pool.set_background(&link);
        draining.go_on_in_background(&pool, &link);
    }
}

/// A dropped body and how much of it may still be read.
struct Draining {
    reader: Reader,
    budget: u64,
}

impl Draining {
    /// `Ready`: the connection has been given back, or must be closed.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let length = match ready!(self.reader.poll_frame(cx)) {
                Some(Ok(frame)) => frame.data_ref().map_or(0, |data| data.len() as u64),
                Some(Err(_)) | None => return Poll::Ready(()),
            };
            match self.budget.checked_sub(length) {
                Some(rest) => self.budget = rest,
                None => return Poll::Ready(()),
            }
        }
    }

    fn go_on_in_background(mut self, pool: &Arc<Pool>, link: &Arc<Link>) {
        let draining = async move {
            // Out of time, the connection is closed where this future ends.
            let _ = timeout(DRAIN_TIME, poll_fn(|cx| self.poll(cx))).await;
        };
        pool.tasks.spawn(&link.line.timer.runtime, draining);
    }
}

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        let reader = self.reader.as_mut().expect("only drop takes the reader");
        reader.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.reader().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.reader().size_hint()
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("size_hint", &self.size_hint())
            .finish_non_exhaustive()
    }
}
