//! What a pool has done, in numbers.

use std::fmt;
use std::time::Duration;

/// A snapshot of a session's connections: exact at the moment it was taken, old at the next.
///
/// Counters only grow while their session is open; a holder shows those of the session that it has
/// now, and counts its one-shots itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that are open now: idle or in use.
    pub open: usize,
    /// Open connections that wait for a request.
    pub idle: usize,
    /// Open connections in an exchange, or being drained after one.
    pub in_use: usize,
    /// Connections being made now: resolving, connecting, in TLS. They count against the limit.
    pub connecting: usize,
    /// Requests that wait for a connection now, those that are making one themselves included.
    pub waiting: usize,
    /// Requests under way now, from `send` to the end of the response's body.
    pub exchanges: usize,
    /// Connections opened so far.
    pub opened: u64,
    /// Exchanges over that were answered on a connection which had brought an answer before, so far.
    pub reused: u64,
    /// Connections closed so far, by either side.
    pub closed: u64,
    /// Sessions made for a single call because none was open, so far. Counted by the holder.
    pub one_shots: u64,
}

/// What an awaited close found and did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CloseReport {
    /// The session's last numbers. `open` and `connecting` are 0.
    pub stats: Stats,
    /// Connections that were cut in the middle of an exchange, or while being made, because the
    /// deadline had come.
    pub severed: usize,
    /// Leases that were still out when the deadline came: running `with_session` calls, their
    /// streams, and scopes.
    pub leases_left: usize,
    /// How long the close took.
    pub took: Duration,
}

impl CloseReport {
    /// One report for sessions that were closed together.
    pub(crate) fn merge(self, other: &Self) -> Self {
        Self {
            stats: self.stats.plus(other.stats),
            severed: self.severed + other.severed,
            leases_left: self.leases_left + other.leases_left,
            took: self.took.max(other.took),
        }
    }
}

impl Stats {
    fn plus(self, other: Self) -> Self {
        Self {
            open: self.open + other.open,
            idle: self.idle + other.idle,
            in_use: self.in_use + other.in_use,
            connecting: self.connecting + other.connecting,
            waiting: self.waiting + other.waiting,
            exchanges: self.exchanges + other.exchanges,
            opened: self.opened + other.opened,
            reused: self.reused + other.reused,
            closed: self.closed + other.closed,
            one_shots: self.one_shots + other.one_shots,
        }
    }
}

impl fmt::Display for CloseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stats { opened, reused, .. } = self.stats;
        write!(
            f,
            "session closed in {:.1?}; connections opened: {opened}, requests that reused one: {reused}",
            self.took
        )?;
        if self.severed > 0 || self.leases_left > 0 {
            write!(
                f,
                "; at the deadline, connections severed: {}, calls still running: {}",
                self.severed, self.leases_left
            )?;
        }
        Ok(())
    }
}
