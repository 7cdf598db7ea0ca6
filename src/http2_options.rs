//! The options of HTTP/2.

use std::time::Duration;

use crate::builder::SessionBuilder;
use crate::config::Protocols;
use crate::connect::Connector;

/// HTTP/2 (feature `http2`).
impl<C: Connector> SessionBuilder<C> {
    /// Speaks HTTP/2 without asking, on every connection, in the clear as well (RFC 9113 §3.3).
    /// Default: HTTP/2 where TLS has negotiated it.
    pub fn http2_prior_knowledge(mut self) -> Self {
        self.pool.http.protocols = Protocols::Http2Only;
        self
    }

    /// Limits the HTTP/2 connections to one origin. They are opened while requests wait for a stream,
    /// as a peer allows only so many at a time, and one until it has said how many; at the limit
    /// requests queue. At least 1. Default: 1.
    ///
    /// Each runtime that uses the session has its own, as connections do not move between runtimes.
    pub fn http2_max_connections_per_origin(mut self, connections: usize) -> Self {
        self.pool.http.http2.max_connections_per_origin = connections;
        self
    }

    /// Sets how many bytes of a response may be on their way unread. 1 to 2³¹ - 1. Default: 2 MiB.
    pub fn http2_initial_stream_window_size(mut self, bytes: u32) -> Self {
        self.pool.http.http2.initial_stream_window_size = bytes;
        self
    }

    /// Sets how many bytes of all responses of a connection may be on their way unread.
    /// 65,535 to 2³¹ - 1. Default: 5 MiB.
    pub fn http2_initial_connection_window_size(mut self, bytes: u32) -> Self {
        self.pool.http.http2.initial_connection_window_size = bytes;
        self
    }

    /// Has both windows begin small and follow what the network carries, in place of their sizes.
    /// Default: `false`.
    pub fn http2_adaptive_window(mut self, adaptive: bool) -> Self {
        self.pool.http.http2.adaptive_window = adaptive;
        self
    }

    /// Sets the largest frame that the peer may send, in bytes. 16,384 to 16,777,215.
    /// Default: 16 KiB.
    pub fn http2_max_frame_size(mut self, bytes: u32) -> Self {
        self.pool.http.http2.max_frame_size = bytes;
        self
    }

    /// Limits the head of a response, in bytes as RFC 9113 §6.5.2 counts them. Default: 16 KiB.
    pub fn http2_max_header_list_size(mut self, bytes: u32) -> Self {
        self.pool.http.http2.max_header_list_size = bytes;
        self
    }

    /// Pings a connection in use that has been silent that long. `None`: never. Default: never.
    pub fn http2_keep_alive_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.pool.http.http2.keep_alive_interval = interval.into();
        self
    }

    /// Closes a connection whose peer does not answer a ping in that time. Default: 20 s.
    pub fn http2_keep_alive_timeout(mut self, timeout: Duration) -> Self {
        self.pool.http.http2.keep_alive_timeout = timeout;
        self
    }

    /// Pings idle connections as well. Default: `false`.
    pub fn http2_keep_alive_while_idle(mut self, enabled: bool) -> Self {
        self.pool.http.http2.keep_alive_while_idle = enabled;
        self
    }
}
