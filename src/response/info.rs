//! `ResponseInfo`.

use std::fmt;
use std::mem;
use std::net::SocketAddr;
use std::sync::OnceLock;

use http::Uri;
use url::Url;

use crate::pool::Timings;
use crate::redirect::Hop;
use crate::url::Target;

/// Where a response came from, and how: among the extensions of one that
/// [`into_http`](crate::Response::into_http) or the `tower` service gives.
///
/// # Examples
///
/// ```
/// # use hyper_session::{Body, Result, Session};
/// use hyper_session::ResponseInfo;
/// use tower::ServiceExt;
///
/// # async fn example(session: Session) -> Result<()> {
/// let request = http::Request::get("http://localhost:8080/old").body(Body::empty()).unwrap();
/// let response = session.oneshot(request).await?;
/// let info = response.extensions().get::<ResponseInfo>().unwrap();
/// println!("{} after {} redirects", info.url(), info.history().len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ResponseInfo {
    pub(super) uri: Uri,
    fragment: Option<Box<str>>,
    url: OnceLock<Box<Url>>,
    history: Vec<Hop>,
    /// What its exchange told, once that can no longer be asked.
    exchange: Option<Box<(Timings, Option<SocketAddr>)>>,
}

impl ResponseInfo {
    pub(super) fn unknown() -> Self {
        Self {
            uri: Uri::default(),
            fragment: None,
            url: OnceLock::new(),
            history: Vec::new(),
            exchange: None,
        }
    }

    /// Adds what is known at the end of the way. Takes the target.
    pub(super) fn complete(&mut self, target: &mut Target, history: Vec<Hop>) {
        mem::swap(&mut self.uri, &mut target.uri);
        self.fragment = target.fragment.take();
        self.history = history;
    }

    /// Returns the URL that answered, after all redirects, as it was resolved; made on first use.
    ///
    /// Without user info. It has the fragment that the request's URL or a redirect had. `about:blank` of
    /// a response that nobody sent.
    pub fn url(&self) -> &Url {
        self.url.get_or_init(|| {
            if self.uri.scheme().is_none() {
                return Box::new(blank());
            }
            let target = Target {
                uri: self.uri.clone(),
                fragment: self.fragment.clone(),
                user_info: None,
            };
            Box::new(target.to_url())
        })
    }

    /// Returns the redirects that led here, in their order, each with its status, URL and headers.
    pub fn history(&self) -> &[Hop] {
        &self.history
    }

    /// Returns how long the request took, as [`Response::timings`](crate::Response::timings) does.
    pub fn timings(&self) -> Timings {
        let exchange = self.exchange.as_ref();
        exchange.map_or_else(Timings::default, |exchange| exchange.0)
    }

    /// Returns the server's address, where the connector tells it.
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.exchange.as_ref()?.1
    }

    /// Keeps what the exchange has told.
    pub(super) fn keep(&mut self, timings: Timings, remote_addr: Option<SocketAddr>) {
        self.exchange = Some(Box::new((timings, remote_addr)));
    }
}

/// The URL of what was not asked for.
fn blank() -> Url {
    Url::parse("about:blank").expect("it is a URL")
}

impl fmt::Debug for ResponseInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may have a query.
        f.debug_struct("ResponseInfo")
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}
