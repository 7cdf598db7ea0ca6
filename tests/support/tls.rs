//! The same server over TLS, with a certificate authority made at test time.

use std::sync::LazyLock;

use http::{Request, Response};
use hyper::body::Incoming;
use native_tls::Identity;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use tokio_native_tls::TlsAcceptor;

use super::body::Body;
use super::server::{Protocol, Server};

/// One authority for all servers of the process.
static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);

/// The certificate (PEM) of the authority that signs every test server's.
pub fn ca_pem() -> String {
    AUTHORITY.issuer.pem()
}

impl Server {
    /// Starts a server over TLS whose certificate is for `localhost` and 127.0.0.1.
    pub fn start_tls<H>(handler: H) -> Self
    where
        H: AsyncFn(Request<Incoming>) -> Response<Body> + Send + 'static,
    {
        Self::start_tls_for(&["localhost", "127.0.0.1"], handler)
    }

    /// Starts a server over TLS whose certificate is for these names and addresses only.
    pub fn start_tls_for<H>(names: &[&str], handler: H) -> Self
    where
        H: AsyncFn(Request<Incoming>) -> Response<Body> + Send + 'static,
    {
        Self::launch(Protocol::Http1, Some(acceptor(names, &[])), handler)
    }

    /// The authority's certificate (PEM), for the client to trust.
    #[expect(
        clippy::unused_self,
        reason = "read as the server's, though all share one"
    )]
    pub fn ca_pem(&self) -> String {
        ca_pem()
    }
}

/// Accepts as a server for these names, and chooses of these protocols (ALPN).
pub fn acceptor(names: &[&str], protocols: &[&str]) -> TlsAcceptor {
    let mut acceptor = native_tls::TlsAcceptor::builder(AUTHORITY.identity(names));
    if !protocols.is_empty() {
        acceptor.accept_alpn(protocols);
    }
    let acceptor = acceptor.build().expect("the identity is accepted");
    acceptor.into()
}

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "hyper-session test authority");
        let key = KeyPair::generate().expect("a key can be made");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("the authority signs itself");
        Self { issuer }
    }

    fn identity(&self, names: &[&str]) -> Identity {
        let names = names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let params = CertificateParams::new(names).expect("valid names for a certificate");
        let key = KeyPair::generate().expect("a key can be made");
        let leaf = params
            .signed_by(&key, &self.issuer)
            .expect("the authority signs the server");
        let identity = Identity::from_pkcs8(leaf.pem().as_bytes(), key.serialize_pem().as_bytes());
        identity.expect("the certificate fits its key")
    }
}
