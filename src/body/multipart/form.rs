//! `Form`.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::sync::Arc;

use bytes::BytesMut;
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use super::part::Part;
use super::parts::Parts;
use crate::body::outgoing::Body;
use crate::body::streaming::Streaming;
use crate::error::{Error, Result};

/// What is shorter, in bytes, is copied rather than sent by itself.
const SHORT: usize = 4 * 1024;

/// A form with files, as a browser sends it: `multipart/form-data` (RFC 7578).
///
/// Sent with its length where all parts know theirs, and once more after a dead connection where all
/// parts can be. Names go out as browsers write them, quotes, CR and LF as `%22`, `%0D` and `%0A`, so
/// that none can become a header or another part. Other control characters in names (C0, DEL and C1) are
/// refused.
///
/// Never fails on the way: what is wrong with it is reported when the request is sent or built.
#[must_use = "a form does nothing until it is sent"]
pub struct Form {
    subtype: &'static str,
    boundary: String,
    parts: Parts,
    /// What comes after the last of the parts.
    text: BytesMut,
    fault: Option<Error>,
}

impl Form {
    /// Makes an empty form.
    pub fn new() -> Self {
        Self::of_type("form-data")
    }

    /// Makes an empty `multipart/mixed`, whose parts need no names: to be sent by itself, or as a part of a
    /// form.
    pub fn mixed() -> Self {
        Self::of_type("mixed")
    }

    /// Makes an empty `multipart/related` (RFC 2387), whose parts need no names.
    pub fn related() -> Self {
        Self::of_type("related")
    }

    fn of_type(subtype: &'static str) -> Self {
        // Each of them has keys of its own, which nobody can know.
        let random = || RandomState::new().hash_one(subtype);
        Self {
            subtype,
            boundary: format!("{:016x}{:016x}", random(), random()),
            parts: Parts::default(),
            text: BytesMut::new(),
            fault: None,
        }
    }

    /// Adds a field.
    pub fn text(self, name: impl AsRef<str>, value: impl Into<String>) -> Self {
        self.part(name, Part::new(value.into()))
    }

    /// Adds a part by a name, beside those of the same name.
    pub fn part(self, name: impl AsRef<str>, part: Part) -> Self {
        self.add(Some(name.as_ref()), part)
    }

    /// Adds a part without a name, as in `multipart/mixed`.
    pub fn unnamed_part(self, part: Part) -> Self {
        self.add(None, part)
    }

    fn add(mut self, name: Option<&str>, part: Part) -> Self {
        if let Err(error) = self.try_add(name, part) {
            self.fault.get_or_insert(error);
        }
        self
    }

    fn try_add(&mut self, name: Option<&str>, mut part: Part) -> Result<()> {
        if let Some(fault) = part.fault {
            return Err(fault);
        }
        let name = name.map(|name| quoted("name", name)).transpose()?;
        let file_name = part.file_name.as_deref();
        let file_name = file_name.map(|name| quoted("filename", name)).transpose()?;
        let media_type = part.media_type();
        part.headers.remove(CONTENT_TYPE);

        self.write(&["--", &self.boundary.clone(), "\r\n"]);
        if name.is_some() || file_name.is_some() {
            // RFC 2183 §2.2, where there is no field that it is the value of.
            let disposition = if name.is_some() {
                "form-data"
            } else {
                "attachment"
            };
            self.write(&["Content-Disposition: ", disposition]);
            self.write(&[&name.unwrap_or_default(), &file_name.unwrap_or_default()]);
            self.write(&["\r\n"]);
        }
        let media_type = media_type.as_ref().map(|value| ("Content-Type", value));
        let others = part
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value));
        for (name, value) in media_type.into_iter().chain(others) {
            self.write(&[name, ": "]);
            self.text.extend_from_slice(value.as_bytes());
            self.write(&["\r\n"]);
        }
        self.write(&["\r\n"]);
        match part.body.as_bytes() {
            Some(bytes) if bytes.len() <= SHORT => self.text.extend_from_slice(bytes),
            _ => {
                self.end_text();
                self.parts.0.push_back(part.body);
            }
        }
        self.write(&["\r\n"]);
        Ok(())
    }

    fn write(&mut self, texts: &[&str]) {
        for text in texts {
            self.text.extend_from_slice(text.as_bytes());
        }
    }

    fn end_text(&mut self) {
        let text = mem::take(&mut self.text).freeze();
        self.parts.0.push_back(text.into());
    }

    /// Makes the body, which brings its `Content-Type` to the request that it is the body of.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Builder`](crate::ErrorKind::Builder), if a name or a header cannot be sent.
    pub fn into_body(mut self) -> Result<Body> {
        self.write(&["--", &self.boundary.clone(), "--\r\n"]);
        self.end_text();
        let Self {
            subtype,
            boundary,
            parts,
            fault,
            ..
        } = self;
        if let Some(fault) = fault {
            return Err(fault);
        }
        let body = if parts.is_replayable() {
            let make = move || parts.try_clone().map(Streaming::new);
            Body::made_by(Arc::new(make)).unwrap_or_default()
        } else {
            Body::wrap(parts)
        };
        let content_type = format!("multipart/{subtype}; boundary={boundary}");
        let content_type = HeaderValue::try_from(content_type).ok();
        Ok(body.with_content_type(content_type))
    }
}

impl Part {
    /// Makes a part of several, say of a [`Form::mixed`] of files.
    pub fn form(form: Form) -> Self {
        match form.into_body() {
            Ok(body) => Self::new(body),
            Err(fault) => Self {
                fault: Some(fault),
                ..Self::new(())
            },
        }
    }
}

/// A parameter of `Content-Disposition`, as browsers write it (WHATWG HTML, "Multipart form data").
fn quoted(parameter: &str, value: &str) -> Result<String> {
    let mut quoted = format!("; {parameter}=\"");
    for character in value.chars() {
        match character {
            '"' => quoted.push_str("%22"),
            '\r' => quoted.push_str("%0D"),
            '\n' => quoted.push_str("%0A"),
            control if control.is_control() => {
                return Err(Error::builder(format!(
                    "the {parameter} of a part has a control character: {value:?}"
                )));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    Ok(quoted)
}

impl Default for Form {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Form")
            .field("type", &self.subtype)
            .finish_non_exhaustive()
    }
}
