//! What a session asks of whoever keeps its cookies.

use std::sync::Arc;

use http::HeaderValue;
use url::Url;

/// Keeps cookies between requests, for [`SessionBuilder::cookie_store`](crate::SessionBuilder::cookie_store).
///
/// `CookieJar` (feature `cookies`) is one. A session asks it before each hop of a request, redirects
/// included, and tells it of each answer that sets cookies. Neither method should block for long.
pub trait CookieStore: Send + Sync {
    /// Returns the value of the `Cookie` header for a request to `url`: `a=1; b=2` (RFC 6265 §5.4).
    /// `None`: there is no cookie for it.
    fn cookies_for(&self, url: &Url) -> Option<HeaderValue>;

    /// Keeps what an answer from `url` sets by its `Set-Cookie` headers (RFC 6265 §5.3), and leaves
    /// out what it must not set.
    fn store(&self, set_cookies: &mut dyn Iterator<Item = &HeaderValue>, url: &Url);
}

impl<S: CookieStore + ?Sized> CookieStore for Arc<S> {
    fn cookies_for(&self, url: &Url) -> Option<HeaderValue> {
        (**self).cookies_for(url)
    }

    fn store(&self, set_cookies: &mut dyn Iterator<Item = &HeaderValue>, url: &Url) {
        (**self).store(set_cookies, url);
    }
}
