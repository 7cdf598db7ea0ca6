//! The cookies of each hop.

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};

use crate::cookies::CookieStore;
use crate::error::{Error, Result};
use crate::url::Target;

/// Adds a cookie to those that the request has.
pub(crate) fn add_own(headers: &mut HeaderMap, name: &str, value: &str) -> Result<()> {
    let is_text = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b';';
    let is_name = |byte: u8| is_text(byte) && !matches!(byte, b' ' | b'=' | b',');
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(Error::builder(
            "cookie: a name is made of visible ASCII without `=`, `,` and `;`",
        ));
    }
    if !value.bytes().all(is_text) || value.trim() != value {
        return Err(Error::builder(format!(
            "cookie: the value of `{name}` has characters that no cookie can have, or blanks around it"
        )));
    }
    let pair = format!("{name}={value}");
    let pairs = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let pairs: Vec<_> = pairs.chain([pair.as_bytes()]).collect();
    let joined = join(&pairs);
    headers.insert(COOKIE, joined);
    Ok(())
}

/// Puts the cookies that the request has in several headers into one (RFC 6265 §5.4).
pub(super) fn join_own(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_some()
        && let Some(all) = all_of(headers)
    {
        headers.insert(COOKIE, all);
    }
}

/// The cookies of one request of a session that has a store.
pub(super) struct Cookies<'a> {
    store: &'a dyn CookieStore,
    /// Whether those of the store are among the request's.
    are_on: bool,
    /// The request's own, meanwhile.
    own: Option<HeaderValue>,
}

impl<'a> Cookies<'a> {
    pub(super) fn new(store: &'a dyn CookieStore) -> Self {
        Self {
            store,
            are_on: false,
            own: None,
        }
    }

    /// Adds those of the store to the request's own, or else to the default ones, in one header (RFC
    /// 6265 §5.4). These go first, and in place of others of their names.
    pub(super) fn put_on(
        &mut self,
        headers: &mut HeaderMap,
        default_headers: &HeaderMap,
        target: &Target,
    ) {
        let Some(stored) = self.store.cookies_for(&target.to_url()) else {
            return;
        };
        self.own = all_of(headers);
        let first = self.own.clone().or_else(|| all_of(default_headers));
        let mut pairs: Vec<_> = first.iter().map(HeaderValue::as_bytes).collect();
        let is_named = |pair: &&[u8]| {
            let mut named = first.iter().flat_map(|first| pairs_of(first.as_bytes()));
            named.any(|named| name_of(named) == name_of(pair))
        };
        pairs.extend(pairs_of(stored.as_bytes()).filter(|pair| !is_named(pair)));
        let joined = join(&pairs);
        headers.insert(COOKIE, joined);
        self.are_on = true;
    }

    /// Gives the store what an answer sets.
    pub(super) fn take_in(&self, answer: &HeaderMap, target: &Target) {
        if answer.contains_key(SET_COOKIE) {
            let mut set_cookies = answer.get_all(SET_COOKIE).iter();
            self.store.store(&mut set_cookies, &target.to_url());
        }
    }

    /// Gives the request its own cookies back.
    pub(super) fn take_off(&mut self, headers: &mut HeaderMap) {
        if std::mem::take(&mut self.are_on) {
            match self.own.take() {
                Some(own) => headers.insert(COOKIE, own),
                None => headers.remove(COOKIE),
            };
        }
    }
}

/// All cookies of a request, as one header.
fn all_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let values = headers.get_all(COOKIE).iter();
    let values: Vec<_> = values.map(HeaderValue::as_bytes).collect();
    (!values.is_empty()).then(|| join(&values))
}

fn pairs_of(cookies: &[u8]) -> impl Iterator<Item = &[u8]> {
    let pairs = cookies.split(|byte| *byte == b';');
    pairs
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty())
}

fn name_of(pair: &[u8]) -> &[u8] {
    let mut parts = pair.split(|byte| *byte == b'=');
    parts.next().unwrap_or_default().trim_ascii()
}

/// One header of several, marked as sensitive.
fn join(pairs: &[&[u8]]) -> HeaderValue {
    let joined = HeaderValue::from_bytes(&pairs.join(&b"; "[..]));
    let mut joined = joined.expect("they are header values, or visible ASCII");
    joined.set_sensitive(true);
    joined
}
