//! The charsets of the web (WHATWG Encoding).

use std::borrow::Cow;
use std::str::{Utf8Error, from_utf8};

use bytes::{Buf, Bytes};
use encoding_rs::{Encoding, UTF_8};

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Charset(&'static Encoding);

impl Charset {
    pub(super) const UTF_8: Self = Self(UTF_8);

    /// What is said of a charset that has no name here.
    pub(super) const UNKNOWN: &str = "which is none that the web knows";

    pub(super) fn named(label: &str) -> Option<Self> {
        // Without those that stand for "do not show this": they decode to a replacement character.
        Encoding::for_label_no_replacement(label.as_bytes()).map(Self)
    }

    /// Reads a body, in UTF-8 or UTF-16 if it begins with the mark of those. What is malformed is
    /// replaced by U+FFFD, or else an error, which names the charset.
    pub(super) fn decode(
        self,
        mut body: Bytes,
        lossy: bool,
    ) -> Result<String, (&'static str, Option<Utf8Error>)> {
        let marked = Encoding::for_bom(&body);
        let (encoding, mark) = marked.unwrap_or((self.0, 0));
        body.advance(mark);
        if lossy {
            return Ok(encoding.decode_without_bom_handling(&body).0.into_owned());
        }
        encoding
            .decode_without_bom_handling_and_without_replacement(&body)
            .map(Cow::into_owned)
            .ok_or_else(|| {
                let source = (encoding == UTF_8)
                    .then(|| from_utf8(&body).err())
                    .flatten();
                (encoding.name(), source)
            })
    }
}
