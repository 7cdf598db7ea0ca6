//! A `Set-Cookie` header as it is written (RFC 6265 §5.2).

use cookie::Cookie as RawCookie;

use super::date;

/// The longest attribute that is heeded, in bytes (RFC 6265bis §5.6).
pub(super) const MAX_ATTRIBUTE: usize = 1024;

/// Reads it. `None`: it has no name, or no value.
pub(super) fn parse(text: &str) -> Option<RawCookie<'_>> {
    let mut cookie = RawCookie::parse(text).ok()?;
    // By the RFC: the crate knows but a few ways to write a date. The last one that is a date counts.
    let dates = text.split(';').skip(1).filter_map(|attribute| {
        let (name, value) = attribute.split_once('=')?;
        let is_expires = name.trim().eq_ignore_ascii_case("expires");
        let is_heeded = is_expires && value.trim().len() <= MAX_ATTRIBUTE;
        is_heeded.then(|| date::parse(value)).flatten()
    });
    cookie.set_expires(dates.last());
    Some(cookie)
}
