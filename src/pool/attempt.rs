//! One attempt to make a connection, which its requester drives and anybody may cut or take over.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use futures::future::BoxFuture;
use futures::task::AtomicWaker;

use super::connection::Connection;
use super::severable::Severable;
use super::timer::Timer;
use crate::error::{Error, Result};

pub(super) struct Attempt {
    /// Holds the permit as well: it comes back when the future is gone.
    connecting: Severable<BoxFuture<'static, Result<Connection>>>,
    task: AtomicWaker,
    /// Whether it goes on for whoever comes next, as its requester has got another connection.
    adopted: AtomicBool,
    over: AtomicBool,
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
        timer: Arc<Timer>,
    ) -> Self {
        Self {
            connecting: Severable::new(connecting),
            task: AtomicWaker::new(),
            adopted: AtomicBool::new(false),
            over: AtomicBool::new(false),
            timer,
        }
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<Connection>> {
        self.task.register(cx.waker());
        let made = ready!(self.connecting.poll(cx));
        Poll::Ready(made.unwrap_or_else(|| {
            Err(Error::closed(
                "the session was closed while it was connecting",
            ))
        }))
    }

    /// Takes it over from its requester. `false`: somebody has.
    pub(super) fn adopt(&self) -> bool {
        !self.adopted.swap(true, Ordering::SeqCst)
    }

    /// Whether the task that went on with it has ended.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Closes what has been opened so far and tells the requester.
    pub(super) fn sever(&self) {
        self.connecting.sever();
        self.task.wake();
    }
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
        self.0.over.store(true, Ordering::SeqCst);
        self.0.connecting.close();
    }
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").finish_non_exhaustive()
    }
}
