//! The futures that are an HTTP/2 connection, and the tasks that poll them.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use futures_util::{Future, FutureExt};
use hyper::client::conn::http2::Connection;
use hyper::rt;
use tokio::task::coop::unconstrained;

use super::permit::Io;
use super::severable::Severable;
use super::tasks::Tasks;
use super::timer::Timer;
use crate::body::Body;

pub(super) type Dispatch = Connection<Io, Body, Executor>;

/// The futures that are an HTTP/2 connection, and the tasks that poll them.
pub(super) struct Driving {
    pub(super) timer: Arc<Timer>,
    pub(super) tasks: Tasks,
    /// Reads and writes the socket, and owns it.
    pub(super) socket: OnceLock<Severable<BoxFuture<'static, ()>>>,
    pub(super) socket_task: AtomicWaker,
    /// Takes requests and makes streams of them.
    pub(super) dispatch: OnceLock<Severable<Dispatch>>,
    pub(super) dispatch_task: AtomicWaker,
    /// Whether its streams have run out: those who wait must hear when the peer allows more, or says
    /// goodbye, of which only the dispatcher can tell.
    pub(super) full: AtomicBool,
    /// Why it has ended, once that is known.
    ended: OnceLock<Arc<hyper::Error>>,
}

impl Driving {
    pub(super) fn new(timer: Arc<Timer>, tasks: Tasks) -> Self {
        Self {
            timer,
            tasks,
            socket: OnceLock::new(),
            socket_task: AtomicWaker::new(),
            dispatch: OnceLock::new(),
            dispatch_task: AtomicWaker::new(),
            full: AtomicBool::new(false),
            ended: OnceLock::new(),
        }
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(&self.timer.runtime, task);
    }

    pub(super) fn poll_socket(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.socket_task.register(cx.waker());
        let Some(socket) = self.socket.get() else {
            return Poll::Ready(());
        };
        let polled = socket.poll(cx);
        if polled.is_ready() {
            self.ask_dispatch();
        }
        if self.full.load(Ordering::SeqCst) {
            self.dispatch_task.wake();
        }
        polled.map(drop)
    }

    pub(super) fn poll_dispatch(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.dispatch_task.register(cx.waker());
        match self.dispatch.get() {
            Some(dispatch) => dispatch.poll(cx).map(|ended| self.note(ended)),
            None => Poll::Ready(()),
        }
    }

    fn note(&self, ended: Option<hyper::Result<()>>) {
        if let Some(Err(error)) = ended {
            self.ended.get_or_init(|| Arc::new(error));
        }
    }

    /// Why it has ended, for one of the streams that ended with it, which knows only its `own` error.
    /// All of them are told the same.
    pub(super) fn why(&self, own: hyper::Error) -> Arc<hyper::Error> {
        if own.is_canceled() || own.is_user() {
            // It was never sent, and only knows that nobody took it.
            let known = self.ended.get().map(Arc::clone);
            return known.unwrap_or_else(|| Arc::new(own));
        }
        self.ask_dispatch();
        Arc::clone(self.ended.get_or_init(|| Arc::new(own)))
    }

    /// Has the dispatcher end after the socket, and say why: it alone is told of a goodbye that came
    /// before the end. As the connection is over, it polls no request's body.
    fn ask_dispatch(&self) {
        if self.ended.get().is_some() {
            return;
        }
        let mut nobody = Context::from_waker(Waker::noop());
        let dispatch = self.dispatch.get();
        if let Some(Poll::Ready(ended)) = dispatch.and_then(|own| own.try_poll(&mut nobody)) {
            self.note(ended);
        }
        self.dispatch_task.wake();
    }

    pub(super) fn stream_limit(&self) -> Option<usize> {
        let dispatch = self.dispatch.get()?;
        dispatch.look(Connection::current_max_send_streams)
    }

    /// Polls all of it once, in the place of its tasks, which have to be woken afterwards. `false`:
    /// the dispatcher is being polled, which may be where this was called from, by a request's body.
    pub(super) fn poll_at_rest(&self) -> bool {
        // Woken is nobody, and a spent cooperation budget of the caller's task does not count.
        let polling = unconstrained(poll_fn(|nobody| {
            if let Some(dispatch) = self.dispatch.get()
                && dispatch.try_poll(nobody).is_none()
            {
                return Poll::Ready(false);
            }
            if let Some(socket) = self.socket.get() {
                let _ = socket.poll(nobody);
            }
            Poll::Ready(true)
        }));
        polling.now_or_never().unwrap_or(true)
    }

    pub(super) fn close(&self) {
        if let Some(socket) = self.socket.get() {
            socket.close();
        }
        if let Some(dispatch) = self.dispatch.get() {
            // Not waited for: its poll may run a request's body.
            dispatch.sever();
        }
        self.wake();
    }

    pub(super) fn wake(&self) {
        self.socket_task.wake();
        self.dispatch_task.wake();
    }
}

/// What the task of the socket holds. When it ends, by itself or with its runtime, all of it does.
pub(super) struct Running(pub(super) Arc<Driving>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Runs what hyper spawns.
#[derive(Clone)]
pub(super) struct Executor(pub(super) Arc<Driving>);

impl<F: Future<Output = ()> + Send + 'static> rt::Executor<F> for Executor {
    /// The first task is the connection itself, which owns the socket: it is the one that can be
    /// cut, and waits for its start. Those after it are its streams', and end with it.
    fn execute(&self, task: F) {
        let driving = &self.0;
        if driving.socket.get().is_some() {
            return driving.spawn(task);
        }
        driving
            .socket
            .get_or_init(|| Severable::new(Box::pin(task)));
    }
}
