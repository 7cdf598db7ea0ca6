//! Which cookies a host may set (RFC 6265 §5.3 and its successor, draft-ietf-httpbis-rfc6265bis).

use cookie::Cookie as RawCookie;
use cookie_store::{Cookie, CookieDomain};
use url::{Host, Url};

use super::set_cookie::{MAX_ATTRIBUTE, parse};

/// The longest name and value together, in bytes (RFC 6265 §6.1).
const MAX_PAIR: usize = 4096;

const NOT_ABOVE: &str = "its domain is not that of the host, nor one above it";

/// Reads a `Set-Cookie` that came from `url`, or says why it is refused.
pub(super) fn admit(set_cookie: &str, url: &Url) -> Result<Cookie<'static>, &'static str> {
    if set_cookie
        .bytes()
        .any(|byte| byte.is_ascii_control() && byte != b'\t')
    {
        return Err("it has control characters");
    }
    let raw = parse(set_cookie).ok_or("it has no name, or no value")?;
    check_pair(&raw)?;
    let domain = raw.domain().filter(|domain| domain.len() <= MAX_ATTRIBUTE);
    let path = raw.path().filter(|path| path.len() <= MAX_ATTRIBUTE);

    // Anew, so that nothing of what was sent is kept but this.
    let mut own = RawCookie::new(raw.name().to_owned(), raw.value().to_owned());
    own.set_secure(raw.secure());
    own.set_http_only(raw.http_only());
    own.set_same_site(raw.same_site());
    own.set_max_age(raw.max_age());
    own.set_expires(raw.expires_datetime());
    if let Some(domain) = domain.filter(|domain| !is_own_public_suffix(domain, url)) {
        // One dot is left out (RFC 6265 §5.2.3).
        if domain.starts_with('.') {
            return Err(NOT_ABOVE);
        }
        own.set_domain(domain.to_owned());
    }
    if let Some(path) = path {
        own.set_path(path.to_owned());
    }
    let cookie = Cookie::try_from_raw_cookie(&own, url).map_err(|_| NOT_ABOVE)?;
    check_domain(&cookie.domain)?;
    check_security(&cookie, is_trustworthy(url))?;
    Ok(cookie.into_owned())
}

/// Whether a cookie that was kept elsewhere could have been set by some host.
pub(super) fn is_admissible(cookie: &Cookie<'_>) -> bool {
    let has_controls = |text: &str| text.bytes().any(|byte| byte.is_ascii_control());
    let pair = [cookie.name(), cookie.value()];
    check_pair(cookie).is_ok()
        && !pair.into_iter().any(has_controls)
        && !cookie.name().contains([';', '='])
        && !cookie.value().contains(';')
        && cookie.path.starts_with('/')
        && cookie.path.len() <= MAX_ATTRIBUTE
        && check_domain(&cookie.domain).is_ok()
        && check_security(cookie, true).is_ok()
}

/// Whether `url` is one from which, and to which, `Secure` cookies go: https, or the machine itself.
pub(super) fn is_trustworthy(url: &Url) -> bool {
    url.scheme() == "https"
        || match url.host() {
            Some(Host::Domain(domain)) => domain == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
}

fn check_pair(cookie: &RawCookie<'_>) -> Result<(), &'static str> {
    if cookie.name().len() + cookie.value().len() > MAX_PAIR {
        return Err("its name and value are longer than 4096 bytes");
    }
    Ok(())
}

/// `com`, `co.uk`, `github.io`: below them are strangers to each other.
fn check_domain(domain: &CookieDomain) -> Result<(), &'static str> {
    match domain {
        CookieDomain::Suffix(domain) if is_public_suffix(domain) => {
            Err("its domain is a public suffix")
        }
        CookieDomain::HostOnly(_) | CookieDomain::Suffix(_) => Ok(()),
        CookieDomain::NotPresent | CookieDomain::Empty => Err("it has no domain"),
    }
}

fn is_public_suffix(domain: &str) -> bool {
    // `com.` is `com`, said in full.
    let domain = domain.trim_matches('.');
    domain.is_empty() || psl::suffix_str(domain) == Some(domain)
}

/// A public suffix that is a host itself may set cookies for itself alone (RFC 6265 §5.3).
fn is_own_public_suffix(domain: &str, url: &Url) -> bool {
    let domain = domain.strip_prefix('.').unwrap_or(domain);
    let is_own = url
        .host_str()
        .is_some_and(|host| host.eq_ignore_ascii_case(domain));
    is_own && is_public_suffix(&domain.to_ascii_lowercase())
}

/// `Secure` comes from https alone, and so do the promises of the prefixes (RFC 6265bis §4.1.3).
fn check_security(cookie: &Cookie<'_>, from_trustworthy: bool) -> Result<(), &'static str> {
    let is_secure = cookie.secure() == Some(true);
    if is_secure && !from_trustworthy {
        return Err("it is Secure, and comes over http");
    }
    if has_prefix(cookie.name(), "__Secure-") && !is_secure {
        return Err("__Secure- promises that it is Secure");
    }
    let is_of_host = matches!(cookie.domain, CookieDomain::HostOnly(_))
        && cookie.path.is_from_path_attr()
        && &*cookie.path == "/";
    if has_prefix(cookie.name(), "__Host-") && !(is_secure && is_of_host) {
        return Err("__Host- promises that it is Secure, of one host, and has the Path /");
    }
    Ok(())
}

/// In any case: servers may read names without regard to it.
fn has_prefix(name: &str, prefix: &str) -> bool {
    let start = name.get(..prefix.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}
