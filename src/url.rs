//! What a string means as the target of a request.
//!
//! `url::Url` (the WHATWG URL standard) has the last word. Strings that it provably leaves as they
//! are go straight to `http::Uri`; everything else goes through it.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use http::Uri;
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use url::{ParseError, Position, Url};

use crate::error::{BoxError, Error, Result};

/// The longest URI that `http::Uri` holds, in bytes.
const MAX_LEN: usize = u16::MAX as usize - 1;

/// An absolute http or https URL, taken apart into what goes on the wire and what does not.
#[derive(Clone)]
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

/// The URL that relative strings are appended to.
#[derive(Clone, Debug)]
pub(crate) struct BaseUrl {
    target: Target,
    text: Box<str>,
}

impl Location {
    /// Reads `input` as `url::Url` does.
    ///
    /// Only an input without a scheme is relative. `a:b/c` has the scheme `a`, hence is an error as
    /// `ftp://…` is one; `./a:b/c` is the way to write that path.
    pub(crate) fn parse(input: &str) -> Result<Self> {
        if let Some(uri) = parse_plain(input) {
            return Ok(Self::Absolute(uri.into()));
        }
        // Anything but a colon, or blanks that are ignored, ends what might have been a scheme.
        let is_of_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let first_other = input.bytes().find(|byte| !is_of_scheme(byte));
        if !matches!(first_other, Some(b':' | ..=b' ')) {
            return Ok(Self::Relative(input.into()));
        }
        match Url::parse(input) {
            Ok(url) => Target::from_url(&url).map(Self::Absolute),
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

    fn from_text(text: &str) -> Result<Self> {
        let url = Url::parse(text).map_err(|why| unparsable(text, why))?;
        Self::from_url(&url)
    }

    fn from_url(url: &Url) -> Result<Self> {
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
            username: percent_decode(url.username())?,
            password: url.password().map(percent_decode).transpose()?,
        }))
    }
}

impl BaseUrl {
    /// Reads the base: an absolute URL without query and fragment.
    pub(crate) fn parse(input: &str) -> Result<Self> {
        let Location::Absolute(target) = Location::parse(input)? else {
            let shown = shown(input);
            return Err(Error::url_invalid(format!(
                "base_url {shown:?} is relative"
            )));
        };
        let text = target.uri.to_string().into_boxed_str();
        let surplus = match (target.uri.query(), &target.fragment) {
            (Some(_), _) => "query",
            (None, Some(_)) => "fragment",
            (None, None) => return Ok(Self { target, text }),
        };
        let shown = before_query(&text);
        Err(Error::url_invalid(format!(
            "base_url {shown:?} must not have a {surplus}"
        )))
    }

    /// Appends `relative` to the base's path, with one slash between them.
    ///
    /// `.` and `..` are resolved, but only within `relative`: what would leave the base's path is
    /// an error, and so is what would name another host (`//host`). All of `relative` is a path,
    /// whatever colons it contains: URLs are for [`Location::parse`] to tell apart.
    pub(crate) fn join(&self, relative: &str) -> Result<Target> {
        if !relative.starts_with("//") && is_plain_path_and_query(relative.as_bytes()) {
            return self.append_plain(relative);
        }
        let relative = without_blanks(relative);
        self.check_stays_below(&relative)?;
        let text = match relative.as_bytes() {
            [] | [b'?' | b'#', ..] => [&self.text, &*relative].concat(),
            [b'/' | b'\\', ..] => [directory(&self.text), &relative].concat(),
            _ => [directory(&self.text), "/", &relative].concat(),
        };
        let mut target = Target::from_text(&text)?;
        target.user_info.clone_from(&self.target.user_info);
        Ok(target)
    }

