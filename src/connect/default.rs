//! The connector that is there without asking: TCP, and TLS where a feature brings it.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use tower_service::Service;

use super::connection::BoxConnection;
use super::dns::DnsFailure;
use super::tcp::TcpConnector;
use super::tls::{self, SecureConnector};
use crate::config::{HttpConfig, Protocols};
use crate::error::{BoxError, Error, ErrorKind, Result, TimeoutPhase};

/// What the default connector is made from.
#[derive(Debug, Clone)]
pub(crate) struct ConnectOptions {
    pub(crate) tls_root_pems: Vec<Vec<u8>>,
    pub(crate) connect_timeout: Option<Duration>,
    /// What is offered to TLS peers (ALPN, RFC 7301).
    pub(crate) protocols: Protocols,
}

/// The connector of a session that was not given another: the system's resolver, TCP with
/// `TCP_NODELAY` and both address families side by side, TLS with the platform's trusted roots.
///
/// Opaque, so that features can be added to. Without a TLS feature, https is refused with
/// [`ErrorKind::Tls`].
#[derive(Clone)]
pub struct DefaultConnector(SecureConnector);

impl DefaultConnector {
    /// Makes the connector. With the feature `http2` it offers HTTP/2 to TLS peers. Its clones share one
    /// TLS set-up, made when the first https connection needs it; should that fail, so does the
    /// connection, with [`ErrorKind::Tls`].
    ///
    /// # Errors
    ///
    /// None today; a TLS feature may need one.
    pub fn new() -> Result<Self> {
        Self::with_options(&ConnectOptions {
            tls_root_pems: Vec::new(),
            connect_timeout: None,
            protocols: HttpConfig::default().protocols,
        })
    }

    pub(crate) fn with_options(options: &ConnectOptions) -> Result<Self> {
        let tcp = TcpConnector::new(options.connect_timeout);
        tls::secure(tcp, &options.tls_root_pems, options.protocols).map(Self)
    }
}

impl Service<Uri> for DefaultConnector {
    type Response = BoxConnection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<BoxConnection, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move { connecting.await.map(BoxConnection::new) })
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
        let io = cause.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut) {
            kind = ErrorKind::Timeout(TimeoutPhase::Connect);
        } else if cause.is::<DnsFailure>() {
            kind = ErrorKind::Dns;
        } else if tls::is_tls_error(cause) {
            kind = ErrorKind::Tls;
        }
        level = cause.source();
    }
    Error::new(kind).with_source(error)
}

impl fmt::Debug for DefaultConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DefaultConnector").finish_non_exhaustive()
    }
}
