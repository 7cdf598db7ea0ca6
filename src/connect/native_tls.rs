//! TLS by the platform's library, through hyper-tls.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper_tls::{HttpsConnector, MaybeHttpsStream};
use native_tls::{Certificate, TlsConnector};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tower_service::Service;

use super::phases::{Phases, timed};
use super::tcp::{Tcp, TcpConnector};
use crate::config::Protocols;
use crate::error::{BoxError, Error, Result};

pub(super) type SecureConnection = MaybeHttpsStream<Tcp>;

/// Connects by TCP, and for https by TLS on top of it.
///
/// All clones share one TLS set-up. It is made when the first https connection needs it: reading
/// the platform's roots takes OpenSSL tens of milliseconds, which plain HTTP should not pay.
#[derive(Clone)]
pub(super) struct SecureConnector {
    tcp: TcpConnector,
    tls: Arc<Tls>,
}

struct Tls {
    roots: Vec<Certificate>,
    /// Offered to peers, the first rather than the next.
    alpn: &'static [&'static str],
    connector: OnceCell<HttpsConnector<TcpConnector>>,
}

pub(super) fn secure(
    tcp: TcpConnector,
    root_pems: &[Vec<u8>],
    protocols: Protocols,
) -> Result<SecureConnector> {
    let mut roots = Vec::new();
    for pem in root_pems {
        let found = Certificate::stack_from_pem(pem).map_err(|error| {
            Error::builder("tls_root_pem: not a certificate in PEM").with_source(error)
        })?;
        if found.is_empty() {
            return Err(Error::builder("tls_root_pem: holds no certificate"));
        }
        roots.extend(found);
    }
    let tls = Arc::new(Tls {
        roots,
        alpn: match protocols {
            Protocols::Negotiated => &["h2", "http/1.1"],
            Protocols::Http1Only => &[],
            Protocols::Http2Only => &["h2"],
        },
        connector: OnceCell::new(),
    });
    Ok(SecureConnector { tcp, tls })
}

impl Tls {
    fn connector(&self) -> Result<TlsConnector, native_tls::Error> {
        let mut builder = TlsConnector::builder();
        for root in &self.roots {
            builder.add_root_certificate(root.clone());
        }
        builder.request_alpns(self.alpn);
        builder.build()
    }
}

impl SecureConnector {
    /// The connector for https, set up on a thread that may block.
    async fn https(self) -> Result<HttpsConnector<TcpConnector>, BoxError> {
        let Self { tcp, tls } = &self;
        let set_up = tls.connector.get_or_try_init(|| async {
            let tls = Arc::clone(tls);
            let connector = tokio::task::spawn_blocking(move || tls.connector()).await??;
            Ok::<_, BoxError>(HttpsConnector::from((tcp.clone(), connector.into())))
        });
        set_up.await.cloned()
    }
}

impl Service<Uri> for SecureConnector {
    type Response = SecureConnection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<SecureConnection, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let mut this = self.clone();
        Box::pin(async move {
            if uri.scheme_str() != Some("https") {
                return this.tcp.call(uri).await.map(MaybeHttpsStream::Http);
            }
            let mut https = this.https().await?;
            let below =
                |phases: Phases| phases.dns.unwrap_or_default() + phases.tcp.unwrap_or_default();
            let shaking_hands = timed(https.call(uri), below, |phases, took| {
                phases.tls = Some(took);
            });
            shaking_hands.await
        })
    }
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
