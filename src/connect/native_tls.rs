//! TLS by the platform's library, through hyper-tls.

use hyper_tls::{HttpsConnector, MaybeHttpsStream};
use native_tls::{Certificate, TlsConnector};

use tokio::net::TcpStream;

use super::tcp::{Tcp, TcpConnector};
use crate::error::{Error, Result};

pub(super) type SecureConnector = HttpsConnector<TcpConnector>;
pub(super) type SecureConnection = MaybeHttpsStream<Tcp>;

pub(super) fn secure(tcp: TcpConnector, root_pems: &[Vec<u8>]) -> Result<SecureConnector> {
    let mut builder = TlsConnector::builder();
    for pem in root_pems {
        let roots = Certificate::stack_from_pem(pem).map_err(|error| {
            Error::builder("tls_root_pem: not a certificate in PEM").with_source(error)
        })?;
        if roots.is_empty() {
            return Err(Error::builder("tls_root_pem: holds no certificate"));
        }
        for root in roots {
            builder.add_root_certificate(root);
        }
    }
    let tls = builder
        .build()
        .map_err(|error| Error::builder("TLS cannot be set up").with_source(error))?;
    Ok(HttpsConnector::from((tcp, tls.into())))
}

pub(super) fn socket(connection: &SecureConnection) -> &TcpStream {
    match connection {
        MaybeHttpsStream::Http(tcp) => tcp.socket(),
        MaybeHttpsStream::Https(tls) => tls.inner().get_ref().get_ref().get_ref().inner().socket(),
    }
}

pub(super) fn is_tls_error(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<native_tls::Error>()
}
