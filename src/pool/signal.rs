//! The one waker of a connection, and its time limit.

use std::sync::Arc;
use std::task::{Wake, Waker};

use super::sync::{AtomicBool, AtomicU8, AtomicU64, AtomicWaker, Ordering};

const POLLING: u8 = 1;
const NOTIFIED: u8 = 2;

/// No time limit is set.
const NEVER: u64 = u64::MAX;
/// The time limit has passed.
const PASSED: u64 = 0;

/// What hyper and the reactor wake in place of the task that happens to drive the connection.
///
/// So the connection can move between tasks, idle without holding on to the last one, and keep to
/// itself the wake-ups that its own poll causes: those only set `NOTIFIED` and are delivered if the
/// poll ends with nothing to show.
#[derive(Debug)]
pub(super) struct Signal {
    flags: AtomicU8,
    task: AtomicWaker,
    deadline: AtomicU64,
    look: AtomicBool,
    behind: AtomicBool,
}

impl Signal {
    pub(super) fn new() -> Self {
        Self {
            flags: AtomicU8::new(0),
            task: AtomicWaker::new(),
            deadline: AtomicU64::new(NEVER),
            look: AtomicBool::new(false),
            behind: AtomicBool::new(false),
        }
    }

    /// Begins a poll on behalf of `task`.
    pub(super) fn begin(&self, task: &Waker) {
        self.task.register(task);
        self.flags.store(POLLING, Ordering::SeqCst);
    }

    /// Ends a poll that is about to say `Pending`. `true`: a wake-up came during it, and the task
    /// must be woken again.
    pub(super) fn end(&self) -> bool {
        self.flags.swap(0, Ordering::SeqCst) & NOTIFIED != 0
    }

    /// Lets go of the task: nobody drives the connection now.
    pub(super) fn rest(&self) {
        self.disarm();
        self.flags.store(0, Ordering::SeqCst);
        drop(self.task.take());
    }

    /// Whether something has happened since the connection was laid to rest, or since last asked.
    pub(super) fn take_notice(&self) -> bool {
        self.flags.swap(0, Ordering::SeqCst) & NOTIFIED != 0
    }

    /// Sets the time limit, in milliseconds of the pool's clock.
    pub(super) fn arm(&self, deadline: u64) {
        self.deadline.store(deadline, Ordering::SeqCst);
    }

    pub(super) fn disarm(&self) {
        self.deadline.store(NEVER, Ordering::Relaxed);
    }

    /// The time limit that is still to come.
    pub(super) fn armed(&self) -> Option<u64> {
        Some(self.deadline.load(Ordering::SeqCst)).filter(|&at| at != NEVER && at != PASSED)
    }

    /// Whether the time limit has passed.
    pub(super) fn has_passed(&self) -> bool {
        self.deadline.load(Ordering::Acquire) == PASSED
    }

    /// Marks the time limit as passed, unless it was changed since it was read.
    pub(super) fn pass(&self, deadline: u64) -> bool {
        self.deadline
            .compare_exchange(deadline, PASSED, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Asks the IO to look at the raw socket at its next read that finds nothing.
    pub(super) fn ask_for_look(&self) {
        self.look.store(true, Ordering::Relaxed);
    }

    pub(super) fn take_look(&self) -> bool {
        self.look.load(Ordering::Relaxed) && self.look.swap(false, Ordering::Relaxed)
    }

    /// Notes whether the socket has left some of what was written for later, or keeps it itself.
    pub(super) fn note_behind(&self, behind: bool) {
        self.behind.store(behind, Ordering::Relaxed);
    }

    pub(super) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed)
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.flags.fetch_or(NOTIFIED, Ordering::SeqCst) & POLLING == 0 {
            self.task.wake();
        }
    }
}
