//! No TLS is built in: https is refused.

use std::fmt;
use std::future::{self, Future};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::Uri;
use tokio::net::TcpStream;
use tower_service::Service;

use super::tcp::{Tcp, TcpConnector};
use crate::config::Protocols;
use crate::error::{BoxError, Error, Result};

pub(super) type SecureConnection = Tcp;

#[derive(Debug, Clone)]
pub(super) struct SecureConnector(TcpConnector);

#[derive(Debug)]
struct NoTls;

pub(super) fn secure(
    tcp: TcpConnector,
    root_pems: &[Vec<u8>],
    _: Protocols,
) -> Result<SecureConnector> {
    if !root_pems.is_empty() {
        return Err(Error::builder("tls_root_pem: no TLS feature is on"));
    }
    Ok(SecureConnector(tcp))
}

pub(super) fn socket(connection: &SecureConnection) -> &TcpStream {
    connection.socket()
}

pub(super) fn is_tls_error(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<NoTls>()
}

impl Service<Uri> for SecureConnector {
    type Response = Tcp;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Tcp, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        if uri.scheme_str() == Some("https") {
            return Box::pin(future::ready(Err(NoTls.into())));
        }
        self.0.call(uri)
    }
}

impl fmt::Display for NoTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("https needs the feature `native-tls`, or a connector of your own")
    }
}

impl std::error::Error for NoTls {}
