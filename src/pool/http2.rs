//! An HTTP/2 connection: many streams at once, driven by tasks of its own.

use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, Waker};

use futures::Future;
use futures::future::BoxFuture;
use futures::task::AtomicWaker;
use h2::Reason;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper::rt;
use hyper_util::rt::TokioTimer;
use tokio_util::task::TaskTracker;

use super::line::Line;
use super::meter::Meter;
use super::permit::{Books, Io, Permit, Stamp};
use super::place::Place;
use super::severable::Severable;
use super::signal::Signal;
use super::timer::Timer;
use crate::body::Body;
use crate::config::Http2Config;
use crate::connect::{BoxConnection, Traffic};
use crate::error::{Error, ErrorKind, Result};

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
    remote_addr: Option<SocketAddr>,
    /// How many streams the peer allows.
    limit: AtomicUsize,
    /// Whether it takes no new ones.
    over: AtomicBool,
    meter: Meter,
    driving: Arc<Driving>,
    books: Weak<dyn Books>,
}

/// One request's stream, from before it is sent until its answer has been read or dropped.
pub(super) struct Stream {
    /// Until the request is sent: one that lies in the connection's channel while that ends is
    /// handed back when the last sender goes.
    sender: Option<SendRequest<Body>>,
    link: Arc<Link>,
    line: Line,
    /// The place among the connection's streams in the books.
    place: usize,
    pooled: bool,
}

impl Http2 {
    pub(super) async fn handshake(
        transport: BoxConnection,
        permit: Permit,
        place: Place,
        remote_addr: Option<SocketAddr>,
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
            remote_addr,
            limit: AtomicUsize::new(UNSETTLED),
            over: AtomicBool::new(false),
            meter: Meter::new(place.tallies, traffic),
            driving,
            books,
        });
        link.start(dispatch);
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
            link: Arc::clone(&self.link),
            line,
            place,
            pooled,
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
        if !self.has_streams {
            self.link.driving.poll_at_rest();
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

    /// Whether it takes no new streams, as far as it knows.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
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
        // Before the books are told: a connection that is not in them yet brings it along.
        self.over.store(true, Ordering::SeqCst);
        if let Some(books) = self.books.upgrade() {
            books.retire(self.stamp);
        }
    }

    /// Starts the task that makes streams of requests.
    fn start(self: &Arc<Self>, dispatch: Dispatch) {
        let driving = &self.driving;
        driving.dispatch.get_or_init(|| Severable::new(dispatch));
        let dispatching = Dispatching(Arc::clone(self));
        driving.spawn(async move { poll_fn(|cx| dispatching.0.poll_dispatch(cx)).await });
    }

    fn poll_dispatch(&self, cx: &mut Context<'_>) -> Poll<()> {
        let ended = self.driving.poll_dispatch(cx);
        if let Some(limit) = self.driving.stream_limit()
            && limit != self.limit()
        {
            self.driving.settled.store(true, Ordering::Relaxed);
            // Before the books are told: a connection that is not in them yet brings it along.
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
        self.link.meter.sent();
        let sender = self.sender.take();
        let mut sender = sender.expect("a stream carries one request");
        sender.try_send_request(message)
    }

    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// Whether the connection had been in the pool, and so may have died there.
    pub(super) fn is_pooled(&self) -> bool {
        self.pooled
    }

    pub(super) fn remote_addr(&self) -> Option<SocketAddr> {
        self.link.remote_addr
    }

    pub(super) fn was_severed(&self) -> bool {
        self.link.was_severed()
    }

    /// Lets no other stream begin on the connection.
    pub(super) fn retire(&self) {
        self.link.retire();
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.link.meter
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(books) = self.link.books.upgrade() {
            books.end_stream(self.link.stamp, self.place);
        }
    }
}

type Dispatch = Connection<Io, Body, Executor>;

