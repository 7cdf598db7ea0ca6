//! What the client and the server of a test speak: one test for several.

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_session::{BoxConnector, Connector, DefaultConnector, SessionBuilder};

use super::body::Body;
use super::server::{Protocol, Server};

/// How many streams an HTTP/2 server allows at a time: few, so that requests queue for them.
pub const STREAMS: u32 = 3;

/// A protocol, and what it goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wire {
    Http1,
    /// In the clear, by prior knowledge.
    #[cfg(feature = "http2")]
    Http2,
    /// Over TLS, chosen by ALPN.
    #[cfg(all(feature = "http2", feature = "native-tls"))]
    Http2Tls,
}

impl Wire {
    /// Starts a server.
    pub fn serve<H>(self, handler: H) -> Server
    where
        H: AsyncFn(Request<Incoming>) -> Response<Body> + Send + 'static,
    {
        match self {
            Self::Http1 => Server::start(handler),
            #[cfg(feature = "http2")]
            Self::Http2 => Server::launch(Protocol::Http2 { streams: STREAMS }, None, handler),
            #[cfg(all(feature = "http2", feature = "native-tls"))]
            Self::Http2Tls => {
                let acceptor = super::tls::acceptor(&["localhost", "127.0.0.1"], &["h2"]);
                let protocol = Protocol::Http2 { streams: STREAMS };
                Server::launch(protocol, Some(acceptor), handler)
            }
        }
    }

    /// Has a session speak to such a server.
    pub fn set<C: Connector>(self, builder: SessionBuilder<C>) -> SessionBuilder<C> {
        match self {
            #[cfg(feature = "http2")]
            Self::Http2 => builder.http2_prior_knowledge(),
            _ => builder,
        }
    }

    /// Connects to such a server.
    pub fn connector(self) -> BoxConnector {
        match self {
            #[cfg(all(feature = "http2", feature = "native-tls"))]
            Self::Http2Tls => over_tls(),
            _ => BoxConnector::new(DefaultConnector::new().expect("a connector")),
        }
    }
}

#[cfg(all(feature = "http2", feature = "native-tls"))]
fn over_tls() -> BoxConnector {
    use std::sync::LazyLock;

    use hyper_util::client::legacy::connect::HttpConnector;
    use native_tls::{Certificate, TlsConnector};

    // Made once, as it reads all of the platform's roots.
    static TLS: LazyLock<TlsConnector> = LazyLock::new(|| {
        let authority = Certificate::from_pem(super::tls::ca_pem().as_bytes());
        let tls = TlsConnector::builder()
            .add_root_certificate(authority.expect("a certificate in PEM"))
            .request_alpns(&["h2", "http/1.1"])
            .build();
        tls.expect("the authority is accepted")
    });
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    BoxConnector::new(hyper_tls::HttpsConnector::from((tcp, TLS.clone().into())))
}