    /// The base, normalised and without its user info.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    fn append_plain(&self, plain: &str) -> Result<Target> {
        let path = self.target.uri.path();
        let path_and_query = match plain.as_bytes() {
            [] => return Ok(self.target.clone()),
            [b'/', ..] => [directory(path), plain].concat(),
            [b'?', ..] => [path, plain].concat(),
            _ => [directory(path), "/", plain].concat(),
        };
        Ok(Target {
            uri: with_path_and_query(&self.target.uri, path_and_query)?,
            fragment: None,
            user_info: self.target.user_info.clone(),
        })
    }

    fn check_stays_below(&self, relative: &str) -> Result<()> {
        if let [b'/' | b'\\', b'/' | b'\\', ..] = relative.as_bytes() {
            return Err(Error::url_invalid(format!(
                "{:?} names a host of its own, and would leave base_url {:?}",
                shown(relative),
                self.text
            )));
        }
        let path = before_query(relative);
        let path = path.strip_prefix(['/', '\\']).unwrap_or(path);
        let mut depth = 0_usize;
        for segment in path.split(['/', '\\']) {
            let below = match count_dots(segment.as_bytes()) {
                1 => Some(depth),
                2 => depth.checked_sub(1),
                _ => Some(depth + 1),
            };
            depth = below.ok_or_else(|| {
                Error::url_invalid(format!(
                    "{:?} leaves the path of base_url {:?}",
                    shown(relative),
                    self.text
                ))
            })?;
        }
        Ok(())
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

// The way that costs one pass: ASCII in which `url::Url` would not change a byte.

/// The URI of `input`, if that is what `url::Url` would make of it, byte for byte.
fn parse_plain(input: &str) -> Option<Uri> {
    let (rest, default_port) = match input.strip_prefix("http://") {
        Some(rest) => (rest, 80),
        None => (input.strip_prefix("https://")?, 443),
    };
    let end = scan_authority(rest, default_port)?;
    let rest = &rest.as_bytes()[end..];
    let is_plain = matches!(rest, [] | [b'/', ..]) && is_plain_path_and_query(rest);
    if !is_plain {
        return None;
    }
    match Short::new(input) {
        Some(short) => Uri::from_maybe_shared(Bytes::from_owner(short)).ok(),
        None => Uri::try_from(input).ok(),
    }
}

/// A string inside the one allocation of its `Bytes`, which costs a second one otherwise.
struct Short {
    len: u8,
    bytes: [u8; Self::MAX],
}

impl Short {
    const MAX: usize = 127;

    fn new(input: &str) -> Option<Self> {
        let mut bytes = [0; Self::MAX];
        bytes
            .get_mut(..input.len())?
            .copy_from_slice(input.as_bytes());
        let len = u8::try_from(input.len()).ok()?;
        Some(Self { len, bytes })
    }
}

impl AsRef<[u8]> for Short {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Finds the end of a host and port that are normal already.
///
/// Left to `url::Url`: what is or may be a number in the end but is no dotted quad, `xn--` (any
/// `--`), empty labels, all but lower case, and a port that is not written in the shortest way.
fn scan_authority(input: &str, default_port: u16) -> Option<usize> {
    let bytes = input.as_bytes();
    let mut label = 0;
    let mut end = 0;
    while let Some(&byte) = bytes.get(end) {
        if !is_in(HOST, byte) {
            match byte {
                b'.' if end > label => label = end + 1,
                b'-' if bytes.get(end + 1) != Some(&b'-') => {}
                _ => break,
            }
        }
        end += 1;
    }
    let is_number = bytes.get(label)?.is_ascii_digit();
    if end == label || is_number && !is_dotted_quad(&bytes[..end]) {
        return None;
    }
    match bytes[end..] {
        [b':', b'1'..=b'9', ..] => {}
        _ => return Some(end),
    }
    let mut port = 0_u16;
    end += 1;
    while let Some(digit @ b'0'..=b'9') = bytes.get(end) {
        port = port.checked_mul(10)?.checked_add(u16::from(digit - b'0'))?;
        end += 1;
    }
    (port != default_port).then_some(end)
}

/// Whether `host` is an IPv4 address as `url::Url` writes it.
fn is_dotted_quad(host: &[u8]) -> bool {
    let is_octet = |part: &[u8]| {
        matches!(
            part,
            [b'0'..=b'9']
                | [b'1'..=b'9', b'0'..=b'9']
                | [b'1', b'0'..=b'9', b'0'..=b'9']
                | [b'2', b'0'..=b'4', b'0'..=b'9']
                | [b'2', b'5', b'0'..=b'5']
        )
    };
    let mut parts = host.split(|byte| *byte == b'.');
    (0..4).all(|_| parts.next().is_some_and(is_octet)) && parts.next().is_none()
}

/// Whether `rest`, which begins at a path's segment, its end or its query, is normal already.
fn is_plain_path_and_query(rest: &[u8]) -> bool {
    let mut bytes = rest.iter();
    if begins_with_dots(rest) {
        return false;
    }
    while let Some(&byte) = bytes.next() {
        match byte {
            _ if is_in(PATH, byte) => {}
            b'/' if !begins_with_dots(bytes.as_slice()) => {}
            b'?' => return bytes.all(|&byte| is_in(QUERY, byte)),
            _ => return false,
        }
    }
    true
}

/// Whether the first segment of `path` is `.` or `..`, in whichever spelling.
#[inline]
fn begins_with_dots(path: &[u8]) -> bool {
    matches!(path, [b'.' | b'%', ..]) && {
        let mut segments = path.split(|byte| matches!(byte, b'/' | b'?'));
        matches!(segments.next().map(count_dots), Some(1 | 2))
    }
}

/// The number of dots that `segment` consists of; 0 if it holds anything else.
fn count_dots(mut segment: &[u8]) -> usize {
    let mut dots = 0;
    loop {
        segment = match segment {
            [] => return dots,
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
            _ => return 0,
        };
        dots += 1;
    }
}

const HOST: u8 = 1;
const PATH: u8 = 2;
const QUERY: u8 = 4;

/// The places in which each byte is unchanged by the URL standard and of no meaning of its own.
const PLAIN: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = match byte {
            b'a'..=b'z' | b'0'..=b'9' => HOST | PATH | QUERY,
            b'A'..=b'Z'
            | b'!'
            | b'$'..=b'&'
            | b'('..=b'.'
            | b':'
            | b';'
            | b'='
            | b'@'
            | b'_'
            | b'~' => PATH | QUERY,
            b'\'' => PATH,
            b'/' | b'?' => QUERY,
            _ => 0,
        };
        byte += 1;
    }
    table
};

