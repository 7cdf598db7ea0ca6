//! The body of a response, which drives its connection while it is read.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::timeout;

use super::http1::Link;
use super::limit::Limit;
use super::shared::{Exchange, Pool};
use super::upload::Upload;
use crate::error::{Error, ErrorKind, Result, TimeoutPhase};

/// How long the rest of a dropped body may take to come.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// The body of a response and the exchange that it ends.
///
/// The connection goes back to the pool at the body's end. Dropped before, the rest is read off if
/// it is small and comes soon, so that the connection survives; else the connection is closed.
pub(crate) struct Incoming {
    reader: Option<Reader>,
    remote_addr: Option<SocketAddr>,
}

/// The body while it is read. Dropping it closes a connection that it still drives.
struct Reader {
    body: hyper::body::Incoming,
    source: Source,
    limit: Limit,
    armed: Option<TimeoutPhase>,
}

/// Who drives the connection.
enum Source {
    /// Nobody: what is left of the body is in memory.
    Memory,
    /// The reader.
    Reader(Exchange),
    /// A task that also sends the rest of the request.
    Task(Arc<Upload>),
}

impl Incoming {
    /// Takes over from the head: gives the connection back at once if it is free already, hands it
    /// to a task if the request is still being sent, or else drives it.
    pub(super) fn new(
        exchange: Exchange,
        body: hyper::body::Incoming,
        limit: Limit,
        uploading: bool,
    ) -> Self {
        let remote_addr = exchange.link().remote_addr;
        let source = if exchange.is_ready() {
            drop(exchange.finish());
            Source::Memory
        } else if uploading {
            Source::Task(Upload::start(exchange))
        } else {
            Source::Reader(exchange)
        };
        let mut reader = Reader {
            body,
            source,
            limit,
            armed: None,
        };
        if reader.body.is_end_stream() {
            reader.finish();
        }
        Self {
            reader: Some(reader),
            remote_addr,
        }
    }

    /// The server's address, where the connector tells it.
    pub(crate) fn remote_addr(&self) -> Option<SocketAddr> {
        self.remote_addr
    }

    fn reader(&self) -> &Reader {
        self.reader.as_ref().expect("only drop takes the reader")
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.drain();
        }
    }
}

impl Reader {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let Poll::Ready(frame) = self.poll_body(cx) else {
            return self.pend(cx);
        };
        if self.armed.is_some() && !matches!(frame, Some(Err(_))) {
            self.disarm();
        }
        Poll::Ready(match frame {
            Some(Ok(_)) if self.is_overdue() => Some(Err(self.give_up(TimeoutPhase::Total))),
            Some(Ok(frame)) => {
                if self.body.is_end_stream() {
                    self.finish();
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => Some(Err(self.fail(error))),
            None => {
                self.finish();
                None
            }
        })
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let body = Pin::new(&mut self.body);
        let Source::Reader(exchange) = &self.source else {
            return body.poll_frame(cx);
        };
        let link = exchange.link();
        link.line.signal.begin(cx.waker());
        let mut own = Context::from_waker(&link.line.waker);
        match body.poll_frame(&mut own) {
            Poll::Pending => {
                link.drive(&mut own);
                Pin::new(&mut self.body).poll_frame(&mut own)
            }
            ready @ Poll::Ready(_) => ready,
        }
    }

    /// Nothing has come: sets the time limit, unless it has just passed.
    fn pend(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let Some((pool, link)) = self.source.parts() else {
            return Poll::Pending;
        };
        if let Source::Task(upload) = &self.source {
            upload.watch(cx.waker());
        }
        match self.armed {
            Some(phase) if link.line.signal.has_passed() => {
                return Poll::Ready(Some(Err(self.give_up(phase))));
            }
            Some(_) => {}
            None => {
                if let Some((at, phase)) = self.limit.from(pool.clock.now()) {
                    self.armed = Some(phase);
                    self.source.with_link(|pool, link| pool.arm(link, at));
                }
            }
        }
        match &self.source {
            Source::Reader(exchange) => exchange.link().line.pend(cx),
            Source::Memory | Source::Task(_) => Poll::Pending,
        }
    }

    /// Whether the whole request has taken too long although its body keeps coming: then nothing
    /// waits, and no time limit is set that could pass.
    fn is_overdue(&self) -> bool {
        let pool = self.source.parts().map(|(pool, _)| pool);
        let total = pool.zip(self.limit.total);
        total.is_some_and(|(pool, at)| !self.body.is_end_stream() && pool.clock.now() > at)
    }

    fn give_up(&mut self, phase: TimeoutPhase) -> Error {
        self.source.with_link(|_, link| link.sever());
        self.source = Source::Memory;
        Error::timeout(phase).after_sending()
    }

    fn disarm(&mut self) {
        self.armed = None;
        self.source.with_link(|_, link| link.line.signal.disarm());
    }

    fn finish(&mut self) {
        match std::mem::replace(&mut self.source, Source::Memory) {
            Source::Memory => {}
            Source::Reader(exchange) => {
                if let Some(sending) = exchange.finish() {
                    Upload::start(sending).leave_alone(self.limit.total);
                }
            }
            Source::Task(upload) => upload.leave_alone(self.limit.total),
        }
    }

    fn fail(&mut self, error: hyper::Error) -> Error {
        let link = self.source.parts().map(|(_, link)| link);
        let error = match (link, self.armed) {
            (Some(link), Some(phase)) if link.line.signal.has_passed() => Error::timeout(phase),
            (Some(link), _) if link.was_severed() => {
                Error::closed("the session was closed while the body was read")
            }
            _ => Error::new(kind_of(&error)).with_source(error),
        };
        self.source = Source::Memory;
        error.after_sending()
    }

    /// Reads off what is left of a body that nobody wants, as far as it has come.
    fn drain(mut self) {
        self.disarm();
        self.limit = Limit::new(TimeoutPhase::Read, None, None);
        let (pool, link) = match self.source.parts() {
            None => return,
            Some((pool, link)) => (Arc::clone(pool), Arc::clone(link)),
        };
        if let Source::Task(upload) = &self.source {
            return upload.with_link(|_, link| link.sever());
        }
        let budget = pool.config.drain_bytes;
        if self.body.size_hint().lower() > budget || pool.is_shut() {
            return;
        }
        let mut draining = Draining {
            reader: self,
            budget,
        };
        if draining
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
        {
            pool.set_background(&link);
            draining.go_on_in_background(&pool, &link);
        }
    }
}

impl Source {
    fn parts(&self) -> Option<(&Arc<Pool>, &Arc<Link>)> {
        match self {
            Self::Memory => None,
            Self::Reader(exchange) => Some((exchange.pool(), exchange.link())),
            Self::Task(upload) => Some(upload.parts()),
        }
    }

    fn with_link(&self, act: impl FnOnce(&Arc<Pool>, &Arc<Link>)) {
        match self {
            Self::Memory => {}
            Self::Reader(exchange) => act(exchange.pool(), exchange.link()),
            Self::Task(upload) => upload.with_link(act),
        }
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
        link.line
            .timer
            .runtime
            .spawn(pool.tasks.track_future(draining));
    }
}

/// What kind of failure hyper's error for a body stands for.
fn kind_of(error: &hyper::Error) -> ErrorKind {
    if error.is_user() {
        return ErrorKind::Body;
    }
    if error.is_parse() {
        return ErrorKind::Protocol;
    }
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    match cause.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => ErrorKind::Protocol,
        _ => ErrorKind::BodyTruncated,
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
        self.reader().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.reader().body.size_hint()
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("size_hint", &self.size_hint())
            .finish_non_exhaustive()
    }
}
