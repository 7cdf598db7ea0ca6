//! UTF-8 alone.

use std::str::{Utf8Error, from_utf8};

use bytes::{Buf, Bytes};

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Charset;

impl Charset {
    pub(super) const UTF_8: Self = Self;

    /// What is said of a charset that has no name here.
    pub(super) const UNKNOWN: &str = "not in UTF-8; others take the feature `charset`";

    pub(super) fn named(label: &str) -> Option<Self> {
        let names = ["utf-8", "utf8"];
        let is_one = names.iter().any(|name| label.eq_ignore_ascii_case(name));
        is_one.then_some(Self)
    }

    /// Reads a body. What is malformed is replaced by U+FFFD, or else an error, which names the charset.
    #[allow(clippy::unused_self, reason = "it is the one charset that there is")]
    pub(super) fn decode(
        self,
        mut body: Bytes,
        lossy: bool,
    ) -> Result<String, (&'static str, Option<Utf8Error>)> {
        /// The byte order mark.
        const MARK: &[u8] = "\u{feff}".as_bytes();
        if body.starts_with(MARK) {
            body.advance(MARK.len());
        }
        if lossy {
            return Ok(String::from_utf8_lossy(&body).into_owned());
        }
        from_utf8(&body)
            .map(str::to_owned)
            .map_err(|error| ("UTF-8", Some(error)))
    }
}
