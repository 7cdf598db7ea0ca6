//! How long a request took to its answer, step by step.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::connect::Phases;

/// How long a request took until the head of its response was there.
///
/// Of a request that was sent more than once, the last time. All zero of a response that was made of an
/// `http::Response` which no session gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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

/// What is known of a connection since it was made.
#[derive(Debug)]
pub(super) struct Made {
    /// Which no other of the pool has.
    pub(super) number: u64,
    pub(super) remote_addr: Option<SocketAddr>,
    pub(super) phases: Phases,
}

/// How a request has come to its answer: small, as it is moved with the response.
#[derive(Debug)]
pub(super) struct Course {
    /// In nanoseconds.
    pub(super) queue: u64,
    /// The same.
    pub(super) head: u64,
    pub(super) reused: bool,
    pub(super) made: Arc<Made>,
}

impl Course {
    pub(super) fn timings(&self) -> Timings {
        let made = if self.reused {
            Phases::default()
        } else {
            self.made.phases
        };
        Timings {
            queue: Duration::from_nanos(self.queue),
            dns: made.dns,
            connect: made.tcp,
            tls: made.tls,
            head: Duration::from_nanos(self.head),
            reused: self.reused,
            connection: self.made.number,
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
