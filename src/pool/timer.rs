//! The clock of a pool and its alarm, one for each runtime that has connections.

use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::rota::Rota;
use super::timings::nanos;

/// Milliseconds since the pool was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> u64 {
        millis_of(self.nanos())
    }

    /// Nanoseconds, as far as 584 years go.
    pub(super) fn nanos(self) -> u64 {
        nanos(Instant::now().saturating_duration_since(self.0))
    }

    pub(super) fn at(self, instant: Instant) -> u64 {
        millis(instant.saturating_duration_since(self.0))
    }

    pub(super) fn instant(self, at: u64) -> Instant {
        self.0 + Duration::from_millis(at)
    }
}

/// Rounded up, as `millis` does.
pub(super) fn millis_of(nanos: u64) -> u64 {
    nanos.div_ceil(1_000_000)
}

/// Whole milliseconds, without the 128-bit division of `as_millis`. Rounded up, so that no limit
/// passes early.
pub(super) fn millis(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1000)
        .saturating_add(u64::from(duration.subsec_micros().div_ceil(1000)))
}

/// When a runtime's timer task will next look around.
///
/// A new deadline costs one comparison as long as it is later than that. The task itself is
/// started by the first deadline and ends when there is nothing left to watch.
#[derive(Debug)]
pub(super) struct Timer {
    pub(super) runtime: Handle,
    rota: Rota,
    nudge: Notify,
}

impl Timer {
    pub(super) fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            rota: Rota::new(),
            nudge: Notify::new(),
        }
    }

    pub(super) fn id(&self) -> runtime::Id {
        self.runtime.id()
    }

    /// Makes sure that the task looks around at `at` or before. `true`: the caller must start it.
    pub(super) fn want(&self, at: u64) -> bool {
        self.rota.is_later_than(at) && self.kick()
    }

    /// Makes the task look around now. `true`: there is none, and the caller must start it.
    pub(super) fn kick(&self) -> bool {
        let idle = self.rota.call();
        if !idle {
            self.nudge.notify_one();
        }
        idle
    }

    /// Wakes the task, if there is one, so that it can end.
    pub(super) fn dismiss(&self) {
        self.nudge.notify_one();
    }

    /// Called by the task before it looks around: deadlines set from here on nudge it again.
    pub(super) fn looking(&self) {
        self.rota.looking();
    }

    /// Called by the task between two looks.
    pub(super) async fn sleep(&self, clock: Clock, next: u64) {
        self.rota.sleeping(next);
        // A nudge is an early end of the sleep, nothing else.
        let _ = tokio::time::timeout_at(clock.instant(next), self.nudge.notified()).await;
    }

    /// Called by the task at its end.
    pub(super) fn stopped(&self) {
        self.rota.stopped();
    }

    /// Called when the task ends with its runtime.
    pub(super) fn gone(&self) {
        self.rota.gone();
    }

    /// Whether the runtime is known to be no more.
    pub(super) fn is_gone(&self) -> bool {
        self.rota.is_gone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_rounded_up() {
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_micros(1)), 1);
        assert_eq!(millis(Duration::from_micros(2_000_001)), 2001);
        assert_eq!(millis(Duration::MAX), u64::MAX);
    }
}
