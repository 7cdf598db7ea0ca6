//! How long a request took to its answer, step by step.

use std::time::Duration;

use crate::connect::Phases;

/// How long a request took until the head of its response was there.
///
/// Of a request that was sent more than once, the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// From `send` until there was a connection to send it on, with all that it took to make one.
    pub queue: Duration,
    /// Resolving the host's name, if the connection was made for this request and the connector tells:
    /// the [`DefaultConnector`](crate::DefaultConnector) does.
    pub dns: Option<Duration>,
    /// Connecting by TCP, under the same conditions.
    pub connect: Option<Duration>,
    /// The TLS handshake, under the same conditions.
    pub tls: Option<Duration>,
    /// From when the request was given to its connection to the head of the response.
    pub head: Duration,
    /// Whether the connection had brought an answer before.
    pub reused: bool,
    /// The number of the connection, which no other of the session has.
    pub connection: u64,
}

/// The same on its way: small, as it is moved with every response.
#[derive(Debug)]
pub(crate) struct Course {
    /// In nanoseconds.
    pub(super) queue: u64,
    pub(super) head: u64,
    pub(super) connection: u64,
    /// `None`: the connection had brought an answer before.
    pub(super) made: Option<Box<Phases>>,
}

impl Course {
    pub(crate) fn timings(&self) -> Timings {
        let made = self.made.as_deref().copied().unwrap_or_default();
        Timings {
            queue: Duration::from_nanos(self.queue),
            dns: made.dns,
            connect: made.tcp,
            tls: made.tls,
            head: Duration::from_nanos(self.head),
            reused: self.made.is_none(),
            connection: self.connection,
        }
    }
}

/// Whole nanoseconds, as far as 584 years go.
pub(super) fn nanos(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(duration.subsec_nanos().into())
}
