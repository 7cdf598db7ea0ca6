//! The body of a response while it is read: who drives the connection, how long a read may take,
//! and what a failure means.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use super::connection::Lane;
use super::flood::Flood;
use super::http1::Link;
use super::limit::Limit;
use super::line::Line;
use super::meter::End;
use super::sending::Sending;
use super::shared::{Exchange, Pool};
use super::upload::Upload;
use crate::error::{BoxError, Error, ErrorKind, Result, TimeoutPhase};

/// A body and the exchange that it ends. Dropping it closes a connection that it still drives, or
/// resets its stream.
pub(super) struct Reader {
    // Fields drop in this order: a stream is reset before its place is another's.
    /// `None`: given up.
    body: Option<Incoming>,
    source: Source,
    /// The request's own body.
    upload: Sending,
    limit: Limit,
    armed: Option<TimeoutPhase>,
    flood: Flood,
    /// Bytes of it that have come after the head.
    read: usize,
}

/// A body that brings more, in bytes, leaves hyper with a large buffer: it doubles, from 8 KiB, with
/// each read that fills it.
const LARGE: usize = 128 * 1024;

/// Who drives the connection.
pub(super) enum Source {
    /// Nobody: what is left of the body is in memory.
    Memory,
    /// The reader, or tasks of the connection's own.
    Reader(Exchange),
    /// A task that also sends the rest of the request.
    Task(Arc<Upload>),
}

impl Reader {
    pub(super) fn new(body: Incoming, source: Source, limit: Limit, upload: Sending) -> Self {
        let mut reader = Self {
            body: Some(body),
            source,
            upload,
            limit,
            armed: None,
            flood: Flood::default(),
            read: 0,
        };
        reader.finish_if_over();
        reader
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// As of the last look: over HTTP/2, each look takes the lock of all streams.
    pub(super) fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let body = self.body.as_ref();
        body.map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }

    /// Goes on without any time limit.
    pub(super) fn take_its_time(&mut self) {
        self.disarm();
        self.limit = Limit::new(TimeoutPhase::Read, None, None);
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        let Poll::Ready(frame) = self.poll_body(cx) else {
            return self.pend(cx);
        };
        self.flood = Flood::default();
        if self.armed.is_some() && !matches!(frame, Some(Err(_))) {
            self.disarm();
        }
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                self.finish_if_over();
                if self.is_overdue() {
                    Some(Err(self.give_up(TimeoutPhase::Total)))
                } else {
                    Some(Ok(frame))
                }
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
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let Source::Reader(exchange) = &self.source else {
            return Pin::new(body).poll_frame(cx);
        };
        let line = exchange.line();
        line.signal.begin(cx.waker());
        let mut own = Context::from_waker(&line.waker);
        match (Pin::new(&mut *body).poll_frame(&mut own), exchange.lane()) {
            (Poll::Pending, Lane::Http1(connection)) => {
                connection.link.drive(&mut own);
                let frame = Pin::new(body).poll_frame(&mut own);
                if let Poll::Ready(Some(Ok(part))) = &frame {
                    let length = part.data_ref().map_or(0, Bytes::len);
                    self.read = self.read.saturating_add(length);
                }
                frame
            }
            (polled, _) => polled,
        }
    }

    /// Nothing has come: sets the time limit, unless it has just passed.
    fn pend(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let Some((pool, line)) = self.source.parts() else {
            return Poll::Pending;
        };
        if self.flood.may_be() && self.source.is_flooded(&mut self.flood) {
            self.sever();
            let error = Error::new(ErrorKind::Protocol);
            let what =
                "the peer sent more than 1 MiB in the midst of its body that is no part of it";
            return Poll::Ready(Some(Err(error.with_message(what).after_sending())));
        }
        if let Source::Task(upload) = &self.source {
            upload.watch(cx.waker());
        }
        match self.armed {
            Some(phase) if line.signal.has_passed() => {
                return Poll::Ready(Some(Err(self.give_up(phase))));
            }
            Some(_) => {}
            None => {
                if let Some((at, phase)) = self.limit.from(pool.clock.now()) {
                    self.armed = Some(phase);
                    self.source.with_line(|pool, line| pool.arm(line, at));
                }
            }
        }
        match &self.source {
            Source::Reader(exchange) => exchange.line().pend(cx),
            Source::Memory | Source::Task(_) => Poll::Pending,
        }
    }

    /// Whether the whole request has taken too long although its body keeps coming: then nothing
    /// waits, and no time limit is set that could pass.
    fn is_overdue(&self) -> bool {
        let pool = self.source.parts().map(|(pool, _)| pool);
        let total = pool.zip(self.limit.total());
        total.is_some_and(|(pool, at)| pool.clock.now() > at)
    }

