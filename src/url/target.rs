//! What a request goes to.

use std::fmt;

use http::Uri;
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use percent_encoding::percent_decode_str;
use url::{ParseError, Position, Url};

use super::plain::{QUERY, is_in, is_plain_path_and_query, parse_plain, scan_authority};
use super::refusal::{
    MAX_LEN, before_query, check_controls, check_slashes, no_base, not_a_uri, not_http, too_long,
    unparsable,
};
use crate::error::{Error, Result};

/// An absolute http or https URL, taken apart into what goes on the wire and what does not.
#[derive(Clone, Default)]
pub(crate) struct Target {
    /// Absolute and normalised, with a path and without user info.
    pub(crate) uri: Uri,
    /// What followed `#`, percent-encoded; never sent, but inherited by redirects (RFC 9110 §10.2.2).
    pub(crate) fragment: Option<Box<str>>,
    /// What stood before `@`.
    pub(crate) user_info: Option<UserInfo>,
}

/// The user info of a URL, percent-decoded.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct UserInfo {
    pub(crate) username: Box<str>,
    pub(crate) password: Option<Box<str>>,
}

/// A string as the caller of a request wrote it.
#[derive(Clone)]
pub(crate) enum Location {
    /// It has a scheme, and is complete in itself.
    Absolute(Target),
    /// It has no scheme: kept as it is, for [`BaseUrl::join`].
    Relative(Box<str>),
}

impl Location {
    /// Reads `input` as `url::Url` does, but for control characters, which are refused.
    ///
    /// Only an input without a scheme is relative. `a:b/c` has the scheme `a`, hence is an error as
    /// `ftp://…` is one; `./a:b/c` is the way to write that path. So is `http:a`, which would be the host `a`.
    pub(crate) fn parse(input: &str) -> Result<Self> {
        if let Some(uri) = parse_plain(input) {
            return Ok(Self::Absolute(uri.into()));
        }
        check_controls(input)?;
        // Anything but a colon, or a blank that is ignored, ends what might have been a scheme.
        let is_of_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let first_other = input.bytes().find(|byte| !is_of_scheme(byte));
        if !matches!(first_other, Some(b':' | b' ')) {
            return Ok(Self::Relative(input.into()));
        }
        match Url::parse(input) {
            Ok(url) => {
                check_slashes(input, &url)?;
                Target::from_url(&url).map(Self::Absolute)
            }
            Err(ParseError::RelativeUrlWithoutBase) => Ok(Self::Relative(input.into())),
            Err(why) => Err(unparsable(input, why)),
        }
    }
}

impl Target {
    /// Reads the URI of a ready-made request, which must be absolute.
    ///
    /// Costs a check and a clone when the URI is normal already.
    pub(crate) fn from_uri(uri: &Uri) -> Result<Self> {
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(no_base(&uri.to_string()));
        };
        let path_and_query = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let authority = authority.as_str();
        let is_plain = default_port(scheme)
            .is_some_and(|port| scan_authority(authority, port) == Some(authority.len()))
            && path_and_query.starts_with('/')
            && is_plain_path_and_query(path_and_query.as_bytes());
        if is_plain {
            return Ok(uri.clone().into());
        }
        if !path_and_query.starts_with(['/', '?']) {
            return Err(Error::url_invalid(format!(
                "the URL's path {:?} does not start with a slash",
                uri.path()
            )));
        }
        Self::from_text(&format!("{scheme}://{authority}{path_and_query}"))
    }

    /// Whether it has the scheme, host and port of a URI that is normalised, as its own is.
    pub(crate) fn is_of_origin(&self, uri: &Uri) -> bool {
        self.uri.scheme() == uri.scheme() && self.uri.authority() == uri.authority()
    }

    /// Appends a query that is encoded already, with `?` or `&` as is needed.
    ///
    /// An empty one changes nothing. What `url::Url` would encode in a query is encoded.
    pub(crate) fn append_query(mut self, query: &str) -> Result<Self> {
        if query.is_empty() {
            return Ok(self);
        }
        let separator = match self.uri.query() {
            None => "?",
            Some("") => "",
            Some(_) => "&",
        };
        if query.bytes().all(|byte| is_in(QUERY, byte)) {
            let before = self.uri.path_and_query().map_or("/", PathAndQuery::as_str);
            let path_and_query = [before, separator, query].concat();
            self.uri = with_path_and_query(&self.uri, path_and_query)?;
        } else {
            let mut url = self.to_url();
            let before = self.uri.query().unwrap_or_default();
            let separator = separator.trim_start_matches('?');
            url.set_query(Some(&[before, separator, query].concat()));
            self.uri = Self::from_url(&url)?.uri;
        }
        Ok(self)
    }

    /// The same URL as `url::Url`, with its fragment and without its user info.
    ///
    /// # Panics
    ///
    /// Panics if `uri` was replaced by one that did not come from this module.
    pub(crate) fn to_url(&self) -> Url {
        let text = self.uri.to_string();
        let mut url = Url::parse(&text).expect("a target's URI was written by url::Url");
        url.set_fragment(self.fragment.as_deref());
        url
    }

    pub(super) fn from_text(text: &str) -> Result<Self> {
        let url = Url::parse(text).map_err(|why| unparsable(text, why))?;
        Self::from_url(&url)
    }

    /// Reads a URL, which must be http or https.
    pub(crate) fn from_url(url: &Url) -> Result<Self> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(not_http(url));
        }
        let after_user_info = &url[Position::BeforeHost..Position::AfterQuery];
        let text = [url.scheme(), "://", after_user_info].concat();
        if text.len() > MAX_LEN {
            return Err(too_long());
        }
        Ok(Self {
            uri: Uri::try_from(text).map_err(|why| {
                let host = url.host_str().unwrap_or_default();
                Error::url_invalid(format!("the URL's host {host:?} cannot be sent over HTTP"))
                    .with_source(why)
            })?,
            fragment: url.fragment().map(Box::from),
            user_info: UserInfo::of(url)?,
        })
    }
}

impl From<Uri> for Target {
    fn from(uri: Uri) -> Self {
        Self {
            uri,
            fragment: None,
            user_info: None,
        }
    }
}

impl UserInfo {
    fn of(url: &Url) -> Result<Option<Self>> {
        if url.username().is_empty() && url.password().is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            username: decode(url.username())?,
            password: url.password().map(decode).transpose()?,
        }))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.uri.to_string();
        write!(f, "Target({})", before_query(&shown))
    }
}

impl fmt::Debug for UserInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserInfo").finish_non_exhaustive()
    }
}

fn default_port(scheme: &Scheme) -> Option<u16> {
    match scheme.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// `uri` with another path and query, which begins with a slash.
pub(super) fn with_path_and_query(uri: &Uri, path_and_query: String) -> Result<Uri> {
    let scheme = uri.scheme_str().unwrap_or_default();
    let authority = uri.authority().map_or("", Authority::as_str);
    if scheme.len() + "://".len() + authority.len() + path_and_query.len() > MAX_LEN {
        return Err(too_long());
    }
    let mut parts = Parts::default();
    parts.scheme = uri.scheme().cloned();
    parts.authority = uri.authority().cloned();
    parts.path_and_query = Some(PathAndQuery::try_from(path_and_query).map_err(not_a_uri)?);
    Uri::from_parts(parts).map_err(not_a_uri)
}

fn decode(input: &str) -> Result<Box<str>> {
    percent_decode_str(input)
        .decode_utf8()
        .map(Box::from)
        .map_err(|_| Error::url_invalid("the URL's user info is not UTF-8"))
}
