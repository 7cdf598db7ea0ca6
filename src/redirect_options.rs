//! The options of redirects.

use url::{Origin, Url};

use crate::builder::SessionBuilder;
use crate::connect::Connector;
use crate::error::{Error, Result};
use crate::redirect::RedirectPolicy;
use crate::url::shown;

/// Redirects.
impl<C: Connector> SessionBuilder<C> {
    /// Sets which redirects are followed. Default: up to 10 in a row.
    pub fn redirect(mut self, policy: RedirectPolicy) -> Self {
        self.defaults.redirect = policy;
        self
    }

    /// Sets the origins (scheme, host and port, RFC 6454) to which a redirect takes all headers along
    /// that it would keep within one origin: `Authorization`, the session's defaults and the request's
    /// own. Default: none.
    ///
    /// Never taken along to another origin: `Cookie` and `Host`. What was left behind on the way does
    /// not come back.
    ///
    /// Refused by `build` and `open`: what is no http or https URL, or has a path, a query or user info.
    pub fn trusted_origins<I>(mut self, origins: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let origins = origins.into_iter().map(|origin| parse(origin.as_ref()));
        match origins.collect() {
            Ok(origins) => self.defaults.trusted_origins = origins,
            Err(error) => self.refuse(error),
        }
        self
    }

    /// Sets whether a redirected request says where it comes from (`Referer`, RFC 9110 §10.1.3).
    /// Default: `true`.
    ///
    /// As browsers do (the policy `strict-origin-when-cross-origin`): within an origin the URL that
    /// redirected, without user info and fragment; to another origin that URL's origin; from https to
    /// http nothing. A `Referer` of the request or the session stays as it is, as far as it goes on.
    pub fn referer(mut self, referer: bool) -> Self {
        self.defaults.referer = referer;
        self
    }

    /// Refuses `http` URLs: of requests with [`ErrorKind::Url`](crate::ErrorKind::Url), before
    /// anything goes out, and of redirects with [`ErrorKind::Redirect`](crate::ErrorKind::Redirect).
    /// Default: `false`.
    pub fn https_only(mut self, https_only: bool) -> Self {
        self.defaults.https_only = https_only;
        self
    }
}

fn parse(origin: &str) -> Result<Origin> {
    let url = Url::parse(origin).ok().filter(|url| {
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let has_user_info = !url.username().is_empty() || url.password().is_some();
        matches!(url.scheme(), "http" | "https") && is_bare && !has_user_info
    });
    let url = url.ok_or_else(|| {
        Error::builder(format!(
            "trusted_origins: {:?} is no origin, which is `https://host` or `https://host:port`",
            shown(origin)
        ))
    })?;
    Ok(url.origin())
}
