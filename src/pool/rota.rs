//! Whether a timer's task runs, and when it will next look around.

use super::sync::{AtomicBool, AtomicU64, Ordering};

/// The agreement between those who set deadlines and the task that looks for them.
///
/// Who sets one stores it first and asks here afterwards; the task says here that it looks, or that it
/// has stopped, before it looks. So one of the two sees the other.
#[derive(Debug)]
pub(super) struct Rota {
    next: AtomicU64,
    running: AtomicBool,
    gone: AtomicBool,
}

impl Rota {
    pub(super) fn new() -> Self {
        Self {
            next: AtomicU64::new(u64::MAX),
            running: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        }
    }

    /// Whether the next look comes after `at`.
    pub(super) fn is_later_than(&self, at: u64) -> bool {
        at < self.next.load(Ordering::SeqCst)
    }

    /// Says that there must be a task. `true`: there is none, and the caller must start it; else the
    /// caller must nudge it.
    pub(super) fn call(&self) -> bool {
        let idle = !self.running.swap(true, Ordering::SeqCst);
        if idle {
            self.gone.store(false, Ordering::Relaxed);
        }
        idle
    }

    /// Called by the task before it looks around: deadlines set from here on nudge it again.
    pub(super) fn looking(&self) {
        self.next.store(u64::MAX, Ordering::SeqCst);
    }

    /// Called by the task before it sleeps until `next`, or a nudge.
    pub(super) fn sleeping(&self, next: u64) {
        self.next.store(next, Ordering::SeqCst);
    }

    /// Called by the task at its end, before its last look.
    pub(super) fn stopped(&self) {
        self.next.store(u64::MAX, Ordering::SeqCst);
        self.running.store(false, Ordering::SeqCst);
    }

    /// Called when the task ends with its runtime.
    pub(super) fn gone(&self) {
        self.gone.store(true, Ordering::Relaxed);
        self.stopped();
    }

    /// Whether the runtime is known to be no more.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}
