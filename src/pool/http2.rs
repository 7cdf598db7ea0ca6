//! An HTTP/2 connection: many streams at once, driven by tasks of its own.

use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use futures_util::Future;
use h2::Reason;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::TokioTimer;

use super::driving::{Driving, Executor, Running};
use super::line::Line;
use super::meter::Meter;
use super::permit::{Books, Io, Permit, Stamp};
use super::place::Place;
use super::severable::Severable;
use super::signal::Signal;
use super::timer::Timer;
use super::timings::Made;
use crate::body::{Body, Progress};
use crate::config::Http2Config;
use crate::connect::{BoxConnection, Traffic};
use crate::error::{BoxError, Error, ErrorKind, Result};

/// How many streams a connection may have until its peer has said how many.
const UNSETTLED: usize = 1;

/// The pool's handle to a connection that takes new streams. Dropping it closes the socket, unless
/// it was left or has streams that go on.
pub(super) struct Http2 {
    sender: Option<SendRequest<Body>>,
    link: Arc<Link>,
    /// Whether streams go on when this handle is gone.
    has_streams: bool,
}

/// What is known of a connection by all who use it.
pub(super) struct Link {
    stamp: Stamp,
    origin: usize,
    made: Arc<Made>,
    /// How many streams the peer allows.
    limit: AtomicUsize,
    meter: Meter,
    driving: Arc<Driving>,
    books: Weak<dyn Books>,
}

/// What ended a connection with all of its streams.
#[derive(Debug)]
pub(super) struct Ended(Arc<hyper::Error>);

/// One request's stream, from before it is sent until its answer has been read or dropped.
pub(super) struct Stream {
    // Fields drop in this order: a connection says goodbye when it has no sender left.
    /// Until the request is sent: one that lies in the connection's channel while that ends is
    /// handed back when the last sender goes.
    sender: Option<SendRequest<Body>>,
    seat: Seat,
    line: Line,
    pooled: bool,
    /// What the connection had sent before the request was given to it, in bytes.
    sent_before: Option<u64>,
    /// The request's body, if that can still be on its way when its answer is over.
    upload: Option<Arc<Progress>>,
}

/// A place among the streams of a connection in the books. Dropping it gives it back.
struct Seat {
    link: Arc<Link>,
    place: usize,
}

impl Http2 {
    pub(super) async fn handshake(
        transport: BoxConnection,
        permit: Permit,
        place: Place,
        made: Arc<Made>,
        traffic: Option<Arc<Traffic>>,
        config: &Http2Config,
    ) -> Result<Self> {
        let driving = Arc::new(Driving::new(place.timer, place.tasks));
        let (stamp, books) = (permit.stamp(), permit.books());
        let io = Io::new(transport, Arc::new(Signal::new()), permit);
        let handshake = builder(config, Executor(Arc::clone(&driving))).handshake(io);
        let (sender, dispatch) = handshake
            .await
            .map_err(|error| Error::new(ErrorKind::Connect).with_source(error))?;
        let link = Arc::new(Link {
            stamp,
            origin: place.origin,
            made,
            limit: AtomicUsize::new(UNSETTLED),
            meter: Meter::new(place.tallies, traffic),
            driving,
            books,
        });
        let dispatching = &link.driving.dispatch;
        dispatching.get_or_init(|| Severable::new(dispatch));
        Ok(Self {
            sender: Some(sender),
            link,
            has_streams: false,
        })
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Begins a stream, entered in the books at `place`.
    pub(super) fn stream(&self, line: Line, place: usize, pooled: bool) -> Stream {
        Stream {
            sender: self.sender.clone(),
            seat: Seat {
                link: Arc::clone(&self.link),
                place,
            },
            line,
            pooled,
            sent_before: None,
            upload: None,
        }
    }

    /// Lets the streams go on that there are when this handle goes.
    pub(super) fn keep_streams(&mut self) {
        self.has_streams = true;
    }

    /// Takes no new stream; the connection says goodbye by itself when the last one is over.
    pub(super) fn leave(mut self) {
        self.sender = None;
    }

    /// Says goodbye: GOAWAY, and when no stream is left FIN, under TLS `close_notify` first. Never
    /// waits.
    pub(super) fn shut_down(mut self) {
        self.sender = None;
        // Without its handle, a dispatcher that is being polled ends by itself, and all of it then.
        if !self.has_streams && self.link.driving.poll_at_rest() {
            self.link.close();
        }
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        if self.sender.is_some() && !self.has_streams {
            self.link.close();
        }
    }
}

impl Link {
    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    pub(super) fn origin(&self) -> usize {
        self.origin
    }

    pub(super) fn timer(&self) -> &Arc<Timer> {
        &self.driving.timer
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// How many streams the peer allows at a time.
    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::SeqCst)
    }

    /// Notes whether its streams have run out.
    pub(super) fn set_full(&self, full: bool) {
        self.driving.full.store(full, Ordering::SeqCst);
    }

    /// Closes the socket now, whoever is using it.
    fn close(&self) {
        self.driving.close();
    }

    /// Cuts the connection with all its streams.
    pub(super) fn sever(&self) {
        if let Some(socket) = self.driving.socket.get() {
            socket.sever();
        }
        self.driving.wake();
    }

    /// Whether the connection was cut by us.
    fn was_severed(&self) -> bool {
        let socket = self.driving.socket.get();
        socket.is_some_and(Severable::was_severed)
    }

    fn retire(&self) {
        if let Some(books) = self.books.upgrade() {
            books.retire(self.stamp);
        }
    }

