//! The books of each origin, to be read.

use super::entry::{Entry, Origin};
use super::state::State;
use super::stats::OriginStats;

impl State {
    pub(super) fn origin_stats(&self) -> Vec<OriginStats> {
        let origins = self.origins.iter();
        origins
            .map(|(id, origin)| self.stats_of(id, origin))
            .collect()
    }

    fn stats_of(&self, id: usize, origin: &Origin) -> OriginStats {
        let own = |entry: &&Entry| entry.origin == id;
        let entries = || self.entries.iter().map(|(_, entry)| entry).filter(own);
        let open = entries().filter(|entry| entry.is_open()).count();
        let shared = entries().filter_map(Entry::idle_shared).count();
        let idle = origin.idle.len() + shared;
        let waiters = self.waiters.values();
        let counts = origin.tally.counts();
        let counts = counts.plus(self.counts(|entry| entry.origin == id));
        OriginStats {
            origin: origin.key.to_string(),
            open,
            idle,
            in_use: open - idle,
            connecting: entries().count() - open,
            waiting: waiters.filter(|waiter| waiter.origin == id).count(),
            opened: counts.opened,
            closed: counts.closed,
            closed_by: origin.tally.closed_by(),
            requests: counts.requests,
            reused: counts.reused,
            received: counts.received,
            sent: counts.sent,
        }
    }
}
