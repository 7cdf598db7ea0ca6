//! A connection without its type.

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::default::DefaultConnection;
use super::liveness::{Liveness, peek};

/// Any connection, boxed: what every connection of a pool is.
pub struct BoxConnection(Box<dyn Io>);

trait Io: Read + Write + Connection + Send + Unpin {
    fn liveness(&self) -> Liveness;
}

impl<T: Read + Write + Connection + Send + Unpin + 'static> Io for T {
    fn liveness(&self) -> Liveness {
        let io: &dyn Any = self;
        let socket = match io.downcast_ref::<DefaultConnection>() {
            Some(default) => Some(default.socket()),
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
            return boxed.take().expect("the option was made full above");
        }
        Self(Box::new(
            connection.expect("only a boxed connection was taken out"),
        ))
    }

    pub(crate) fn liveness(&self) -> Liveness {
        self.0.liveness()
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