#[inline]
fn is_in(place: u8, byte: u8) -> bool {
    PLAIN[usize::from(byte)] & place != 0
}

fn default_port(scheme: &Scheme) -> Option<u16> {
    match scheme.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

// Helpers of the general way.

/// `uri` with another path and query, which begins with a slash.
fn with_path_and_query(uri: &Uri, path_and_query: String) -> Result<Uri> {
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

/// `text` without its one trailing slash.
fn directory(text: &str) -> &str {
    text.strip_suffix('/').unwrap_or(text)
}

/// `input` without what `url::Url` ignores: blanks and controls around it, tabs and line ends in it.
fn without_blanks(input: &str) -> Cow<'_, str> {
    let is_ignored = ['\t', '\n', '\r'];
    let input = input.trim_matches(|blank| blank <= ' ');
    if input.contains(is_ignored) {
        input.replace(is_ignored, "").into()
    } else {
        input.into()
    }
}

fn percent_decode(input: &str) -> Result<Box<str>> {
    let mut pieces = input.split('%');
    let mut decoded = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let digits = piece.get(..2).filter(|digits| !digits.starts_with('+'));
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            decoded.push(byte);
            decoded.extend_from_slice(&piece.as_bytes()[2..]);
        } else {
            decoded.push(b'%');
            decoded.extend_from_slice(piece.as_bytes());
        }
    }
    String::from_utf8(decoded)
        .map(String::into_boxed_str)
        .map_err(|_| Error::url_invalid("the URL's user info is not UTF-8"))
}

// Errors: none shows a query, a fragment or what may be user info.

/// The error for a relative string where no base is set.
pub(crate) fn no_base(relative: &str) -> Error {
    let shown = shown(relative);
    Error::url_invalid(format!("{shown:?} is relative and no base_url is set"))
}

fn not_http(url: &Url) -> Error {
    // `user:password@host` has a scheme, too.
    if !url.has_authority() && url.as_str().contains('@') {
        return Error::url_invalid("the URL's scheme is neither http nor https");
    }
    let scheme = url.scheme();
    let hint = if url.has_authority() {
        ""
    } else {
        " (before a host goes `http://`, before a path with a colon `./`)"
    };
    Error::url_invalid(format!(
        "the URL's scheme {scheme:?} is neither http nor https{hint}"
    ))
}

/// Names the host and port at which `url::Url` gave up: nothing else can be wrong.
fn unparsable(input: &str, why: ParseError) -> Error {
    if why == ParseError::EmptyHost {
        return Error::url_invalid("the URL has no host");
    }
    let is_slash = |c| matches!(c, '/' | '\\' | '\t' | '\n' | '\r');
    let rest = input.split_once(':').map_or(input, |(_, rest)| rest);
    let rest = rest.trim_start_matches(is_slash);
    let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    // An `@` further on: the authority may be half of a password with a slash in it.
    if after.contains('@') {
        return Error::url_invalid(format!("the URL does not parse: {why}"));
    }
    let mut host = authority.rsplit('@').next().unwrap_or_default();
    if let Some((name, port)) = host.rsplit_once(':')
        && !port.bytes().all(|byte| byte.is_ascii_digit())
        && why == ParseError::InvalidPort
    {
        // A forgotten `@` makes a port of a password, too.
        host = name;
    }
    Error::url_invalid(format!("the URL does not parse: {why} in {host:?}"))
}

fn not_a_uri(why: impl Into<BoxError>) -> Error {
    Error::url_invalid("the URL holds characters that HTTP cannot send").with_source(why)
}

fn too_long() -> Error {
    Error::url_invalid(format!("the URL is longer than {MAX_LEN} bytes"))
}

/// What an error may show of `input`, which has no scheme or is normal.
fn shown(input: &str) -> &str {
    // With an `@`, all but a plain path might hold a password, or the first half of one.
    let is_path = matches!(input.as_bytes(), [b'/', first, ..] if first.is_ascii_alphanumeric());
    if !is_path && input.contains('@') {
        return "…";
    }
    before_query(input)
}

