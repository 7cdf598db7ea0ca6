//! Plain data: the options of a session, and all their defaults in one place.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, StatusCode};
use url::Origin;

use crate::cookies::CookieStore;
use crate::redirect::RedirectPolicy;
use crate::retry::RetryPolicy;

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
    /// How connections speak HTTP.
    pub(crate) http: HttpConfig,
}

/// How connections speak HTTP.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HttpConfig {
    /// Which versions. Default: HTTP/2 where TLS negotiates it, else HTTP/1.
    pub(crate) protocols: Protocols,
    /// How long the head of a response over HTTP/1 may be, in bytes. Default: 64 KiB.
    pub(crate) http1_max_header_size: usize,
    /// How many headers a response over HTTP/1 may have. Default: hyper's limit of 100, which costs no
    /// allocation.
    pub(crate) http1_max_headers: Option<usize>,
    /// What HTTP/2 connections obey.
    pub(crate) http2: Http2Config,
}

/// Which versions of HTTP a session speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "http2"),
    allow(dead_code, reason = "chosen where HTTP/2 is built in")
)]
pub(crate) enum Protocols {
    /// HTTP/2 where the connector has negotiated it, else HTTP/1.
    Negotiated,
    Http1Only,
    /// Without asking: by prior knowledge.
    Http2Only,
}

/// What HTTP/2 connections obey.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(feature = "http2"),
    allow(dead_code, reason = "read where HTTP/2 is built in")
)]
pub(crate) struct Http2Config {
    /// Connections to one origin. Default: 1.
    pub(crate) max_connections_per_origin: usize,
    /// Bytes that a stream may receive unread. Default: 2 MiB.
    pub(crate) initial_stream_window_size: u32,
    /// Bytes that a connection may receive unread. Default: 5 MiB.
    pub(crate) initial_connection_window_size: u32,
    /// Whether the windows follow the bandwidth. Default: false.
    pub(crate) adaptive_window: bool,
    /// Largest frame received, in bytes. Default: 16 KiB.
    pub(crate) max_frame_size: u32,
    /// Largest head received, in bytes. Default: 16 KiB.
    pub(crate) max_header_list_size: u32,
    /// How often a connection in use is pinged. Default: never.
    pub(crate) keep_alive_interval: Option<Duration>,
    /// How long the answer to a ping may take. Default: 20 s.
    pub(crate) keep_alive_timeout: Duration,
    /// Whether idle connections are pinged as well. Default: false.
    pub(crate) keep_alive_while_idle: bool,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            protocols: if cfg!(feature = "http2") {
                Protocols::Negotiated
            } else {
                Protocols::Http1Only
            },
            http1_max_header_size: 64 * 1024,
            http1_max_headers: None,
            http2: Http2Config::default(),
        }
    }
}

impl Default for Http2Config {
    fn default() -> Self {
        Self {
            max_connections_per_origin: 1,
            initial_stream_window_size: 2 * 1024 * 1024,
            initial_connection_window_size: 5 * 1024 * 1024,
            adaptive_window: false,
            max_frame_size: 16 * 1024,
            max_header_list_size: 16 * 1024,
            keep_alive_interval: None,
            keep_alive_timeout: Duration::from_secs(20),
            keep_alive_while_idle: false,
        }
    }
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
            http: HttpConfig::default(),
        }
    }
}

/// The time limits of a request. `None`: no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// The whole request with its body. Default: none.
    pub(crate) total: Option<Duration>,
    /// In the queue for a connection. Default: 300 s.
    pub(crate) pool: Option<Duration>,
    /// Resolving, connecting and TLS. Default: 30 s.
    pub(crate) connect: Option<Duration>,
    /// From one part of the request's body to the next. Default: 300 s.
    pub(crate) write: Option<Duration>,
    /// From the request on the wire to the response's head. Default: 300 s.
    pub(crate) head: Option<Duration>,
    /// Between two reads of the body. Default: 300 s.
    pub(crate) read: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        let patient = Some(Duration::from_secs(300));
        Self {
            total: None,
            pool: patient,
            connect: Some(Duration::from_secs(30)),
            write: patient,
            head: patient,
            read: patient,
        }
    }
}

/// `None`: no limit.
pub(crate) type Limit = Option<Duration>;

