//! `Session`.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::header::HOST;
use http::{HeaderMap, Method, Request};
use tower_service::Service;

use crate::body::Body;
use crate::error::{Error, Result};
use crate::pipeline::call::Call;
use crate::pipeline::check::{FRAMING, check_host};
use crate::pipeline::client::Client;
use crate::pipeline::headers::{mark_sensitive, replace, retain};
use crate::pool::{CloseReport, Lease, OriginStats, Stats};
use crate::request::RequestBuilder;
use crate::response::Response;
use crate::url::BaseUrl;

/// An open HTTP session: a connection pool with its defaults.
///
/// A cheap clone of one shared thing: clone it, there is no need for an `Arc` around it. Usually a
/// [`SessionHolder`](crate::SessionHolder) opens it and lends it to closures;
/// [`SessionBuilder::open`](crate::SessionBuilder::open) gives a bare one.
///
/// # Close
///
/// [`close`](Self::close) ends the session for all its clones and waits for the end. Dropping the
/// last clone (that of the holder included) closes everything that is not in an exchange at once,
/// without waiting: idle connections send FIN, under TLS `close_notify` first. A response that is
/// being read goes on to its end.
///
/// # Examples
///
/// As a `tower` service:
///
/// ```
/// use hyper_session::{Body, Session};
/// use tower::ServiceExt;
///
/// # async fn example(session: Session) -> hyper_session::Result<()> {
/// let request = http::Request::get("http://localhost:8080/").body(Body::empty()).unwrap();
/// let response = session.oneshot(request).await?;
/// assert!(response.status().is_success());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Session {
    client: Arc<Client>,
}

impl Session {
    pub(crate) fn from_client(client: Arc<Client>) -> Self {
        Self { client }
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    #[inline]
    pub(crate) fn lease(&self) -> Option<Lease> {
        self.client.lease()
    }

    pub(crate) fn begin_close(&self) {
        self.client.owner().pool().begin_close();
    }

    /// Whether both are handles of one session.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.client.owner().pool(), other.client.owner().pool())
    }

    /// Starts a request.
    ///
    /// An absolute `url` is taken as it is. A relative one is appended to the path of the
    /// [`base_url`](crate::SessionBuilder::base_url). Either is read as browsers do, which encode what has to be,
    /// but for control characters (C0 and DEL), which are refused wherever they are, and for an http URL that
    /// has no `//`, such as `http:x`.
    pub fn request(&self, method: Method, url: impl AsRef<str>) -> RequestBuilder {
        RequestBuilder::for_session(Arc::clone(&self.client), method, url.as_ref())
    }

    /// Starts a GET request.
    pub fn get(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    /// Starts a POST request.
    pub fn post(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// Starts a PUT request.
    pub fn put(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PUT, url)
    }

    /// Starts a PATCH request.
    pub fn patch(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PATCH, url)
    }

    /// Starts a DELETE request.
    pub fn delete(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::DELETE, url)
    }

    /// Starts a HEAD request.
    pub fn head(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::HEAD, url)
    }

    /// Starts an OPTIONS request.
    pub fn options(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::OPTIONS, url)
    }

    /// Sends a request that was made elsewhere, with the session's defaults.
    ///
    /// # Errors
    ///
    /// As [`RequestBuilder::send`], whose notes on cancel safety hold here as well.
    pub async fn execute(&self, request: Request<Body>) -> Result<Response> {
        self.client.execute(Call::from_http(request)?).await
    }

    /// Derives a session on the same pool whose requests have these headers as well, unless they
    /// bring their own; in place of the session's of the same names. `Content-Length` and `Transfer-Encoding`
    /// are left out, and so is a `Host` that is none. They go to every host, see
    /// [`default_headers`](crate::SessionBuilder::default_headers).
    pub fn with_default_headers(&self, mut headers: HeaderMap) -> Self {
        let has_host = check_host(&headers).is_ok();
        retain(&mut headers, |name| {
            FRAMING.iter().all(|framing| framing != name) && (has_host || name != HOST)
        });
        mark_sensitive(&mut headers);
        let mut client = Client::clone(&self.client);
        replace(&mut client.defaults.headers, headers);
        Self::from_client(Arc::new(client))
    }

    /// Returns the session's numbers at this moment.
    pub fn stats(&self) -> Stats {
        self.client.owner().pool().stats()
    }

    /// Returns the same by origin, of those that have a connection, or a request that waits for one.
    pub fn origin_stats(&self) -> Vec<OriginStats> {
        self.client.owner().pool().origin_stats()
    }

    /// Whether a close has begun. Handles that hold a lease still work then.
    pub fn is_closing(&self) -> bool {
        self.client.owner().pool().is_closing()
    }

    /// Closes the connections that are idle now, without waiting: FIN, under TLS `close_notify` first.
    ///
    /// With nothing under way, nothing of the session runs after it, no timer either: for a process
    /// that is about to be frozen.
    pub fn close_idle(&self) {
        self.client.owner().pool().close_idle();
    }

    /// Closes the session for all its handles and waits for the end.
    ///
    /// New requests fail with [`ErrorKind::Closed`](crate::ErrorKind::Closed) once no holder's call
    /// or stream holds the session any more; exchanges under way end; idle connections are shut
    /// down, all at once and for at most a second. When it returns, no socket of the session is
    /// open. A second close waits for the same end and gives the same report.
    ///
    /// Called from within a holder's `with_session` on the same session, it would wait for itself: use
    /// [`close_within`](Self::close_within) there.
    ///
    /// A [`Response`] that is neither read nor dropped is an exchange that does not end: use
    /// [`close_within`](Self::close_within), or drop it first.
    ///
    /// # Cancel safety
    ///
    /// A close cannot be undone. Dropped, it leaves the rest to happen by itself, as at the drop of
    /// the last handle; the closing hook may then not run.
    pub async fn close(&self) -> CloseReport {
        self.client.close().await
    }

    /// Closes the session and cuts what has not ended within `limit`.
    ///
    /// Exchanges that are cut fail with [`ErrorKind::Closed`](crate::ErrorKind::Closed). Closes that
    /// wait elsewhere without a limit end with this one. Where no tokio runtime can tell the time,
    /// what does not end at once is cut.
    ///
    /// # Cancel safety
    ///
    /// As [`close`](Self::close); nothing is cut then.
    pub async fn close_within(&self, limit: Duration) -> CloseReport {
        self.client.close_within(limit).await
    }
}

impl Service<Request<Body>> for Session {
    type Response = http::Response<Body>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<http::Response<Body>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let session = self.clone();
        Box::pin(async move { session.execute(request).await.map(Response::into_http) })
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("base_url", &self.client.base.as_ref().map(BaseUrl::as_str))
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

const _: () = {
    const fn assert_traits<T: Send + Sync + Unpin + Clone>() {}
    assert_traits::<Session>();
};
