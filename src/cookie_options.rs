//! What sessions and responses have of cookies where there is a jar.

use http::header::SET_COOKIE;

use crate::builder::SessionBuilder;
use crate::connect::Connector;
use crate::cookie_jar::{Cookie, CookieJar};
use crate::response::Response;

/// Cookies (feature `cookies`).
impl<C: Connector> SessionBuilder<C> {
    /// Sets whether cookies are kept, in a [`CookieJar`] of the session's own. Default: `false`.
    ///
    /// A holder's jar outlives its sessions: one that is opened again has the cookies of the one before,
    /// and one-shots share them. To look into a jar, or to save it, make one and give a clone to
    /// [`cookie_store`](Self::cookie_store).
    pub fn cookies(self, keep: bool) -> Self {
        let jar = keep.then(CookieJar::new);
        self.set_cookie_store(jar)
    }
}

impl Response {
    /// Returns the cookies that the response sets, allowed or not (RFC 6265 §5.2). What does not parse
    /// is left out.
    ///
    /// Those of redirects before it are in the headers of its [`history`](Self::history).
    #[cfg_attr(docsrs, doc(cfg(feature = "cookies")))]
    pub fn cookies(&self) -> impl Iterator<Item = Cookie<'_>> {
        let values = self.headers().get_all(SET_COOKIE).iter();
        values.filter_map(|value| Cookie::parse(std::str::from_utf8(value.as_bytes()).ok()?))
    }
}