fn before_query(input: &str) -> &str {
    input.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use proptest::prelude::*;
    use proptest::sample::select;
    use proptest::test_runner::TestRunner;

    use super::*;

    fn check<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(S::Value)) {
        let config = ProptestConfig {
            cases,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        let test = |value| {
            test(value);
            Ok(())
        };
        TestRunner::new(config).run(strategy, test).unwrap();
    }

    fn pieces(of: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
        prop::collection::vec(select(of), 0..=most).prop_map(|pieces| pieces.concat())
    }

    fn absolute(input: &str) -> Target {
        match Location::parse(input).unwrap() {
            Location::Absolute(target) => target,
            Location::Relative(_) => panic!("{input:?} is relative"),
        }
    }

    fn text(target: &Target) -> String {
        target.uri.to_string()
    }

    fn without_user_info_and_fragment(url: &Url) -> String {
        let mut url = url.clone();
        url.set_username("").unwrap();
        url.set_password(None).unwrap();
        url.set_fragment(None);
        url.into()
    }

    fn base(input: &str) -> BaseUrl {
        BaseUrl::parse(input).unwrap()
    }

    /// All that an error shows, to whatever depth.
    fn shown_by(error: &Error) -> String {
        let sources = std::iter::successors(error.source(), |error| (*error).source());
        let sources = sources.map(|error| format!("{error} {error:?}"));
        format!("{error} {error:?} {}", sources.collect::<String>())
    }

    fn message<T>(result: Result<T>) -> String {
        result.err().unwrap().to_string()
    }

    const HOSTS: &[&str] = &[
        "a",
        "b1",
        "1",
        "0",
        "01",
        "255",
        "256",
        "0x7f",
        "0x",
        "x",
        "xn",
        "-",
        "--",
        "xn--",
        "xn--a",
        "xn--nxasmq6b",
        ".",
        ".",
        "..",
        "127.0.0.1",
        "1.2.3.4",
        "localhost",
        "example.com",
        "A",
        "_",
        "ä",
        "ß",
        "。",
        "%61",
        "%",
        " ",
        "\t",
        "\\",
        "@",
        "[::1]",
        "[",
        "!",
        "~",
        "*",
        "{",
        "\u{ad}",
        "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789",
    ];
    const NEAT_HOSTS: &[&str] = &[
        "a",
        "b1",
        "1",
        "0",
        "255",
        "0x7f",
        "x",
        "xn",
        "xn-",
        "-",
        "a.",
        "c.",
        "1.",
        "example.",
        "2-a",
        "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz0123456789",
    ];
    const PORTS: &[&str] = &[
        "",
        "",
        "",
        ":",
        ":80",
        ":443",
        ":8080",
        ":080",
        ":0",
        ":65535",
        ":65536",
        ":99999999999",
        ":8a",
        ":1:2",
        ":+1",
    ];
    const TAILS: &[&str] = &[
        "/", "/", "/", ".", "..", "...", "%2e", "%2E", "%2", "%", "a", "Z", "9", "?", "#", "@",
        ":", ";", "=", "&", "'", "\"", "<", ">", "`", "{", "}", "|", "^", "[", "]", "~", "!", "$",
        "(", ")", "*", "+", ",", "-", "_", "\\", "\t", "\r\n", " ", "\0", "\u{7f}", "é",
        "\u{feff}", "%C3%A9", "%zz",
    ];
    const NEAT_TAILS: &[&str] = &[
        "/", "/", ".", "..", "...", "%2e", "%2E.", "%41", "%", "a", "Z", "9", "?", "@", ":", "=",
        "&", "'", "~", "(", "+", ",",
    ];

    /// URLs of whatever is difficult, most of them wrong or not normal.
    fn odd_urls() -> impl Strategy<Value = String> {
        let schemes = [
            "http://", "https://", "HTTP://", "http:", "http:/", "ftp://", " http://",
        ];
        let tail = (select(&["", "/"][..]), pieces(TAILS, 8))
            .prop_map(|(slash, tail)| [slash, &tail].concat());
        (
            select(schemes.to_vec()),
            pieces(HOSTS, 5),
            select(PORTS),
            tail,
        )
            .prop_map(|(scheme, host, port, tail)| [scheme, &host, port, &tail].concat())
    }

    /// URLs of which about half are normal.
    fn neat_urls() -> impl Strategy<Value = String> {
        let schemes = &["http://", "https://"][..];
        let number = select(&["0", "1", "9", "10", "255", "256", "01", "0x1", "a"][..]);
        let hosts = prop_oneof![
            2 => select(&["127.0.0.1", "localhost", "example.com"][..]).prop_map(String::from),
            4 => (pieces(NEAT_HOSTS, 4), select(&["a", "b1", "1x", "0"][..])).prop_map(|(host, end)| host + end),
            1 => prop::collection::vec(number, 1..=5).prop_map(|numbers| numbers.join(".")),
        ];
        let ports = &[
            "", "", "", ":81", ":8080", ":65535", ":65536", ":1", ":80", ":443",
        ][..];
        let tail = prop_oneof![
            1 => Just(String::new()),
            4 => pieces(NEAT_TAILS, 8).prop_map(|tail| format!("/{tail}")),
        ];
        (select(schemes), hosts, select(ports), tail)
            .prop_map(|(scheme, host, port, tail)| [scheme, &host, port, &tail].concat())
    }

    #[test]
    fn the_plain_way_never_differs_from_url() {
        let accepted = std::cell::Cell::new(0);
        check(50_000, &neat_urls(), |input| {
            let Some(uri) = parse_plain(&input) else {
                return;
            };
            accepted.set(accepted.get() + 1);
            let url = Url::parse(&input).unwrap();
            assert_eq!(uri.to_string(), url.as_str());
            assert_eq!(
                uri.path_and_query().unwrap().as_str(),
                &url[Position::BeforePath..]
            );
            assert_eq!((uri.path(), uri.query()), (url.path(), url.query()));
            assert_eq!((uri.host(), uri.port_u16()), (url.host_str(), url.port()));
        });
        assert!(
            accepted.get() >= 20_000,
            "only {} were accepted",
            accepted.get()
        );
    }

    #[test]
    fn every_byte_is_plain_only_where_url_keeps_it() {
        for byte in 0..=127_u8 {
            for before in [
                "http://",
                "http://h",
                "http://h.",
                "http://h:",
                "http://h:1",
                "http://h/",
                "http://h/a",
                "http://h/a?",
                "http://h/a?b",
            ] {
                for after in ["", "a", "/", "1/", "."] {
                    let input = format!("{before}{}{after}", char::from(byte));
                    if let Some(uri) = parse_plain(&input) {
                        assert_eq!(
                            uri.to_string(),
                            Url::parse(&input).unwrap().as_str(),
                            "{input:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_target_is_what_url_says_and_stays_so() {
        check(20_000, &prop_oneof![odd_urls(), neat_urls()], |input| {
            let Ok(Location::Absolute(target)) = Location::parse(&input) else {
                return;
            };
            let url = Url::parse(&input).unwrap();
            let expected = without_user_info_and_fragment(&url);
            assert_eq!(text(&target), expected);
            assert!(
                target
                    .uri
                    .path_and_query()
                    .unwrap()
                    .as_str()
                    .starts_with('/')
            );
            assert_eq!(target.fragment.as_deref(), url.fragment());
            let mut again = target.to_url();
            assert_eq!(again.fragment(), url.fragment());
            again.set_fragment(None);
            assert_eq!(again.as_str(), expected);
            assert_eq!(text(&absolute(&expected)), expected);
            assert_eq!(text(&Target::from_uri(&target.uri).unwrap()), expected);
            let host = &url[Position::BeforeHost..Position::AfterPort];
            assert_eq!(target.uri.authority().unwrap().as_str(), host);
        });
    }

    #[test]
    fn a_ready_made_uri_means_what_its_string_means() {
        check(20_000, &prop_oneof![odd_urls(), neat_urls()], |input| {
            // `http::Uri` drops a fragment, and takes `http:1` for a host and port.
            if input.contains('#') || !input.contains("://") {
                return;
            }
            let Ok(uri) = input.parse::<Uri>() else {
                return;
            };
            let expected = match Location::parse(&input) {
                Ok(Location::Absolute(target)) => Some(target.uri),
                _ => None,
            };
            let target = Target::from_uri(&uri).ok();
            assert_eq!(target.map(|target| target.uri), expected, "{input:?}");
        });
    }

    #[test]
    fn common_urls_take_the_plain_way() {
        for input in [
            "http://127.0.0.1:8080/path",
            "http://localhost",
            "https://example.com",
            "https://my-host.example.com:8443/.well-known/a%20b/c..d?x=%22&y=a+b/?",
            "http://h/users/@me?mail=a@b",
        ] {
            assert!(parse_plain(input).is_some(), "{input}");
        }
        assert_eq!(text(&absolute("http://h")), "http://h/");
    }

    #[test]
    fn odd_urls_do_not_take_the_plain_way() {
        for input in [
            "http://1",
            "http://0x7f.1",
            "http://127.1",
            "http://01.2.3.4",
            "http://1.2.3.256",
            "http://1.2.3.4.",
            "http://h.",
            "http://a..b",
            "http://.a",
            "http://xn--nxasmq6b",
            "http://a.xn--a",
            "http://a_b",
            "http://H",
            "http://h:",
            "http://h:80/",
            "https://h:443/",
            "http://h:08",
            "http://h:0",
            "http://h:65536",
            "http://h:1a",
            "http://h?q",
            "http://h/./",
            "http://h/..",
            "http://h/%2e",
            "http://h/a/.%2E?q",
            "http://h/a#",
            "http://u@h",
            "http://h\\",
            "http://h/\\",
            "http://h/ ",
            " http://h",
            "http://h/\t",
            "http://h/?'",
            "http://h/é",
            "http://",
            "http:///",
            "HTTP://h",
            "ws://h",
            "http://[::1]/",
        ] {
            assert!(parse_plain(input).is_none(), "{input}");
        }
    }

    #[test]
    fn user_info_and_fragment_are_taken_out_of_the_uri() {
        let target = absolute("http://us%40er:p%3Ass%zz@H:80?q#frag ment");
        assert_eq!(text(&target), "http://h/?q");
        assert_eq!(target.fragment.as_deref(), Some("frag%20ment"));
        let user_info = target.user_info.clone().unwrap();
        assert_eq!(
            (&*user_info.username, user_info.password.as_deref()),
            ("us@er", Some("p:ss%zz"))
        );
        let user_info = absolute("http://user@h").user_info.unwrap();
        assert_eq!(
            (&*user_info.username, user_info.password.as_deref()),
            ("user", None)
        );
        assert_eq!(absolute("http://@h").user_info, None);
        assert_eq!(target.to_url().as_str(), "http://h/?q#frag%20ment");
        assert_eq!(
            format!("{target:?} {user_info:?}"),
            "Target(http://h/) UserInfo { .. }"
        );
        let uri = "http://u:p@H:80/a/../b".parse().unwrap();
        let target = Target::from_uri(&uri).unwrap();
        assert_eq!(
            (text(&target), &*target.user_info.unwrap().username),
            ("http://h/b".into(), "u")
        );
    }

    #[test]
    fn only_an_input_without_a_scheme_is_relative() {
        for input in [
            "", " ", "users", "/users", "//h/x", "?a", "#f", "./a:b", "/a:b", "a/b:c", "1:2",
            "a_b:c", "@", "é:x", "..",
        ] {
            let Ok(Location::Relative(kept)) = Location::parse(input) else {
                panic!("{input:?}")
            };
            assert_eq!(&*kept, input);
        }
        assert_eq!(text(&absolute("http:h")), "http://h/");
        assert_eq!(text(&absolute(" ht\ntps:\\\\h\\x ")), "https://h/x");
    }

    #[test]
    fn errors_name_what_is_wrong() {
        let long = format!("http://h/{}", "a".repeat(MAX_LEN));
        for (input, expected) in [
            ("http://", "the URL has no host"),
            ("http://?q", "the URL has no host"),
            ("http://u:p@/x", "the URL has no host"),
            (
                "http://u:p@h:99999/x?q",
                "the URL does not parse: invalid port number in \"h:99999\"",
            ),
            (
                "http://1.2.3.256",
                "the URL does not parse: invalid IPv4 address in \"1.2.3.256\"",
            ),
            (
                "http://[::1",
                "the URL does not parse: invalid IPv6 address in \"[::1\"",
            ),
            (
                "http://a b/",
                "the URL does not parse: invalid international domain name in \"a b\"",
            ),
            (
                "http://user:pa/ss@h",
                "the URL does not parse: invalid port number",
            ),
            (
                "http://a{b/",
                "the URL's host \"a{b\" cannot be sent over HTTP",
            ),
            ("http://%ff@h/", "the URL's user info is not UTF-8"),
            (
                "ftp://h/x?q",
                "the URL's scheme \"ftp\" is neither http nor https",
            ),
            (
                "a:b/c",
                "the URL's scheme \"a\" is neither http nor https (before a host goes `http://`, before a path with a colon `./`)",
            ),
            (
                "localhost:80/x",
                "the URL's scheme \"localhost\" is neither http nor https (before a host goes `http://`, before a path with a colon `./`)",
            ),
            (
                "user:pass@h/x",
                "the URL's scheme is neither http nor https",
            ),
            (&*long, "the URL is longer than 65534 bytes"),
        ] {
            assert_eq!(message(Location::parse(input)), expected);
        }
        assert_eq!(
            message::<()>(Err(no_base("/users?q#f"))),
            "\"/users\" is relative and no base_url is set"
        );
        assert_eq!(
            message::<()>(Err(no_base("//u:p@h"))),
            "\"…\" is relative and no base_url is set"
        );
        assert_eq!(
            message(Target::from_uri(&"/x?q".parse().unwrap())),
            "\"/x\" is relative and no base_url is set"
        );
        let star = Uri::builder()
            .scheme("http")
            .authority("h")
            .path_and_query("*")
            .build()
            .unwrap();
        assert_eq!(
            message(Target::from_uri(&star)),
            "the URL's path \"*\" does not start with a slash"
        );
    }

    #[test]
    fn a_query_is_appended_with_the_right_sign() {
        for (input, query, expected) in [
            ("http://h", "a=1", "http://h/?a=1"),
            ("http://h/p", "", "http://h/p"),
            ("http://h/p?", "a=1", "http://h/p?a=1"),
            ("http://h/p?x", "a=1&b=%20+", "http://h/p?x&a=1&b=%20+"),
            ("http://h/p", "a='é#", "http://h/p?a=%27%C3%A9%23"),
            ("http://h/p?x", "'", "http://h/p?x&%27"),
        ] {
            assert_eq!(
                text(&absolute(input).append_query(query).unwrap()),
                expected
            );
        }
        let target = absolute("http://u:p@h/p#f")
            .append_query("a")
            .unwrap()
            .append_query("'")
            .unwrap();
        assert_eq!(
            (text(&target), target.fragment.as_deref()),
            ("http://h/p?a&%27".into(), Some("f"))
        );
        assert!(target.user_info.is_some());
        let long = "a".repeat(MAX_LEN);
        for query in [&long[..], &long["http://h/p?".len() - 1..]] {
            assert_eq!(
                message(absolute("http://h/p").append_query(query)),
                "the URL is longer than 65534 bytes"
            );
        }
        assert!(
            absolute("http://h/p")
                .append_query(&long["http://h/p?".len()..])
                .is_ok()
        );
    }

    #[test]
    fn relative_strings_are_appended_to_the_base() {
        for (base_url, relative, expected) in [
            ("http://h/v4", "users", "http://h/v4/users"),
            ("http://h/v4", "/users", "http://h/v4/users"),
            ("http://h/v4/", "users", "http://h/v4/users"),
            ("http://h/v4/", "/users/", "http://h/v4/users/"),
            ("http://h", "/users", "http://h/users"),
            ("http://h", "", "http://h/"),
            ("http://h/v4", "", "http://h/v4"),
            ("http://h/v4", " \n", "http://h/v4"),
            ("http://h/v4/", "", "http://h/v4/"),
            ("http://h/v4", "/", "http://h/v4/"),
            ("http://h/v4", "?a=b", "http://h/v4?a=b"),
            ("http://h/v4", "?a='", "http://h/v4?a=%27"),
            ("http://h/v4/", "?a=b", "http://h/v4/?a=b"),
            ("http://h/v4", "a?b=c", "http://h/v4/a?b=c"),
            ("http://h/v4", "a b\t/é ", "http://h/v4/a%20b/%C3%A9"),
            ("http://h/v4", "a/./b/../c", "http://h/v4/a/c"),
            ("http://h/v4", "./a/%2E%2e/b", "http://h/v4/b"),
            ("http://h/v4", "a\\b", "http://h/v4/a/b"),
            ("http://h/v4", "\\a", "http://h/v4/a"),
            ("http://h/v4", "a/..", "http://h/v4/"),
            ("http://h/v4", ".", "http://h/v4/"),
            ("http://h/v4", "a//../..", "http://h/v4/"),
            ("http://h/v4", "a//b", "http://h/v4/a//b"),
            ("http://h/v4", "./a:b/c", "http://h/v4/a:b/c"),
            ("http://h/v4", "@me", "http://h/v4/@me"),
            ("http://h/v4", "a?../..", "http://h/v4/a?../.."),
            ("http://h/v4", "http://x/", "http://h/v4/http://x/"),
        ] {
            assert_eq!(
                text(&base(base_url).join(relative).unwrap()),
                expected,
                "{relative:?}"
            );
        }
        let base = base("HTTP://u:p@H/v4");
        assert_eq!(base.as_str(), "http://h/v4");
        for relative in ["a", "a b"] {
            assert_eq!(
                base.join(relative).unwrap().user_info.as_ref(),
                base.target.user_info.as_ref()
            );
        }
        assert_eq!(base.join("a#f").unwrap().fragment.as_deref(), Some("f"));
        assert_eq!(
            base.target.user_info.as_ref().unwrap().password.as_deref(),
            Some("p")
        );
        assert!(!format!("{base:?}").contains("\"p\""));
    }

    #[test]
    fn what_would_leave_the_base_is_refused() {
        for relative in [
            "//x", "//x/y?q", "\\\\x", "/\\x", "\\/x", " /\t/x", "//u:p@x", "//",
        ] {
            let message = message(base("http://h/v4").join(relative));
            assert!(
                message
                    .ends_with("names a host of its own, and would leave base_url \"http://h/v4\""),
                "{message}"
            );
        }
        for relative in [
            "..",
            "../v4x",
            "/..",
            "a/../..",
            "%2e%2E/x",
            ".%2e",
            "a\\..\\..\\b",
            ".\t./x",
            "./..",
            "..?q",
            "../v4/x",
        ] {
            for base_url in ["http://h/v4", "http://h"] {
                let message = message(base(base_url).join(relative));
                assert!(message.contains("leaves the path of base_url"), "{message}");
            }
        }
    }

    #[test]
    fn a_base_is_absolute_and_has_neither_query_nor_fragment() {
        for (input, expected) in [
            ("/v4?secret", "base_url \"/v4\" is relative"),
            (
                "http://u:p@h/v4?secret",
                "base_url \"http://h/v4\" must not have a query",
            ),
            (
                "http://h/@me?",
                "base_url \"http://h/@me\" must not have a query",
            ),
            (
                "http://h/v4#secret",
                "base_url \"http://h/v4\" must not have a fragment",
            ),
            (
                "ftp://h",
                "the URL's scheme \"ftp\" is neither http nor https",
            ),
        ] {
            assert_eq!(message(BaseUrl::parse(input)), expected);
        }
    }

    #[test]
    fn join_never_leaves_the_base() {
        const BASES: &[&str] = &[
            "http://h",
            "https://h:81/v4",
            "http://h/v4/",
            "http://[::1]/a/b",
            "http://u:p@h/v4//",
            "http://h/C:/x",
        ];
        let relative = prop_oneof![
            pieces(TAILS, 10),
            pieces(NEAT_TAILS, 8),
            pieces(&["..", ".", "%2e", "/", "\\", "a", "C:", "\t", " "], 10)
        ];
        check(
            40_000,
            &(select(BASES), relative),
            |(base_url, relative)| {
                let base = base(base_url);
                let Ok(target) = base.join(&relative) else {
                    return;
                };
                let expected = base.target.uri.clone();
                assert_eq!(target.uri.authority(), expected.authority());
                assert_eq!(target.uri.scheme(), expected.scheme());
                let below = format!("{}/", directory(expected.path()));
                let path = target.uri.path();
                assert!(
                    path == expected.path() || path.starts_with(&below),
                    "{path} {base:?}"
                );
                let relative = without_blanks(&relative);
                let expected = match relative.chars().next() {
                    None | Some('?' | '#') => format!("{}{relative}", base.text),
                    Some('/' | '\\') => format!("{}{relative}", directory(&base.text)),
                    _ => format!("{}/{relative}", directory(&base.text)),
                };
                let expected = Url::parse(&expected).unwrap();
                assert_eq!(
                    text(&target),
                    without_user_info_and_fragment(&expected),
                    "{relative:?}"
                );
            },
        );
    }

    #[test]
    fn no_error_shows_a_secret() {
        const STARTS: &[&str] = &[
            "http://",
            "ftp://",
            "",
            "//",
            "\\\\",
            "a:",
            "http:\\\\",
            "/\t/",
            " //",
            " http:/",
            "https:///",
            "http:\t//",
            "1",
        ];
        const USERS: &[&str] = &[
            "user:hunter2@",
            "hunter2@",
            "hunter2:@",
            "hunter2:x@",
            "us_er:hunter2@",
            "us_er:x/hunter2@",
            "us_er:hunter2/x@",
            "us_er:hunter2?x@",
            "user:x#hunter2@",
            "user:hunter2#x@",
            "user:hunter2\\@",
            "%ff:hunter2@",
            "u:a@hunter2@",
            "u:\thunter2@",
        ];
        const HOSTS: &[&str] = &[
            "",
            "h",
            "a b",
            "h:99999",
            "h:hunter",
            "[",
            "1.2.3.256",
            "a{b",
            "h/..",
            "h/../../..",
            "..",
            "/..",
            "//",
        ];
        const ENDS: &[&str] = &[
            "",
            "?hunter2",
            "#hunter2",
            "/?q=hunter2#hunter2",
            "/..?hunter2@",
            "@?hunter2",
        ];
        let inputs = (select(STARTS), select(USERS), select(HOSTS), select(ENDS));
        check(20_000, &inputs, |(start, user, host, end)| {
            let input = [start, user, host, end].concat();
            let base = base("http://root:hunter2@h/v4");
            // `http::Uri` has cut off what follows `#`: no error can know of an `@` in it.
            let uri = input.parse::<Uri>().ok().filter(|_| !input.contains('#'));
            let location = Location::parse(&input);
            if let Ok(Location::Absolute(target)) = &location {
                let debug = format!("{target:?}");
                assert!(
                    !debug.contains("hunter2")
                        || target.to_url().path().contains("hunter2")
                        || target.to_url().host_str().unwrap().contains("hunter2"),
                    "{input:?}: {debug}"
                );
            }
            let errors = [
                matches!(location, Ok(Location::Relative(_))).then(|| no_base(&input)),
                location.err(),
                BaseUrl::parse(&input).err(),
                base.join(&input).err(),
                uri.and_then(|uri| Target::from_uri(&uri).err()),
            ];
            for error in errors.iter().flatten() {
                let shown = shown_by(error);
                assert!(!shown.contains("hunter2"), "{input:?}: {shown}");
            }
        });
    }
}
