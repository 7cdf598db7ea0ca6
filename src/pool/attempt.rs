//! One attempt to make a connection, which its requester drives and anybody may cut or take over.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};

use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;

use super::connection::Connection;
use super::severable::Severable;
use super::timer::Timer;
use crate::error::{Error, Result};

pub(super) struct Attempt {
    /// Holds the permit as well: it comes back when the future is gone.
    connecting: Severable<BoxFuture<'static, Result<Connection>>>,
    /// Both may poll it for a while, and whoever polled last must not be the only one to be woken.
    requester: AtomicWaker,
    task: AtomicWaker,
    /// Whether it goes on for whoever comes next, as its requester has got another connection.
    adopted: AtomicBool,
    /// In milliseconds of the pool's clock.
    pub(super) began: u64,
    pub(super) timer: Arc<Timer>,
}

/// The requester's handle: gives the attempt up when dropped, unless it was adopted.
#[derive(Debug)]
pub(super) struct OwnedAttempt(pub(super) Arc<Attempt>);

/// The handle of the task that goes on with it: gives it up when dropped.
#[derive(Debug)]
pub(super) struct Adopted(pub(super) Arc<Attempt>);

impl Attempt {
    pub(super) fn new(
        connecting: BoxFuture<'static, Result<Connection>>,
        began: u64,
        timer: Arc<Timer>,
    ) -> Self {
        Self {
            connecting: Severable::new(connecting),
            requester: AtomicWaker::new(),
            task: AtomicWaker::new(),
            adopted: AtomicBool::new(false),
            began,
            timer,
        }
    }

    /// `None`: it was cut, or another has what came of it.
    fn poll(self: &Arc<Self>) -> Poll<Option<Result<Connection>>> {
        let waker = Waker::from(Arc::clone(self));
        self.connecting.poll(&mut Context::from_waker(&waker))
    }

    /// Takes it over from its requester. `false`: somebody has.
    pub(super) fn adopt(&self) -> bool {
        !self.adopted.swap(true, Ordering::SeqCst)
    }

    /// Closes what has been opened so far and tells the requester.
    pub(super) fn sever(&self) {
        self.connecting.sever();
        self.wake_both();
    }

    fn wake_both(&self) {
        self.requester.wake();
        self.task.wake();
    }
}

impl Wake for Attempt {
    fn wake(self: Arc<Self>) {
        self.wake_both();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_both();
    }
}

impl OwnedAttempt {
    /// `None`: it was adopted, and what its requester gets comes from elsewhere.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Connection>>> {
        self.0.requester.register(cx.waker());
        let made = ready!(self.0.poll());
        let adopted = self.0.adopted.load(Ordering::SeqCst);
        Poll::Ready(made.or_else(|| (!adopted).then(|| Err(severed()))))
    }
}

impl Adopted {
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<Connection>> {
        self.0.task.register(cx.waker());
        let made = ready!(self.0.poll());
        Poll::Ready(made.unwrap_or_else(|| Err(severed())))
    }
}

fn severed() -> Error {
    Error::closed("the session was closed while it was connecting")
}

impl Deref for OwnedAttempt {
    type Target = Arc<Attempt>;

    fn deref(&self) -> &Arc<Attempt> {
        &self.0
    }
}

impl Drop for OwnedAttempt {
    fn drop(&mut self) {
        if !self.0.adopted.load(Ordering::SeqCst) {
            self.0.connecting.close();
        }
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        self.0.connecting.close();
    }
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").finish_non_exhaustive()
    }
}
