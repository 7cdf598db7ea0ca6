//! Plain data: the options of a session, and all their defaults in one place.

use std::time::Duration;

use http::HeaderMap;

/// What the pool obeys.
#[derive(Debug, Clone)]
pub(crate) struct PoolConfig {
    /// Live connections in total, connecting ones included. Default: 100.
    pub(crate) max_connections: usize,
    /// Live connections to one origin. Default: no limit of its own.
    pub(crate) max_per_origin: Option<usize>,
    /// Idle connections to one origin. Default: no limit.
    pub(crate) max_idle_per_origin: Option<usize>,
    /// How long a connection may idle before it is closed. Default: 50 s.
    pub(crate) idle_timeout: Option<Duration>,
    /// How old a connection may be and still begin a request. Default: any age.
    pub(crate) max_age: Option<Duration>,
    /// How many requests a connection carries. Default: any number.
    pub(crate) max_requests: Option<u64>,
    /// Whether a request whose connection had died is sent once more, where that does no harm.
    /// Default: true.
    pub(crate) retry_stale: bool,
    /// How much of a dropped body is read off to save its connection. Default: 64 KiB.
    pub(crate) drain_bytes: u64,
    /// How long a request queues at the limit. Default: 300 s.
    pub(crate) pool_timeout: Option<Duration>,
    /// How long resolving, connecting and TLS may take together. Default: 30 s.
    pub(crate) connect_timeout: Option<Duration>,
    /// Read and write buffer of a connection in bytes; caps a response's head as well. Default: 64 KiB.
    pub(crate) http1_max_buf_size: usize,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            max_connections: 100,
            max_per_origin: None,
            max_idle_per_origin: None,
            idle_timeout: Some(Duration::from_secs(50)),
            max_age: None,
            max_requests: None,
            retry_stale: true,
            drain_bytes: 64 * 1024,
            pool_timeout: Some(Duration::from_secs(300)),
            connect_timeout: Some(Duration::from_secs(30)),
            http1_max_buf_size: 64 * 1024,
        }
    }
}

/// The time limits of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// The whole request with its body. Default: none.
    pub(crate) total: Option<Duration>,
    /// From the request on the wire to the response's head. Default: 300 s.
    pub(crate) head: Option<Duration>,
    /// Between two reads of the body. Default: 300 s.
    pub(crate) read: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            total: None,
            head: Some(Duration::from_secs(300)),
            read: Some(Duration::from_secs(300)),
        }
    }
}

/// What a session adds to each of its requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestDefaults {
    /// Headers that a request gets unless it has them. Default: none.
    pub(crate) headers: HeaderMap,
    /// The time limits.
    pub(crate) timeouts: Timeouts,
    /// Whether 4xx and 5xx are errors. Default: false.
    pub(crate) raise_for_status: bool,
}

/// What a call does while no session is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum WhenClosed {
    /// Makes a session for this one call, gone with the call's last exchange and outside the limits of
    /// the holder's pool. The default.
    #[default]
    OneShot,
    /// Opens the holder's session and keeps it open, as [`start_session`] would.
    ///
    /// [`start_session`]: crate::SessionHolder::start_session
    Open,
    /// Fails with [`ErrorKind::Closed`](crate::ErrorKind::Closed).
    Refuse,
}
