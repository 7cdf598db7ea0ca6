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
    /// Connections closed so far, by either side.
    pub closed: u64,
    /// The same by reason.
    pub closed_by: ClosedBy,
    /// Requests given to a connection so far. One that is sent again counts again.
    pub requests: u64,
    /// Answers so far on connections that had brought one before.
    pub reused: u64,
    /// Bytes read from sockets so far, TLS included, where the connector counts them: the
    /// [`DefaultConnector`](crate::DefaultConnector) and
    /// [`BoxConnection::from_io`](crate::BoxConnection::from_io) do.
    pub received: u64,
    /// Bytes written to sockets so far, in the same way.
    pub sent: u64,
    /// Sessions made for a single call because none was open, so far. Counted by the holder.
    pub one_shots: u64,
}

/// Connections closed so far, by reason. What has been said of one that is about to close counts
/// already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ClosedBy {
    /// Idle longer than `pool_idle_timeout`, or than the server had granted.
    pub idle: u64,
    /// Older than `pool_max_age`.
    pub age: u64,
    /// After `pool_max_requests`, or as many as the server had granted, or one with `force_close`.
    pub requests: u64,
    /// By the peer: while it idled, with its last answer, or with a request on its way that it had
    /// not taken.
    pub peer: u64,
    /// Broken off or broken under an exchange, out of time, or not to be trusted any more.
    pub error: u64,
    /// With an exchange that was dropped.
    pub cancelled: u64,
    /// To make room at a limit.
    pub evicted: u64,
    /// By the session: `close`, `close_idle`, the last handle's drop.
    pub closed: u64,
}

/// A snapshot of a session's connections to one origin.
///
/// Kept while there is a connection to it, or a request that waits for one: its counters begin anew
/// when there was none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OriginStats {
    /// Scheme, host and port: `https://example.com`, the scheme's default port left out.
    pub origin: String,
    /// Connections that are open now: idle or in use.
    pub open: usize,
    /// Open connections that wait for a request.
    pub idle: usize,
    /// Open connections in an exchange, or being drained after one.
    pub in_use: usize,
    /// Connections being made now.
    pub connecting: usize,
    /// Requests that wait for a connection now, those that are making one themselves included.
    pub waiting: usize,
    /// Connections opened so far.
    pub opened: u64,
    /// Connections closed so far.
    pub closed: u64,
    /// The same by reason.
    pub closed_by: ClosedBy,
    /// Requests given to a connection so far.
    pub requests: u64,
    /// Answers so far on connections that had brought one before.
    pub reused: u64,
    /// Bytes read from sockets so far, as in [`Stats::received`].
    pub received: u64,
    /// Bytes written to sockets so far.
    pub sent: u64,
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
            closed: self.closed + other.closed,
            closed_by: self.closed_by.plus(other.closed_by),
            requests: self.requests + other.requests,
            reused: self.reused + other.reused,
            received: self.received + other.received,
            sent: self.sent + other.sent,
            one_shots: self.one_shots + other.one_shots,
        }
    }
}

impl ClosedBy {
    fn plus(self, other: Self) -> Self {
        Self {
            idle: self.idle + other.idle,
            age: self.age + other.age,
            requests: self.requests + other.requests,
            peer: self.peer + other.peer,
            error: self.error + other.error,
            cancelled: self.cancelled + other.cancelled,
            evicted: self.evicted + other.evicted,
            closed: self.closed + other.closed,
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
