//! The right to have one socket, and the IO that holds it.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};

use super::signal::Signal;
use crate::connect::{BoxConnection, Liveness};

/// Where permits come from and go back to.
pub(super) trait PermitSource: Send + Sync {
    fn give_back(self: Arc<Self>, id: usize);
}

/// The right to one live connection. Dropping it gives it back; there is no other way.
pub(super) struct Permit {
    id: usize,
    source: Arc<dyn PermitSource>,
}

impl Permit {
    pub(super) fn new(id: usize, source: Arc<dyn PermitSource>) -> Self {
        Self { id, source }
    }

    pub(super) fn id(&self) -> usize {
        self.id
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        Arc::clone(&self.source).give_back(self.id);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({})", self.id)
    }
}

/// A connection's bytes, counted against the limit until they are closed.
#[derive(Debug)]
pub(super) struct Io {
    // Fields drop in this order: the socket is closed before its permit can be used again.
    transport: BoxConnection,
    signal: Arc<Signal>,
    _permit: Permit,
}

impl Io {
    pub(super) fn new(transport: BoxConnection, signal: Arc<Signal>, permit: Permit) -> Self {
        Self {
            transport,
            signal,
            _permit: permit,
        }
    }
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.transport).poll_read(cx, buf);
        // The reactor may not have turned since the peer closed: ask the kernel, and report the end.
        if read.is_pending()
            && self.signal.take_look()
            && self.transport.liveness() == Liveness::Dead
        {
            return Poll::Ready(Ok(()));
        }
        read
    }
}

impl Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write_vectored(cx, bufs)
    }
}