    fn give_up(&mut self, phase: TimeoutPhase) -> Error {
        self.sever();
        Error::timeout(phase).after_sending()
    }

    /// Ends the exchange at once, and a connection of its own with it.
    pub(super) fn sever(&mut self) {
        self.source.ends(End::Error);
        self.source.sever();
        self.leave();
    }

    /// Lets go of what is left of the answer, and of the request with it.
    pub(super) fn leave(&mut self) {
        self.body = None;
        self.source = Source::Memory;
    }

    fn disarm(&mut self) {
        self.armed = None;
        self.source.with_line(|_, line| line.signal.disarm());
    }

    fn finish_if_over(&mut self) {
        if self.body.as_ref().is_some_and(HttpBody::is_end_stream) {
            self.finish();
        }
    }

    fn finish(&mut self) {
        // Nothing more comes: a stream that is held keeps its connection from saying goodbye.
        self.body = None;
        match std::mem::replace(&mut self.source, Source::Memory) {
            Source::Memory => {}
            Source::Reader(exchange) if exchange.is_shared() => {
                exchange.leave_stream(self.limit.total());
            }
            Source::Reader(mut exchange) => {
                if self.read > LARGE {
                    exchange.renew();
                }
                let now = exchange.pool().clock.now();
                if let Some(Source::Task(sending)) = exchange.finish(now).map(Source::upload) {
                    sending.leave_alone(self.limit.total());
                }
            }
            Source::Task(upload) => upload.leave_alone(self.limit.total()),
        }
    }

    fn fail(&mut self, error: hyper::Error) -> Error {
        self.source.ends(End::Error);
        let line = self.source.parts().map(|(_, line)| line);
        let error = match (line, self.armed) {
            (Some(line), Some(phase)) if line.signal.has_passed() => Error::timeout(phase),
            _ if self.source.was_severed() => {
                Error::closed("the session was closed while the body was read")
            }
            _ => match self.upload.take_failure() {
                Some(own) => own,
                None => Error::new(kind_of(&error)).with_source(self.source.cause_of(error)),
            },
        };
        self.leave();
        error.after_sending()
    }
}

impl Source {
    /// The source of an answer whose request is still being sent: over HTTP/1, a task sees to that.
    pub(super) fn upload(exchange: Exchange) -> Self {
        match exchange.lane() {
            Lane::Http1(connection) => {
                let link = Arc::clone(&connection.link);
                Self::Task(Upload::start(exchange, link))
            }
            Lane::Http2(_) => Self::Reader(exchange),
        }
    }

    pub(super) fn parts(&self) -> Option<(&Arc<Pool>, &Line)> {
        match self {
            Self::Memory => None,
            Self::Reader(exchange) => Some((exchange.pool(), exchange.line())),
            Self::Task(upload) => Some(upload.parts()),
        }
    }

    fn with_line(&self, act: impl FnOnce(&Arc<Pool>, &Line)) {
        match self {
            Self::Memory => {}
            Self::Reader(exchange) => act(exchange.pool(), exchange.line()),
            Self::Task(upload) => upload.with_link(|pool, link| act(pool, &link.line)),
        }
    }

    /// Does something to a connection that is the exchange's own, and not shared.
    fn with_own_link(&self, act: impl FnOnce(&Link)) {
        match self {
            Self::Memory => {}
            Self::Reader(exchange) => {
                if let Lane::Http1(connection) = exchange.lane() {
                    act(&connection.link);
                }
            }
            Self::Task(upload) => upload.with_link(|_, link| act(link)),
        }
    }

    /// Whether bytes keep coming that are no part of the body.
    #[cold]
    fn is_flooded(&self, flood: &mut Flood) -> bool {
        let mut is_flooded = false;
        self.with_own_link(|link| is_flooded = flood.is_too_much(&link.meter, 0));
        is_flooded
    }

    /// Says why a connection of the exchange's own is closed.
    fn ends(&self, why: End) {
        self.with_own_link(|link| link.meter.end(why));
    }

    /// Cuts a connection that is the exchange's own. A shared one only loses a stream, by the body's
    /// drop.
    pub(super) fn sever(&self) {
        self.with_own_link(Link::sever);
    }

    /// What a body failed of: `error`, or what ended a shared connection for all.
    fn cause_of(&self, error: hyper::Error) -> BoxError {
        match self {
            Self::Reader(exchange) => exchange.lane().cause_of(error),
            Self::Memory | Self::Task(_) => error.into(),
        }
    }

    fn was_severed(&self) -> bool {
        match self {
            Self::Memory => false,
            Self::Reader(exchange) => exchange.lane().was_severed(),
            Self::Task(upload) => upload.was_severed(),
        }
    }
}

/// What kind of failure hyper's error for a body stands for.
fn kind_of(error: &hyper::Error) -> ErrorKind {
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
