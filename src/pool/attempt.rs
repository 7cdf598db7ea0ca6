//! One attempt to make a connection, which its requester drives and anybody may cut.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::task::AtomicWaker;

use super::http1::Http1;
use crate::error::{Error, Result};

pub(super) struct Attempt {
    /// Holds the permit as well: it comes back when the future is gone.
    connecting: Mutex<Option<BoxFuture<'static, Result<Http1>>>>,
    severed: AtomicBool,
    task: AtomicWaker,
}

/// The requester's handle: gives the attempt up when dropped.
#[derive(Debug)]
pub(super) struct OwnedAttempt(pub(super) Arc<Attempt>);

impl Attempt {
    pub(super) fn new(connecting: BoxFuture<'static, Result<Http1>>) -> Self {
        Self {
            connecting: Mutex::new(Some(connecting)),
            severed: AtomicBool::new(false),
            task: AtomicWaker::new(),
        }
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<Http1>> {
        self.task.register(cx.waker());
        let mut connecting = self.lock();
        let polled = match connecting.as_mut() {
            Some(running) => running.as_mut().poll(cx),
            None => return Poll::Ready(Err(severed())),
        };
        let ended = polled.is_ready().then(|| connecting.take());
        drop(connecting);
        drop(ended);
        if self.severed.load(Ordering::SeqCst) {
            self.give_up();
            // A connection made in this very poll is closed here.
            return Poll::Ready(Err(severed()));
        }
        polled
    }

    /// Closes what has been opened so far and tells the requester.
    pub(super) fn sever(&self) {
        self.severed.store(true, Ordering::SeqCst);
        // Being polled right now? Then the poll sees the flag when it is over.
        let taken = match self.connecting.try_lock() {
            Ok(mut connecting) => connecting.take(),
            Err(_) => None,
        };
        drop(taken);
        self.task.wake();
    }

    fn give_up(&self) {
        let taken = self.lock().take();
        drop(taken);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<BoxFuture<'static, Result<Http1>>>> {
        self.connecting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn severed() -> Error {
    Error::closed("the session was closed while it was connecting")
}

impl Deref for OwnedAttempt {
    type Target = Attempt;

    fn deref(&self) -> &Attempt {
        &self.0
    }
}

impl Drop for OwnedAttempt {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").finish_non_exhaustive()
    }
}
