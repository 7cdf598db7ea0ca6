//! The time limit of one phase of an exchange.

use std::time::Duration;

use super::timer::millis;
use crate::error::TimeoutPhase;

/// What limits a wait: the longest pause of its phase, and the end of the whole request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    phase: TimeoutPhase,
    /// In milliseconds.
    pause: Option<u64>,
    /// On the pool's clock.
    pub(super) total: Option<u64>,
}

impl Limit {
    pub(super) fn new(phase: TimeoutPhase, pause: Option<Duration>, total: Option<u64>) -> Self {
        Self {
            phase,
            pause: pause.map(millis),
            total,
        }
    }

    /// When a wait that begins now has been too long, and what it will have been too long for.
    pub(super) fn from(self, now: u64) -> Option<(u64, TimeoutPhase)> {
        let pause = self
            .pause
            .map(|pause| (now.saturating_add(pause), self.phase));
        let total = self.total.map(|total| (total, TimeoutPhase::Total));
        match (pause, total) {
            (Some(pause), Some(total)) => Some(if total.0 <= pause.0 { total } else { pause }),
            (pause, total) => pause.or(total),
        }
    }
}
