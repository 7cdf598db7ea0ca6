//! Why a request got no answer from its connection.

use http::Request;
use hyper::client::conn::TrySendError;

use super::connection::Lane;
use super::http2::{is_refused, is_reset, is_unacceptable};
use super::meter::End;
use super::sending::Sending;
use super::shared::Exchange;
use crate::body::Body;
use crate::error::{Error, ErrorKind, TimeoutPhase};

/// How many headers hyper allows unless told otherwise.
const MAX_HEADERS: usize = 100;

/// Why a request got no answer from its connection.
pub(super) enum Failure {
    /// Not a byte of it was sent; here it is again.
    Unsent(Box<Request<Body>>, hyper::Error),
    /// The server says that it has not begun to work on it (RFC 9113 §8.7), or cannot have: not a byte
    /// of it was sent, and it is gone.
    Refused(hyper::Error),
    /// Some of it may have been.
    Sent(hyper::Error),
    TimedOut(TimeoutPhase),
    /// Interim answers kept coming, and no other.
    Flooded,
}

impl Failure {
    pub(super) fn of(mut error: TrySendError<Request<Body>>, lane: &Lane) -> Self {
        let message = error.take_message().map(Box::new);
        let error = error.into_error();
        match message {
            Some(message) => Self::Unsent(message, error),
            None if is_refused(&error) => Self::Refused(error),
            // The connection has sent nothing since, and can send no more: of a request that hyper has
            // let go, h2 may still send the head.
            None if lane.has_sent_nothing() && !error.is_user() => Self::Refused(error),
            None => Self::Sent(error),
        }
    }

    /// What it says of the end of a connection that is the exchange's own.
    pub(super) fn end(&self) -> End {
        match self {
            Self::Unsent(..) | Self::Refused(_) => End::Peer,
            Self::Sent(_) | Self::TimedOut(_) | Self::Flooded => End::Error,
        }
    }

    /// Whether the connection is of no more use, not only this exchange.
    pub(super) fn ends_connection(&self) -> bool {
        match self {
            Self::Unsent(..) => true,
            Self::Refused(error) | Self::Sent(error) => !is_reset(error),
            Self::TimedOut(_) | Self::Flooded => false,
        }
    }
}

/// Whether a connection that had idled too long can have caused this.
pub(super) fn is_stale(error: &hyper::Error) -> bool {
    !error.is_parse() && !is_reset(error)
}

/// Whether the head of the answer was beyond a limit: one of the two that can be set, or hyper's own, of
/// what `Content-Length` can say, which it tells in the same words.
fn is_too_large(error: &hyper::Error) -> bool {
    // hyper has a method for that, but only where its server is built in.
    error.is_parse() && error.to_string() == "message head is too large"
}

impl Exchange {
    /// What the caller is told.
    pub(super) fn explain(&self, failure: Failure, upload: &Sending) -> Error {
        let (error, sent, what) = match failure {
            Failure::TimedOut(phase) => return Error::timeout(phase).after_sending(),
            Failure::Flooded => {
                return Error::new(ErrorKind::Protocol)
                    .with_message(
                        "the peer sent more than 1 MiB of interim answers (1xx), and no other",
                    )
                    .after_sending();
            }
            Failure::Unsent(_, error) => (error, false, "the connection ended before it was sent"),
            Failure::Refused(error) => (error, false, "the peer did not begin to work on it"),
            Failure::Sent(error) => (error, true, "the peer broke off before it answered"),
        };
        let http = &self.pool().config.http;
        let explained = if self.lane().was_severed() {
            Error::closed("the session was closed before the response's head came")
        } else if is_too_large(&error) {
            Error::new(ErrorKind::Protocol)
                .with_message(format!(
                    "the response's head is longer than http1_max_header_size, which is {} bytes, has \
                     more headers than http1_max_headers, which is {}, or a Content-Length that no body \
                     can have",
                    http.http1_max_header_size,
                    http.http1_max_headers.unwrap_or(MAX_HEADERS),
                ))
                .with_source(error)
        } else if is_unacceptable(&error) {
            Error::new(ErrorKind::Protocol)
                .with_message(format!(
                    "the peer's answer is malformed, or its head is longer than \
                     http2_max_header_list_size, which is {} bytes",
                    http.http2.max_header_list_size,
                ))
                .with_source(error)
        } else if error.is_parse() {
            Error::new(ErrorKind::Protocol)
                .with_message("the peer's answer is not HTTP")
                .with_source(error)
        } else if let Some(own) = upload.take_failure() {
            own
        } else {
            Error::new(ErrorKind::Protocol)
                .with_message(what)
                .with_source(self.lane().cause_of(error))
        };
        explained.or_sent(sent)
    }
}
