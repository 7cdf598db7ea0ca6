//! What an exchange waits on: who is woken, and until when.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::signal::Signal;
use super::timer::Timer;

/// The one waker of an exchange, and the timer that watches its time limit.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) signal: Arc<Signal>,
    /// `signal` as a waker, so that no poll has to make one.
    pub(super) waker: Waker,
    pub(super) timer: Arc<Timer>,
}

impl Line {
    pub(super) fn new(timer: Arc<Timer>) -> Self {
        let signal = Arc::new(Signal::new());
        Self {
            waker: Waker::from(Arc::clone(&signal)),
            signal,
            timer,
        }
    }

    /// Ends a poll with nothing to show, handing on a wake-up that came during it.
    pub(super) fn pend<T>(&self, cx: &mut Context<'_>) -> Poll<T> {
        if self.signal.end() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
