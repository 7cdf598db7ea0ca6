//! The socket of an HTTP/1 connection, and who has it.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Future, FutureExt};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::rt::{Read, ReadBuf, Write};

use super::permit::Io;
use crate::body::Body;
use crate::config::HttpConfig;

/// Gives hyper its requests.
pub(super) type Sender = SendRequest<Body>;

/// A socket, to be polled by whoever has a use for it. `Ready`: the peer has closed, or sent what nobody
/// asked for.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "it is one of few things behind its connection's `Arc`"
)]
pub(super) enum Socket {
    /// Hyper speaks on it, and keeps buffers for that.
    Speaking(Connection<Io, Body>),
    /// Nobody does, until its next request.
    Resting(Io),
    /// It is being shut down: FIN, under TLS `close_notify` first.
    Leaving(Io),
}

/// How many bytes hyper reads at once, or gathers for one write: its own default.
const BUFFER: usize = 408 * 1024;

impl Socket {
    /// Has hyper speak on it. Waits for nothing: in HTTP/1 the first bytes are the request's.
    pub(super) fn speak(
        io: Io,
        config: &HttpConfig,
    ) -> impl Future<Output = hyper::Result<(Sender, Self)>> + use<> {
        let mut builder = Builder::new();
        builder.max_header_size(config.http1_max_header_size);
        builder.max_buf_size(config.http1_max_header_size.max(BUFFER));
        if let Some(headers) = config.http1_max_headers {
            builder.max_headers(headers);
        }
        let speaking = builder.handshake(io);
        speaking.map(|begun| begun.map(|(sender, own)| (sender, Self::Speaking(own))))
    }

    /// Takes it from hyper between two requests, which lets go of the buffers. `None`: the peer has sent
    /// what nobody asked for.
    pub(super) fn rest(self) -> Option<Self> {
        match self {
            Self::Speaking(connection) => silenced(connection).map(Self::Resting),
            other => Some(other),
        }
    }

    /// Has hyper speak on it again, if it rests.
    pub(super) fn rouse(self, config: &HttpConfig) -> Option<(Option<Sender>, Self)> {
        match self {
            Self::Resting(io) => {
                let begun = Self::speak(io, config).now_or_never()?.ok();
                begun.map(|(sender, own)| (Some(sender), own))
            }
            other => Some((None, other)),
        }
    }

    /// Begins its goodbye between two requests.
    pub(super) fn leave(self) -> Option<Self> {
        match self {
            Self::Speaking(connection) => silenced(connection).map(Self::Leaving),
            Self::Resting(io) => Some(Self::Leaving(io)),
            leaving @ Self::Leaving(_) => Some(leaving),
        }
    }
}

fn silenced(connection: Connection<Io, Body>) -> Option<Io> {
    let parts = connection.into_parts();
    parts.read_buf.is_empty().then_some(parts.io)
}

impl Future for Socket {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.get_mut() {
            Self::Speaking(connection) => Pin::new(connection).poll(cx).map(drop),
            Self::Resting(io) => {
                let mut byte = [MaybeUninit::uninit()];
                let mut buffer = ReadBuf::uninit(&mut byte);
                Pin::new(io).poll_read(cx, buffer.unfilled()).map(drop)
            }
            Self::Leaving(io) => Pin::new(io).poll_shutdown(cx).map(drop),
        }
    }
}
