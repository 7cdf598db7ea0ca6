//! A `Set-Cookie` header as it is written (RFC 6265 §5.2).

use cookie::Cookie as RawCookie;
use cookie::time::Duration;

use super::date;

/// The longest attribute that is heeded, in bytes (RFC 6265bis §5.6).
pub(super) const MAX_ATTRIBUTE: usize = 1024;

/// Reads it. `None`: it has no name, or no value.
pub(super) fn parse(text: &str) -> Option<RawCookie<'_>> {
    let mut cookie = RawCookie::parse(text).ok()?;
    // By the RFC: the crate knows but a few ways to write a date, and takes no number for one. The last
    // one that can be read counts.
    cookie.set_expires(values_of("expires", text).filter_map(date::parse).last());
    cookie.set_max_age(values_of("max-age", text).filter_map(seconds).last());
    Some(cookie)
}

fn values_of<'a>(attribute: &str, text: &'a str) -> impl Iterator<Item = &'a str> {
    let attributes = text.split(';').skip(1);
    let attributes = attributes.filter_map(|attribute| attribute.split_once('='));
    let values = attributes.filter(move |(name, _)| name.trim().eq_ignore_ascii_case(attribute));
    let values = values.map(|(_, value)| value.trim());
    values.filter(|value| value.len() <= MAX_ATTRIBUTE)
}

/// Reads a `Max-Age` (RFC 6265 §5.2.2). What is not above 0 is in the past.
fn seconds(value: &str) -> Option<Duration> {
    let (is_negative, digits) = match value.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| match digits.parse() {
        _ if is_negative => Duration::ZERO,
        Ok(seconds) => Duration::seconds(seconds),
        // More digits than there are seconds.
        Err(_) => Duration::seconds(i64::MAX),
    })
}
