//! A future that one task polls and anybody may cut.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll};

use futures_util::Future;

/// Holds what a future holds (a socket, a permit) until it ends, is given up, or is cut.
///
/// The mutex is held during each poll, which may run a user's code (the request's body). So a cut
/// never waits for it: it leaves a mark, which the poll under way finds at its end. Whoever cuts
/// also wakes the one who polls: should that poll have missed the mark, the next one does not.
#[derive(Debug)]
pub(super) struct Severable<F> {
    inside: Mutex<Option<F>>,
    severed: AtomicBool,
}

impl<F: Future + Unpin> Severable<F> {
    pub(super) fn new(future: F) -> Self {
        Self {
            inside: Mutex::new(Some(future)),
            severed: AtomicBool::new(false),
        }
    }

    /// Polls the future: the only place that does. `Ready`: it is gone, with what it ended in, if
    /// it was not cut or given up.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        self.poll_inside(self.lock(), cx)
    }

    /// The same, unless a poll is under way, be it this very thread's: `None`.
    pub(super) fn try_poll(&self, cx: &mut Context<'_>) -> Option<Poll<Option<F::Output>>> {
        Some(self.poll_inside(self.try_lock()?, cx))
    }

    fn poll_inside(
        &self,
        mut inside: MutexGuard<'_, Option<F>>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<F::Output>> {
        let Some(running) = inside.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(running).poll(cx);
        if polled.is_pending() {
            drop(inside);
            if self.was_severed() {
                self.close();
                return Poll::Ready(None);
            }
            return Poll::Pending;
        }
        let ended = inside.take();
        drop(inside);
        drop(ended);
        if self.was_severed() {
            // What was made in this very poll goes with it.
            return Poll::Ready(None);
        }
        polled.map(Some)
    }

    /// Puts another future in the place of this one between two polls, or ends it: `None`.
    pub(super) fn replace(&self, other: impl FnOnce(F) -> Option<F>) {
        let mut inside = self.lock();
        let replaced = inside.take().and_then(other);
        *inside = replaced;
        drop(inside);
        if self.was_severed() {
            self.close();
        }
    }

    /// Drops the future, after the poll that may be under way.
    pub(super) fn close(&self) {
        let inside = self.lock().take();
        drop(inside);
    }

    /// Drops the future now, or has the poll under way do it at its end. Never waits.
    pub(super) fn sever(&self) {
        self.severed.store(true, Ordering::SeqCst);
        let inside = self.try_lock().and_then(|mut inside| inside.take());
        drop(inside);
    }

    pub(super) fn was_severed(&self) -> bool {
        self.severed.load(Ordering::SeqCst)
    }

    /// Looks at the future between two polls, if it is still there.
    pub(super) fn look<T>(&self, look: impl FnOnce(&F) -> T) -> Option<T> {
        self.lock().as_ref().map(look)
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Option<F>>> {
        match self.inside.try_lock() {
            Ok(inside) => Some(inside),
            Err(TryLockError::Poisoned(inside)) => Some(inside.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<F>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn, ready};
    use std::sync::Arc;
    use std::task::Waker;

    use futures_util::FutureExt;

    use super::*;

    fn poll<F: Future + Unpin>(severable: &Severable<F>) -> Poll<Option<F::Output>> {
        severable.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn what_it_holds_is_dropped_with_the_cut_and_it_stays_ended() {
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        let severable = Severable::new(Box::pin(async move {
            pending::<()>().await;
            drop(inside);
        }));
        assert!(poll(&severable).is_pending());
        assert_eq!(Arc::strong_count(&held), 2);
        severable.sever();
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(poll(&severable), Poll::Ready(None));
    }

    #[test]
    fn a_cut_from_within_the_poll_takes_effect_at_its_end() {
        let severable = Arc::new(Severable::new(pending::<()>().boxed()));
        let own = Arc::clone(&severable);
        let cutting = poll_fn(move |_| {
            own.sever();
            Poll::Pending
        });
        *severable.lock() = Some(cutting.boxed());
        assert_eq!(poll(&severable), Poll::Ready(None));
        assert!(severable.lock().is_none());
    }

    #[test]
    fn what_ends_in_the_poll_that_it_is_cut_in_is_lost() {
        let severable = Severable::new(ready(5));
        severable.severed.store(true, Ordering::SeqCst);
        assert_eq!(poll(&severable), Poll::Ready(None));
    }
}
