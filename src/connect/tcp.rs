//! TCP, with a write side that does not hide an early answer.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::dns::Resolver;
use super::phases::{Phases, timed};
use super::traffic::Metered;
use crate::error::BoxError;

/// Connects to a host's addresses, two families side by side (RFC 8305), with `TCP_NODELAY`.
#[derive(Debug, Clone)]
pub(super) struct TcpConnector(HttpConnector<Resolver>);

impl TcpConnector {
    pub(super) fn new(connect_timeout: Option<std::time::Duration>) -> Self {
        let mut http = HttpConnector::new_with_resolver(Resolver::new());
        http.set_nodelay(true);
        http.enforce_http(false);
        // Shared out over the addresses, so that a silent one does not use up the others' time.
        http.set_connect_timeout(connect_timeout);
        Self(http)
    }
}

impl Service<Uri> for TcpConnector {
    type Response = Tcp;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Tcp, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            let resolving = |phases: Phases| phases.dns.unwrap_or_default();
            let connecting = timed(connecting, resolving, |phases, took| {
                phases.tcp = Some(took);
            });
            Ok(Tcp {
                io: TokioIo::new(Metered::new(connecting.await?.into_inner())),
                write_dead: WriteDead::default(),
            })
        })
    }
}

/// A TCP connection whose failed writes are left for the read side to explain.
///
/// A server that refuses an upload answers and closes; the write that then fails would beat the
/// answer that is already in the socket. So a broken write side swallows what it is given, and the
/// reader finds the answer, or the reset.
#[derive(Debug)]
pub(super) struct Tcp {
    io: TokioIo<Metered<TcpStream>>,
    write_dead: WriteDead,
}

/// Says that what is written to a connection goes nowhere. Among the extras of its `Connected`.
#[derive(Debug, Clone, Default)]
pub(crate) struct WriteDead(Arc<AtomicBool>);

impl WriteDead {
    pub(crate) fn flag(self) -> Arc<AtomicBool> {
        self.0
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Tcp {
    pub(super) fn socket(&self) -> &TcpStream {
        self.io.inner().get_ref()
    }

    fn settle(&mut self, written: io::Result<usize>, offered: usize) -> io::Result<usize> {
        match written {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
                ) =>
            {
                self.write_dead.0.store(true, Ordering::Relaxed);
                Ok(offered)
            }
            other => other,
        }
    }
}

impl Read for Tcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Tcp {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.write_dead.is_set() {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf));
        Poll::Ready(self.settle(written, buf.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let offered = || bufs.iter().map(|buf| buf.len()).sum();
        if self.write_dead.is_set() {
            return Poll::Ready(Ok(offered()));
        }
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs));
        Poll::Ready(self.settle(written, offered()))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.write_dead.is_set() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl Connection for Tcp {
    fn connected(&self) -> Connected {
        let socket = self.io.inner();
        let connected = socket.get_ref().connected();
        connected
            .extra(self.write_dead.clone())
            .extra(Arc::clone(socket.traffic()))
    }
}
