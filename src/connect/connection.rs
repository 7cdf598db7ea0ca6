//! A connection without its type.

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::liveness::{Liveness, peek};
use super::tls::{self, SecureConnection};
use super::traffic::Metered;

/// Any connection, boxed: what every connection of a pool is.
pub struct BoxConnection(Box<dyn Io>);

trait Io: Read + Write + Connection + Send + Unpin {
    fn liveness(&self) -> Liveness;
}

impl<T: Read + Write + Connection + Send + Unpin + 'static> Io for T {
    fn liveness(&self) -> Liveness {
        let io: &dyn Any = self;
        let socket = match io.downcast_ref::<SecureConnection>() {
            Some(ours) => Some(tls::socket(ours)),
            None => io.downcast_ref::<TokioIo<TcpStream>>().map(TokioIo::inner),
        };
        socket.map_or(Liveness::Unknown, peek)
    }
}

impl BoxConnection {
    /// Boxes a connection; one that is boxed already stays as it is.
    pub fn new<T: Read + Write + Connection + Send + Unpin + 'static>(connection: T) -> Self {
        let mut connection = Some(connection);
        let known: &mut dyn Any = &mut connection;
        if let Some(boxed) = known.downcast_mut::<Option<Self>>() {
            return boxed
                .take()
                .unwrap_or_else(|| unreachable!("it was put there above"));
        }
        match connection {
            Some(other) => Self(Box::new(other)),
            None => unreachable!("only a boxed one was taken out"),
        }
    }

    /// Makes a connection of anything to read and write: an in-memory pipe, a tunnel.
    pub fn from_io<T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(io: T) -> Self {
        Self::new(Plain(TokioIo::new(Metered::new(io))))
    }

    pub(crate) fn liveness(&self) -> Liveness {
        self.0.liveness()
    }
}

/// IO about which nothing more is known.
struct Plain<T>(TokioIo<Metered<T>>);

impl<T: AsyncRead + Unpin> Read for Plain<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> Write for Plain<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl<T> Connection for Plain<T> {
    fn connected(&self) -> Connected {
        Connected::new().extra(Arc::clone(self.0.inner().traffic()))
    }
}

impl Read for BoxConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl Write for BoxConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}

impl Connection for BoxConnection {
    fn connected(&self) -> Connected {
        self.0.connected()
    }
}

impl fmt::Debug for BoxConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxConnection").finish_non_exhaustive()
    }
}
