//! `CookieJar`.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cookie::Cookie as RawCookie;
use cookie_store::CookieExpiration;
use http::HeaderValue;
use url::Url;

use super::admission::{admit, is_trustworthy};
use super::contents::Contents;
use super::cookie::Cookie;
use crate::cookies::CookieStore;
use crate::error::{Error, Result};

/// Keeps cookies as a browser does (RFC 6265), in memory.
///
/// A cheap clone of one shared jar: give it to as many sessions as shall share it, and keep a clone to
/// look into it.
///
/// # What is kept
///
/// A cookie is for the host that set it, or for a domain above it that it names, but for no public
/// suffix (`com`, `co.uk`; the list is that of publicsuffix.org as the crate `psl` has it). `Secure`
/// ones come and go over https alone, as do those whose names begin with `__Secure-` or `__Host-`; the
/// machine itself (`localhost`, 127.0.0.0/8, `::1`) is trusted as well. Over http no cookie takes the
/// place of a `Secure` one. `Expires` is read however the date is written (RFC 6265 §5.1.1); what is no date
/// is not heeded. `SameSite` and `Partitioned` mean nothing here, where there are no pages.
///
/// Refused: more than 4096 bytes of name and value, control characters, and what is not UTF-8. An
/// attribute of more than 1024 bytes is not heeded. Beyond 50 cookies for a domain those go that have not
/// been asked for the longest; so they do beyond 3300 in all, until 3000 are left (RFC 6265 §6.1). A request
/// carries 8 KiB of them: what does not fit into that is left out, as servers refuse more.
///
/// # Examples
///
/// ```
/// use hyper_session::{CookieJar, Session, Url};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let jar = CookieJar::new();
/// let builder = Session::builder().cookie_store(jar.clone());
/// # drop(builder);
/// let url = Url::parse("https://shop.example.com/")?;
/// jar.add("basket=7; Domain=example.com; Path=/; Secure", &url)?;
/// assert_eq!(jar.cookies()[0].domain(), Some("example.com"));
///
/// let mut saved = Vec::new();
/// jar.save(&mut saved)?; // not this one: it has no `Max-Age`, and ends with the session
/// assert_eq!(saved, b"[]");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct CookieJar {
    contents: Arc<Mutex<Contents>>,
}

impl CookieJar {
    /// Makes an empty jar.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a cookie as if an answer from `url` had set it: `set_cookie` is what a `Set-Cookie` header
    /// says, such as `name=value; Path=/; Max-Age=3600`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Builder`](crate::ErrorKind::Builder), if an answer could not set it.
    pub fn add(&self, set_cookie: &str, url: &Url) -> Result<()> {
        self.take(set_cookie, url)
            .map_err(|why| Error::builder(format!("the cookie is refused: {why}")))
    }

    /// Returns the cookies that have not expired, the oldest first.
    pub fn cookies(&self) -> Vec<Cookie<'static>> {
        let contents = self.lock();
        contents.all().into_iter().map(snapshot).collect()
    }

    /// Takes all cookies out.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn take(&self, set_cookie: &str, url: &Url) -> Result<(), &'static str> {
        let cookie = admit(set_cookie, url)?;
        let mut contents = self.lock();
        if !is_trustworthy(url) && contents.has_secure_like(&cookie) {
            return Err("a Secure one has its name, and it comes over http");
        }
        contents.put(cookie);
        Ok(())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn snapshot(kept: &cookie_store::Cookie<'_>) -> Cookie<'static> {
    let mut raw = RawCookie::new(kept.name().to_owned(), kept.value().to_owned());
    raw.set_domain(String::from(&kept.domain));
    raw.set_path(String::from(&kept.path));
    raw.set_secure(kept.secure());
    raw.set_http_only(kept.http_only());
    if let CookieExpiration::AtUtc(at) = kept.expires {
        raw.set_expires(at);
    }
    let is_host_only = matches!(kept.domain, cookie_store::CookieDomain::HostOnly(_));
    Cookie::kept(raw, is_host_only)
}

impl CookieStore for CookieJar {
    fn cookies_for(&self, url: &Url) -> Option<HeaderValue> {
        let pairs = self.lock().pairs_for(url);
        if pairs.is_empty() {
            return None;
        }
        HeaderValue::from_bytes(pairs.join("; ").as_bytes()).ok()
    }

    fn store(&self, set_cookies: &mut dyn Iterator<Item = &HeaderValue>, url: &Url) {
        let texts = set_cookies.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
        for set_cookie in texts {
            // One that is refused is left out (RFC 6265 §5.3); the answer is none the worse for it.
            let _ = self.take(set_cookie, url);
        }
    }
}

impl fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.lock().all().len();
        f.debug_struct("CookieJar")
            .field("cookies", &count)
            .finish()
    }
}
