//! The byte streams of a served connection, watched for how the client ends them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_native_tls::TlsStream;

use super::tally::End;

/// A byte stream over a socket that can be reached.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;

    /// Closes what is above the socket; its FIN is sent apart, with the count.
    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Says what it meant that a read has just given 0 bytes.
    fn end_of_read(&self) -> End;
}

impl Transport for &mut TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn end_of_read(&self) -> End {
        End::Clean
    }
}

impl Transport for TlsStream<Below<'_>> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().get_ref().get_ref().tcp
    }

    fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self).poll_shutdown(context)
    }

    /// By the socket, since native-tls gives 0 bytes for a missing `close_notify` too. OpenSSL reads
    /// record by record: after a `close_notify` it has not looked for the socket's end.
    fn end_of_read(&self) -> End {
        if self.get_ref().get_ref().get_ref().ended {
            End::Abrupt
        } else {
            End::Clean
        }
    }
}

/// The socket below TLS; notes that its end was read.
#[derive(Debug)]
pub(super) struct Below<'a> {
    tcp: &'a mut TcpStream,
    ended: bool,
}

impl<'a> Below<'a> {
    pub(super) fn new(tcp: &'a mut TcpStream) -> Self {
        Self { tcp, ended: false }
    }
}

impl AsyncRead for Below<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut *self.tcp).poll_read(context, buffer));
        self.ended |= read.is_err() || buffer.filled().len() == before;
        Poll::Ready(read)
    }
}

impl AsyncWrite for Below<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.tcp).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.tcp).poll_shutdown(context)
    }
}

/// Notes how reading ended, and whether this side was shut down.
pub(super) struct Watched<T> {
    io: T,
    /// How the client ended it, once that was seen.
    pub(super) end: Option<End>,
    /// Whether the host has ended it in order.
    pub(super) shut: bool,
}

impl<T: Transport> Watched<T> {
    pub(super) fn new(io: T) -> Self {
        Self {
            io,
            end: None,
            shut: false,
        }
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        self.io.tcp()
    }

    fn note_write<R>(&mut self, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        // A socket reports its reset once: to the read, or to the write that came first. A broken
        // pipe may follow an orderly end, which the next read tells.
        if let Poll::Ready(Err(error)) = &written
            && error.kind() == io::ErrorKind::ConnectionReset
        {
            self.end.get_or_insert(End::Abrupt);
        }
        written
    }
}

impl<T: Transport> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining() > 0);
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        match &read {
            Poll::Ready(Ok(())) if room && buffer.filled().len() == before => {
                let end = self.io.end_of_read();
                self.end.get_or_insert(end);
            }
            Poll::Ready(Err(_)) => {
                self.end.get_or_insert(End::Abrupt);
            }
            _ => {}
        }
        read
    }
}

impl<T: Transport> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.note_write(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.note_write(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = self.io.poll_close(context);
        self.shut |= shut.is_ready();
        shut
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.note_write(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