/// The time limits that a request sets itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OwnTimeouts {
    pub(crate) total: Option<Limit>,
    pub(crate) pool: Option<Limit>,
    pub(crate) connect: Option<Limit>,
    pub(crate) write: Option<Limit>,
    pub(crate) head: Option<Limit>,
    pub(crate) read: Option<Limit>,
}

impl OwnTimeouts {
    /// Those of a session, with its own in their places.
    pub(crate) fn over(&self, sessions: &Timeouts) -> Timeouts {
        Timeouts {
            total: self.total.unwrap_or(sessions.total),
            pool: self.pool.unwrap_or(sessions.pool),
            connect: self.connect.unwrap_or(sessions.connect),
            write: self.write.unwrap_or(sessions.write),
            head: self.head.unwrap_or(sessions.head),
            read: self.read.unwrap_or(sessions.read),
        }
    }
}

/// How the body of a response is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// Whether codings are asked for and undone. Default: true.
    pub(crate) decompress: bool,
    /// How long a body may be, decoded, in bytes. Default: [`MAX_COLLECTED`] where all of it is
    /// collected, else no limit.
    pub(crate) max_body: Option<u64>,
}

/// How much of a body is collected in memory: 1 GiB.
pub(crate) const MAX_COLLECTED: u64 = 1024 * 1024 * 1024;

impl Default for Reading {
    fn default() -> Self {
        Self {
            decompress: true,
            max_body: None,
        }
    }
}

/// Which statuses are errors.
#[derive(Clone, Default)]
pub(crate) enum RaiseForStatus {
    #[default]
    Never,
    /// Those of 4xx and 5xx.
    Errors,
    If(Arc<dyn Fn(StatusCode) -> bool + Send + Sync>),
}

impl RaiseForStatus {
    pub(crate) fn refuses(&self, status: StatusCode) -> bool {
        match self {
            Self::Never => false,
            Self::Errors => status.is_client_error() || status.is_server_error(),
            Self::If(refuses) => refuses(status),
        }
    }
}

impl From<bool> for RaiseForStatus {
    fn from(raise: bool) -> Self {
        if raise { Self::Errors } else { Self::Never }
    }
}

impl fmt::Debug for RaiseForStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "Never",
            Self::Errors => "Errors",
            Self::If(_) => "If(..)",
        })
    }
}

/// What a session adds to each of its requests.
#[derive(Clone)]
pub(crate) struct RequestDefaults {
    /// Headers that a request gets unless it has them. Default: none.
    pub(crate) headers: HeaderMap,
    /// Headers that no request gets by itself. Default: none.
    pub(crate) skipped_headers: Vec<HeaderName>,
    /// Parameters that a URL gets unless it has them. Default: none.
    pub(crate) query: Vec<(String, String)>,
    /// The time limits.
    pub(crate) timeouts: Timeouts,
    /// How the bodies of responses are read.
    pub(crate) reading: Reading,
    /// Which statuses are errors. Default: none.
    pub(crate) raise_for_status: RaiseForStatus,
    /// Who keeps the cookies. Default: nobody.
    pub(crate) cookies: Option<Arc<dyn CookieStore>>,
    /// Which redirects are followed. Default: up to 10 in a row.
    pub(crate) redirect: RedirectPolicy,
    /// Which requests are tried again. Default: none.
    pub(crate) retry: RetryPolicy,
    /// The origins that all headers go to, wherever they came from. Default: none.
    pub(crate) trusted_origins: Vec<Origin>,
    /// Whether a redirected request says where it comes from. Default: true.
    pub(crate) referer: bool,
    /// Whether `http` URLs are refused. Default: false.
    pub(crate) https_only: bool,
}

impl Default for RequestDefaults {
    fn default() -> Self {
        Self {
            headers: HeaderMap::new(),
            skipped_headers: Vec::new(),
            query: Vec::new(),
            timeouts: Timeouts::default(),
            reading: Reading::default(),
            raise_for_status: RaiseForStatus::default(),
            cookies: None,
            redirect: RedirectPolicy::default(),
            retry: RetryPolicy::none(),
            trusted_origins: Vec::new(),
            referer: true,
            https_only: false,
        }
    }
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
