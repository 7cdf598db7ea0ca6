//! The connector that is there without asking: TCP, and TLS where a feature brings it.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::net::TcpStream;
use tower_service::Service;

use super::dns::DnsFailure;
use super::tcp::TcpConnector;
use super::tls::{self, SecureConnection, SecureConnector};
use crate::error::{BoxError, Error, ErrorKind, Result};

/// What the default connector is made from.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConnectOptions {
    pub(crate) tls_root_pems: Vec<Vec<u8>>,
    pub(crate) connect_timeout: Option<Duration>,
}

/// The connector of a session that was not given another: the system's resolver, TCP with
/// `TCP_NODELAY` and both address families side by side, TLS with the platform's trusted roots.
///
/// Opaque, so that features can be added to. Without a TLS feature, https is refused with
/// [`ErrorKind::Tls`].
#[derive(Clone)]
pub struct DefaultConnector(SecureConnector);

/// A connection that the [`DefaultConnector`] made.
pub struct DefaultConnection(SecureConnection);

impl DefaultConnector {
    /// Makes the connector, TLS included, so that each clone shares its set-up.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Builder`], if the platform's TLS cannot be set up.
    pub fn new() -> Result<Self> {
        Self::with_options(&ConnectOptions::default())
    }

    pub(crate) fn with_options(options: &ConnectOptions) -> Result<Self> {
        let tcp = TcpConnector::new(options.connect_timeout);
        tls::secure(tcp, &options.tls_root_pems).map(Self)
    }
}

impl Service<Uri> for DefaultConnector {
    type Response = DefaultConnection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<DefaultConnection, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move { connecting.await.map(DefaultConnection) })
    }
}

impl DefaultConnection {
    pub(super) fn socket(&self) -> &TcpStream {
        tls::socket(&self.0)
    }
}

/// Names the part of connecting that failed, by what stands in the chain of sources.
pub(super) fn classify(error: BoxError) -> Error {
    let error = match error.downcast::<Error>() {
        Ok(own) => return *own,
        Err(other) => other,
    };
    let mut kind = ErrorKind::Connect;
    let mut level: Option<&(dyn StdError + 'static)> = Some(&*error);
    while let Some(cause) = level {
        if cause.is::<DnsFailure>() {
            kind = ErrorKind::Dns;
        } else if tls::is_tls_error(cause) {
            kind = ErrorKind::Tls;
        }
        level = cause.source();
    }
    Error::new(kind).with_source(error)
}

impl Read for DefaultConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for DefaultConnection {
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

impl Connection for DefaultConnection {
    fn connected(&self) -> Connected {
        self.0.connected()
    }
}

impl fmt::Debug for DefaultConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DefaultConnector").finish_non_exhaustive()
    }
}

impl fmt::Debug for DefaultConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DefaultConnection").finish_non_exhaustive()
    }
}
