//! What makes a connection to a URI.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use hyper::Uri;
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::Connection;
use tower_service::Service;

use super::connection::BoxConnection;
use super::default::classify;
use crate::error::{BoxError, Error, Result};

/// What makes a connection to a [`Uri`]: any [`tower_service::Service`] of that shape, as in
/// hyper-util.
///
/// Implemented for every type that fits; nobody implements it by hand. hyper-util's
/// `HttpConnector` and hyper-tls's `HttpsConnector` fit, and so does a function behind
/// `tower::service_fn` that returns [`BoxConnection::from_io`] of anything to read and write.
///
/// A connector is asked for a connection by the `scheme://host:port/` of the request. The future
/// is dropped when the request that waits for it is; dropping it must release what it holds.
///
/// # Examples
///
/// A session without a network, for tests:
///
/// ```
/// use hyper_session::{BoxConnection, SessionHolder, Uri};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), hyper_session::Error> {
/// let in_memory = tower::service_fn(async |_: Uri| {
///     let (client, mut server) = tokio::io::duplex(4096);
///     tokio::spawn(async move {
///         let mut request = [0; 4096];
///         let _ = server.read(&mut request).await;
///         let _ = server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
///     });
///     Ok::<_, std::io::Error>(BoxConnection::from_io(client))
/// });
/// let session = SessionHolder::builder().connector(in_memory).build()?;
/// assert_eq!(session.get("http://nowhere/").send().await?.text().await?, "hi");
/// # Ok(())
/// # }
/// ```
pub trait Connector:
    Service<
        Uri,
        Response: Read + Write + Connection + Send + Unpin + 'static,
        Error: Into<BoxError>,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<C> Connector for C
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Read + Write + Connection + Send + Unpin + 'static,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
{
}

/// A connector without its type, as the pool holds it.
pub(crate) trait Dial: Send + Sync {
    /// Resolves, connects and shakes hands.
    fn dial(&self, uri: Uri) -> BoxFuture<'static, Result<BoxConnection>>;
}

impl<C: Connector> Dial for C {
    fn dial(&self, uri: Uri) -> BoxFuture<'static, Result<BoxConnection>> {
        let mut connector = self.clone();
        Box::pin(async move {
            poll_fn(|cx| connector.poll_ready(cx))
                .await
                .map_err(|error| classify(error.into()))?;
            let connection = connector.call(uri).await;
            connection
                .map(BoxConnection::new)
                .map_err(|error| classify(error.into()))
        })
    }
}

/// Any connector, boxed: for a struct that takes the real network in production and something else
/// in tests without becoming generic.
///
/// # Examples
///
/// ```
/// use hyper_session::{BoxConnector, DefaultConnector, SessionHolder};
///
/// struct Api {
///     session: SessionHolder<BoxConnector>,
/// }
///
/// let connector = BoxConnector::new(DefaultConnector::new()?);
/// let api = Api { session: SessionHolder::builder().connector(connector).build()? };
/// # drop(api);
/// # Ok::<(), hyper_session::Error>(())
/// ```
#[derive(Clone)]
pub struct BoxConnector(Arc<dyn Dial>);

impl BoxConnector {
    /// Boxes a connector.
    pub fn new<C: Connector>(connector: C) -> Self {
        Self(Arc::new(connector))
    }
}

impl Service<Uri> for BoxConnector {
    type Response = BoxConnection;
    type Error = Error;
    type Future = BoxFuture<'static, Result<BoxConnection>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        self.0.dial(uri)
    }
}

impl fmt::Debug for BoxConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxConnector").finish_non_exhaustive()
    }
}
