//! Which redirects are followed, and what is kept of those that were.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use url::Url;

use crate::error::BoxError;

/// How many redirects are followed where nothing else is said.
const LIMIT: usize = 10;

type Decide = dyn Fn(&RedirectAttempt<'_>) -> RedirectAction + Send + Sync;

/// Which redirects are followed (RFC 9110 §15.4).
///
/// What is a redirect: 301, 302, 303, 307 and 308 with a `Location`. Everything else is an answer
/// like any other.
///
/// # Examples
///
/// ```
/// use hyper_session::{RedirectAction, RedirectPolicy, Session};
///
/// let same_host = RedirectPolicy::custom(|attempt| {
///     let first = &attempt.history()[0];
///     if attempt.url().host_str() == first.url().host_str() {
///         RedirectAction::Follow
///     } else {
///         RedirectAction::Stop
///     }
/// });
/// let builder = Session::builder().redirect(same_host);
/// # drop(builder);
/// ```
#[derive(Clone)]
pub struct RedirectPolicy {
    /// `None`: none is followed, and none an error.
    limit: Option<usize>,
    decide: Option<Arc<Decide>>,
}

impl RedirectPolicy {
    /// Follows up to `limit` redirects in a row. One more is an error
    /// ([`ErrorKind::Redirect`](crate::ErrorKind::Redirect)). The default, with a limit of 10.
    pub fn limited(limit: usize) -> Self {
        Self {
            limit: Some(limit),
            decide: None,
        }
    }

    /// Follows none: a redirect is an answer like any other.
    pub fn none() -> Self {
        Self {
            limit: None,
            decide: None,
        }
    }

    /// Asks `decide` at each redirect. At most 10 are followed in a row all the same;
    /// [`limit`](Self::limit) sets another number.
    ///
    /// It is called while the request is under way, and should not block.
    pub fn custom<F>(decide: F) -> Self
    where
        F: Fn(&RedirectAttempt<'_>) -> RedirectAction + Send + Sync + 'static,
    {
        Self {
            limit: Some(LIMIT),
            decide: Some(Arc::new(decide)),
        }
    }

    /// Sets how many redirects are followed in a row. One more is an error.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Whether redirects are answers like any other.
    pub(crate) fn is_none(&self) -> bool {
        self.limit.is_none()
    }

    /// What to do about a redirect, but for the limit.
    pub(crate) fn decide(&self, attempt: &RedirectAttempt<'_>) -> RedirectAction {
        match &self.decide {
            Some(decide) => decide(attempt),
            None => RedirectAction::Follow,
        }
    }

    /// The limit, if so many redirects in a row exceed it.
    pub(crate) fn exceeded_by(&self, redirects: usize) -> Option<usize> {
        self.limit.filter(|limit| redirects > *limit)
    }
}

impl Default for RedirectPolicy {
    fn default() -> Self {
        Self::limited(LIMIT)
    }
}

impl fmt::Debug for RedirectPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedirectPolicy")
            .field("limit", &self.limit)
            .field("custom", &self.decide.is_some())
            .finish()
    }
}

/// A redirect about which [`RedirectPolicy::custom`] is asked.
#[derive(Clone, Copy)]
pub struct RedirectAttempt<'a> {
    pub(crate) status: StatusCode,
    pub(crate) url: &'a Url,
    pub(crate) history: &'a [Hop],
}

impl<'a> RedirectAttempt<'a> {
    /// Returns where the redirect leads, as it was resolved, with the fragment that it inherits.
    ///
    /// Its scheme may be any: what is neither http nor https can only be stopped at.
    pub fn url(&self) -> &'a Url {
        self.url
    }

    /// Returns the status of the answer that redirects.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the answers so far, in their order. The last one is that which redirects now.
    pub fn history(&self) -> &'a [Hop] {
        self.history
    }
}

impl fmt::Debug for RedirectAttempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may have a query.
        f.debug_struct("RedirectAttempt")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// What [`RedirectPolicy::custom`] says about a redirect.
#[derive(Debug)]
pub enum RedirectAction {
    /// Go there.
    Follow,
    /// Return the redirect itself, as the response.
    Stop,
    /// Fail with [`ErrorKind::Redirect`](crate::ErrorKind::Redirect) and this as its source.
    Error(BoxError),
}

/// An answer that redirected, and was followed.
#[derive(Clone)]
pub struct Hop {
    pub(crate) status: StatusCode,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
}

impl Hop {
    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the URL that gave this answer, without user info.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the headers of the answer.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

impl fmt::Debug for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL has a query, the headers may have cookies.
        f.debug_struct("Hop")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