/// The futures that are an HTTP/2 connection, and the tasks that poll them.
struct Driving {
    timer: Arc<Timer>,
    tasks: TaskTracker,
    /// Reads and writes the socket, and owns it.
    socket: OnceLock<Severable<BoxFuture<'static, ()>>>,
    socket_task: AtomicWaker,
    /// Takes requests and makes streams of them.
    dispatch: OnceLock<Severable<Dispatch>>,
    dispatch_task: AtomicWaker,
    /// Whether the peer has said how many streams it allows.
    settled: AtomicBool,
}

impl Driving {
    fn new(timer: Arc<Timer>, tasks: TaskTracker) -> Self {
        Self {
            timer,
            tasks,
            socket: OnceLock::new(),
            socket_task: AtomicWaker::new(),
            dispatch: OnceLock::new(),
            dispatch_task: AtomicWaker::new(),
            settled: AtomicBool::new(false),
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.timer.runtime.spawn(self.tasks.track_future(task));
    }

    fn poll_socket(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.socket_task.register(cx.waker());
        let Some(socket) = self.socket.get() else {
            return Poll::Ready(());
        };
        let polled = socket.poll(cx);
        if !self.settled.load(Ordering::Relaxed) {
            // The peer's settings may have come, of which only the dispatcher can tell.
            self.dispatch_task.wake();
        }
        polled.map(drop)
    }

    fn poll_dispatch(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.dispatch_task.register(cx.waker());
        match self.dispatch.get() {
            Some(dispatch) => dispatch.poll(cx).map(drop),
            None => Poll::Ready(()),
        }
    }

    fn stream_limit(&self) -> Option<usize> {
        let dispatch = self.dispatch.get()?;
        dispatch.look(Connection::current_max_send_streams)
    }

    /// Polls all of it once, in the place of its tasks, which have to be woken afterwards.
    fn poll_at_rest(&self) {
        let mut nobody = Context::from_waker(Waker::noop());
        if let Some(dispatch) = self.dispatch.get() {
            let _ = dispatch.poll(&mut nobody);
        }
        if let Some(socket) = self.socket.get() {
            let _ = socket.poll(&mut nobody);
        }
    }

    fn close(&self) {
        if let Some(socket) = self.socket.get() {
            socket.close();
        }
        if let Some(dispatch) = self.dispatch.get() {
            dispatch.close();
        }
        self.wake();
    }

    fn wake(&self) {
        self.socket_task.wake();
        self.dispatch_task.wake();
    }
}

/// What the task of the socket holds. When it ends, by itself or with its runtime, all of it does.
struct Running(Arc<Driving>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Runs what hyper spawns.
#[derive(Clone)]
struct Executor(Arc<Driving>);

impl<F: Future<Output = ()> + Send + 'static> rt::Executor<F> for Executor {
    /// The first task is the connection itself, which owns the socket: it is the one that can be
    /// cut. Those after it are its streams', and end with it.
    fn execute(&self, task: F) {
        let driving = &self.0;
        if driving.socket.get().is_some() {
            return driving.spawn(task);
        }
        driving
            .socket
            .get_or_init(|| Severable::new(Box::pin(task)));
        let running = Running(Arc::clone(driving));
        driving.spawn(async move { poll_fn(|cx| running.0.poll_socket(cx)).await });
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

/// Whether the server says that it has not begun to work on a request: it refused the stream, or
/// said goodbye before it came to it (RFC 9113 §8.7).
pub(super) fn is_refused(error: &hyper::Error) -> bool {
    cause_of(error).is_some_and(|cause| match cause.reason() {
        Some(Reason::REFUSED_STREAM) => cause.is_reset() && cause.is_remote(),
        Some(Reason::NO_ERROR) => cause.is_go_away() && cause.is_remote(),
        _ => false,
    })
}

/// Whether only a stream has ended, and not its connection.
pub(super) fn is_reset(error: &hyper::Error) -> bool {
    cause_of(error).is_some_and(h2::Error::is_reset)
}

fn cause_of(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error)?.downcast_ref()
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
        write!(f, "Stream({} of {:?})", self.place, self.link)
    }
}
