//! The options of HTTP/1.

use crate::builder::SessionBuilder;
use crate::config::Protocols;
use crate::connect::Connector;

/// HTTP/1.
impl<C: Connector> SessionBuilder<C> {
    /// Speaks HTTP/1.1 alone. Default: HTTP/2 where TLS has negotiated it, with the feature `http2`.
    ///
    /// Of the default connector: another one must not offer HTTP/2 then; a connection that has
    /// negotiated it is refused with [`ErrorKind::Connect`](crate::ErrorKind::Connect).
    pub fn http1_only(mut self) -> Self {
        self.pool.http.protocols = Protocols::Http1Only;
        self
    }

    /// Limits the head of a response, in bytes: its status line and all its fields, and so each of them.
    /// The trailers of a body and the head of an interim answer (1xx) have the same limit, each for itself.
    /// At least 1 KiB. Default: 64 KiB.
    ///
    /// A longer head fails with [`ErrorKind::Protocol`](crate::ErrorKind::Protocol), and its connection is
    /// closed. So does what has other limits: 16 KiB of chunk extensions in one body; 1 MiB of interim
    /// answers, or of anything else that is neither head nor body, where the connector counts bytes, as
    /// the default one does (else `head_timeout` and `read_timeout` end it).
    ///
    /// A body has no such limit. While it is read or sent, its connection has a buffer of up to 408 KiB, or
    /// of this size if that is more.
    pub fn http1_max_header_size(mut self, bytes: usize) -> Self {
        self.pool.http.http1_max_header_size = bytes;
        self
    }

    /// Limits how many headers a response may have, and how many trailers. 1 to 16,384.
    /// Default: 100.
    ///
    /// One that has more fails with [`ErrorKind::Protocol`](crate::ErrorKind::Protocol), and its
    /// connection is closed. Beyond 100 each response costs two allocations more, of 32 bytes a header.
    pub fn http1_max_headers(mut self, headers: usize) -> Self {
        self.pool.http.http1_max_headers = Some(headers);
        self
    }
}
