//! The time limit of one phase of an exchange.

use std::time::Duration;

use super::timer::millis;
use crate::error::TimeoutPhase;

/// What limits a wait: the longest pause of its phase, and the end of the whole request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    phase: TimeoutPhase,
    /// In milliseconds.
    pause: u64,
    /// On the pool's clock.
    total: u64,
}

/// No limit.
const NEVER: u64 = u64::MAX;

impl Limit {
    pub(super) fn new(phase: TimeoutPhase, pause: Option<Duration>, total: Option<u64>) -> Self {
        Self {
            phase,
            pause: pause.map_or(NEVER, millis),
            total: total.unwrap_or(NEVER),
        }
    }

    /// When a wait that begins now has been too long, and what it will have been too long for.
    pub(super) fn from(self, now: u64) -> Option<(u64, TimeoutPhase)> {
        let pause = now.saturating_add(self.pause);
        let (at, phase) = if self.total <= pause {
            (self.total, TimeoutPhase::Total)
        } else {
            (pause, self.phase)
        };
        (at != NEVER).then_some((at, phase))
    }

    /// When the whole request must be over.
    pub(super) fn total(self) -> Option<u64> {
        (self.total != NEVER).then_some(self.total)
    }
}
