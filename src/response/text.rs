//! The whole body as text.

use std::borrow::Cow;
use std::mem;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Uri};

use super::answer::Response;
use super::charset::Charset;
use super::utf8::Utf8;
use crate::error::{Error, ErrorKind, Result};

/// How much of a charset's name is shown that is not known, in bytes.
const SHOWN: usize = 40;

impl Response {
    /// Reads the whole body as text.
    ///
    /// In the charset that a byte order mark stands for, which is left out, or else the `Content-Type`
    /// names; UTF-8 where neither does. Without the feature `charset` there is only UTF-8, which covers
    /// ASCII.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`](crate::ErrorKind::Decode), if the body is not in its charset, or that is not
    /// known, which is told before anything is read; else as [`bytes`](Self::bytes).
    pub async fn text(self) -> Result<String> {
        self.read_text(None, false).await
    }

    /// Reads the whole body as [`text`](Self::text), with U+FFFD (�) for what is not in its charset.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text), but for what is replaced.
    pub async fn text_lossy(self) -> Result<String> {
        self.read_text(None, true).await
    }

    /// Reads the whole body as [`text`](Self::text), in `charset` instead of UTF-8 where the server does
    /// not say in which it is.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text); `charset` itself may be unknown as well.
    #[cfg(feature = "charset")]
    #[cfg_attr(docsrs, doc(cfg(feature = "charset")))]
    pub async fn text_with_charset(self, charset: &str) -> Result<String> {
        self.read_text(Some(charset), false).await
    }

    async fn read_text(mut self, default: Option<&str>, lossy: bool) -> Result<String> {
        let charset = self.charset(default)?;
        let limit = self.begin_collecting()?;
        let body = if charset == Charset::UTF_8 {
            let mut text = Utf8::new();
            self.gather(&mut text, limit).await?;
            match text.finish() {
                Ok(text) => return Ok(without_mark(text)),
                Err(malformed) => malformed.into(),
            }
        } else {
            self.read().await?
        };
        charset.decode(body, lossy).map_err(|(charset, source)| {
            let error = undecoded(&self.answer.info.uri, format!("the body is not {charset}"));
            match source {
                Some(source) => error.with_source(source),
                None => error,
            }
        })
    }

    /// The charset that the server names, or else `default`.
    fn charset(&self, default: Option<&str>) -> Result<Charset> {
        let named = charset_of(&self.answer.head.headers);
        let Some(label) = named.as_deref().or(default) else {
            return Ok(Charset::UTF_8);
        };
        Charset::named(label).ok_or_else(|| {
            let shown: String = label.chars().take(SHOWN).collect();
            let message = format!("the body is in {shown}, {}", Charset::UNKNOWN);
            undecoded(&self.answer.info.uri, message)
        })
    }
}

/// Leaves the byte order mark out.
fn without_mark(mut text: String) -> String {
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    text
}

/// The charset that the `Content-Type` names, unless UTF-8 covers it.
fn charset_of(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let charset = split_unquoted(content_type).skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| unquote(value.trim()))
    })?;
    let covered = ["us-ascii", "ascii"];
    let is_covered = covered
        .iter()
        .any(|name| charset.eq_ignore_ascii_case(name));
    (!is_covered && !charset.is_empty()).then_some(charset)
}

/// A value and its parameters, which may have semicolons between quotes (RFC 9110 §5.6.6).
fn split_unquoted(text: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |char| {
        let was_escaped = mem::take(&mut is_escaped);
        match char {
            '"' if !was_escaped => is_quoted = !is_quoted,
            '\\' => is_escaped = is_quoted && !was_escaped,
            _ => {}
        }
        char == ';' && !is_quoted
    })
}

/// What a quoted string stands for (RFC 9110 §5.6.4), or the value itself.
fn unquote(value: &str) -> Cow<'_, str> {
    let value = value.trim_matches('"');
    if value.contains('\\') {
        // No charset's name has a backslash of its own.
        return value.replace('\\', "").into();
    }
    value.into()
}

/// The error for a body that is not what it was asked to be read as.
pub(super) fn undecoded(uri: &Uri, message: impl Into<Box<str>>) -> Error {
    let error = Error::new(ErrorKind::Decode).with_message(message);
    error.with_uri(uri).after_sending()
}
