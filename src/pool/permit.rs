//! The right to have one socket, and the IO that holds it.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};

use super::signal::Signal;
use crate::connect::{BoxConnection, Liveness};

/// Who keeps count of connections and their streams.
pub(super) trait Books: Send + Sync {
    fn give_back(self: Arc<Self>, id: usize);
    /// The peer of an HTTP/2 connection has said how many streams it allows.
    fn limit_streams(self: Arc<Self>, of: Stamp);
    fn end_stream(self: Arc<Self>, of: Stamp, place: usize);
    /// No new stream can begin on a connection.
    fn retire(self: Arc<Self>, which: Stamp);
}

/// Which connection: its place in the registry, and a number that no other has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) id: usize,
    pub(super) number: u64,
}

/// The right to one live connection. Dropping it gives it back; there is no other way.
pub(super) struct Permit {
    stamp: Stamp,
    books: Arc<dyn Books>,
}

impl Permit {
    pub(super) fn new(stamp: Stamp, books: Arc<dyn Books>) -> Self {
        Self { stamp, books }
    }

    pub(super) fn stamp(&self) -> Stamp {
        self.stamp
    }

    pub(super) fn id(&self) -> usize {
        self.stamp.id
    }

    pub(super) fn books(&self) -> Weak<dyn Books> {
        Arc::downgrade(&self.books)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        Arc::clone(&self.books).give_back(self.stamp.id);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({})", self.stamp.id)
    }
}

/// A connection's bytes, counted against the limit until they are closed.
#[derive(Debug)]
pub(super) struct Io {
    // Fields drop in this order: the socket is closed before its permit can be used again.
    transport: BoxConnection,
    signal: Arc<Signal>,
    /// Reads that found something, one after the other.
    reads: u8,
    _permit: Permit,
}

/// How many of those there may be before others have their turn: hyper would go on for as long as a
/// peer sends what is no part of an answer, a hundred buffers at a time.
const READS: u8 = 8;

impl Io {
    pub(super) fn new(transport: BoxConnection, signal: Arc<Signal>, permit: Permit) -> Self {
        Self {
            transport,
            signal,
            reads: 0,
            _permit: permit,
        }
    }

    #[cold]
    fn pause(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.reads = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.reads == READS {
            return self.pause(cx);
        }
        let read = Pin::new(&mut self.transport).poll_read(cx, buf);
        if read.is_ready() {
            self.reads += 1;
            return read;
        }
        self.reads = 0;
        // The reactor may not have turned since the peer closed: ask the kernel, and report the end.
        if self.signal.take_look() && self.transport.liveness() == Liveness::Dead {
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
        let written = Pin::new(&mut self.transport).poll_write(cx, buf);
        self.signal.note_behind(written.is_pending());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.transport).poll_flush(cx);
        self.signal.note_behind(flushed.is_pending());
        flushed
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
        let written = Pin::new(&mut self.transport).poll_write_vectored(cx, bufs);
        self.signal.note_behind(written.is_pending());
        written
    }
}