    /// Starts the tasks, once the connection is in the books: it may end in this very moment.
    pub(super) fn start(self: &Arc<Self>) {
        let driving = &self.driving;
        let running = Running(Arc::clone(driving));
        driving.spawn(async move { poll_fn(|cx| running.0.poll_socket(cx)).await });
        let dispatching = Dispatching(Arc::clone(self));
        driving.spawn(async move { poll_fn(|cx| dispatching.0.poll_dispatch(cx)).await });
    }

    fn poll_dispatch(&self, cx: &mut Context<'_>) -> Poll<()> {
        let ended = self.driving.poll_dispatch(cx);
        if let Some(limit) = self.driving.stream_limit()
            && limit != self.limit()
        {
            self.limit.store(limit, Ordering::SeqCst);
            if let Some(books) = self.books.upgrade() {
                books.limit_streams(self.stamp);
            }
        }
        ended
    }
}

/// What the task of the dispatcher holds. When it ends, by itself or with its runtime, no new
/// stream begins.
struct Dispatching(Arc<Link>);

impl Drop for Dispatching {
    fn drop(&mut self) {
        let Self(link) = self;
        if let Some(dispatch) = link.driving.dispatch.get() {
            dispatch.close();
        }
        link.retire();
    }
}

impl Stream {
    /// Sends the request. Does not borrow the stream.
    pub(super) fn send(
        &mut self,
        message: Request<Body>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Body>>>> + use<> {
        let meter = &self.seat.link.meter;
        meter.sent();
        self.sent_before = meter.bytes_sent();
        self.upload = message.body().progress();
        let sender = self.sender.take();
        let mut sender = sender.expect("a stream carries one request");
        sender.try_send_request(message)
    }

    /// Whether the connection has sent nothing since the request was given to it, and so did not send
    /// it before its end. hyper hands back only what it has not taken.
    ///
    /// Of a goodbye, which may leave other streams, each hears whether it was refused; only the last
    /// that the peer's limit allowed does not, as hyper keeps it back until its head is written. In
    /// that moment it counts as sent: h2 may still send it.
    pub(super) fn is_unsent(&self) -> bool {
        self.sent_before.is_some() && self.sent_before == self.meter().bytes_sent()
    }

    /// What has still to be sent of the request. Asked once.
    pub(super) fn take_unsent(&mut self) -> Option<Arc<Progress>> {
        self.upload.take().filter(|upload| !upload.is_sent())
    }

    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// Whether the connection had been in the pool, and so may have died there.
    pub(super) fn is_pooled(&self) -> bool {
        self.pooled
    }

    pub(super) fn made(&self) -> &Arc<Made> {
        &self.seat.link.made
    }

    pub(super) fn was_severed(&self) -> bool {
        self.seat.link.was_severed()
    }

    /// Lets no other stream begin on the connection.
    pub(super) fn retire(&self) {
        self.seat.link.retire();
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.seat.link.meter
    }

    /// What a request failed of: `error`, or what ended its connection for all.
    pub(super) fn cause_of(&self, error: hyper::Error) -> BoxError {
        match cause_of(&error) {
            Some(own) if !own.is_go_away() && !own.is_io() => error.into(),
            _ => Ended(self.seat.link.driving.why(error)).into(),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(books) = self.link.books.upgrade() {
            books.end_stream(self.link.stamp, self.place);
        }
    }
}

fn builder(config: &Http2Config, executor: Executor) -> Builder<Executor> {
    let mut builder = Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .initial_max_send_streams(UNSETTLED)
        .initial_stream_window_size(config.initial_stream_window_size)
        .initial_connection_window_size(config.initial_connection_window_size)
        .max_frame_size(config.max_frame_size)
        .max_header_list_size(config.max_header_list_size)
        .keep_alive_interval(config.keep_alive_interval)
        .keep_alive_timeout(config.keep_alive_timeout)
        .keep_alive_while_idle(config.keep_alive_while_idle);
    if config.adaptive_window {
        builder.adaptive_window(true);
    }
    builder
}

/// What a request's body fails of that nobody waits for any more: its stream is reset, and no error.
pub(super) fn called_off() -> Error {
    let cancel = h2::Error::from(Reason::CANCEL);
    Error::new(ErrorKind::Body).with_source(cancel)
}

/// Whether the server says that it has not begun to work on a request: it refused the stream, or
/// said goodbye before it came to it (RFC 9113 §8.7).
pub(super) fn is_refused(error: &hyper::Error) -> bool {
    cause_of(error).is_some_and(|cause| match cause.reason() {
        Some(Reason::REFUSED_STREAM) => cause.is_reset() && cause.is_remote(),
        // Whatever the reason: h2 says so only of streams that the peer has not come to.
        _ => cause.is_go_away() && cause.is_remote(),
    })
}

/// Whether only a stream has ended, and not its connection.
pub(super) fn is_reset(error: &hyper::Error) -> bool {
    cause_of(error).is_some_and(h2::Error::is_reset)
}

/// Whether a stream was ended here, for an answer that is malformed or too large.
pub(super) fn is_unacceptable(error: &hyper::Error) -> bool {
    cause_of(error).is_some_and(|cause| cause.is_reset() && cause.is_library())
}

fn cause_of(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the HTTP/2 connection has ended with all of its streams")
    }
}

impl std::error::Error for Ended {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

impl fmt::Debug for Http2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Http2({:?})", self.link)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.stamp.id)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({} of {:?})", self.seat.place, self.seat.link)
    }
}
