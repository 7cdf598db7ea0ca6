//! The way that costs one pass: ASCII in which `url::Url` would not change a byte.

use std::cell::RefCell;

use bytes::Bytes;
use http::Uri;
use http::uri::{Authority, Parts, PathAndQuery, Scheme};

use super::refusal::MAX_LEN;

thread_local! {
    /// The last URI's: who calls an API names the same again and again, and it need not be read again.
    static LAST: RefCell<Option<Origin>> = const { RefCell::new(None) };
}

struct Origin {
    scheme: Scheme,
    authority: Authority,
}

/// The URI of `input`, if that is what `url::Url` would make of it, byte for byte.
pub(super) fn parse_plain(input: &str) -> Option<Uri> {
    let parsed = LAST.try_with(|last| {
        let mut last = last.borrow_mut();
        if let Some(uri) = last.as_ref().and_then(|origin| origin.parse(input)) {
            return Some(uri);
        }
        let uri = parse_all(input)?;
        *last = Origin::of(&uri);
        Some(uri)
    });
    // A thread that ends remembers nothing any more.
    parsed.unwrap_or_else(|_| parse_all(input))
}

impl Origin {
    fn of(uri: &Uri) -> Option<Self> {
        Some(Self {
            scheme: uri.scheme()?.clone(),
            // Not a part of the URI's memory, whose query may be long and is none of ours.
            authority: Authority::try_from(uri.authority()?.as_str()).ok()?,
        })
    }

    /// The URI of `input`, if it is plain and of this origin.
    fn parse(&self, input: &str) -> Option<Uri> {
        let rest = input.strip_prefix(self.scheme.as_str())?;
        let rest = rest.strip_prefix("://")?;
        let rest = rest.strip_prefix(self.authority.as_str())?;
        let is_plain = rest.starts_with('/') && is_plain_path_and_query(rest.as_bytes());
        if !is_plain || input.len() > MAX_LEN {
            return None;
        }
        let path_and_query = PathAndQuery::from_maybe_shared(to_bytes(rest));
        let mut parts = Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path_and_query.ok()?);
        Uri::from_parts(parts).ok()
    }
}

fn parse_all(input: &str) -> Option<Uri> {
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
    Uri::from_maybe_shared(to_bytes(input)).ok()
}

fn to_bytes(text: &str) -> Bytes {
    match Short::new(text) {
        Some(short) => Bytes::from_owner(short),
        None => Bytes::copy_from_slice(text.as_bytes()),
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
pub(super) fn scan_authority(input: &str, default_port: u16) -> Option<usize> {
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
pub(super) fn is_dotted_quad(host: &[u8]) -> bool {
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
pub(super) fn is_plain_path_and_query(rest: &[u8]) -> bool {
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
pub(super) fn begins_with_dots(path: &[u8]) -> bool {
    matches!(path, [b'.' | b'%', ..]) && {
        let mut segments = path.split(|byte| matches!(byte, b'/' | b'?'));
        matches!(segments.next().map(count_dots), Some(1 | 2))
    }
}

/// The number of dots that `segment` consists of; 0 if it holds anything else.
pub(super) fn count_dots(mut segment: &[u8]) -> usize {
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

pub(super) const HOST: u8 = 1;
pub(super) const PATH: u8 = 2;
pub(super) const QUERY: u8 = 4;

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
pub(super) fn is_in(place: u8, byte: u8) -> bool {
    PLAIN[usize::from(byte)] & place != 0
}
