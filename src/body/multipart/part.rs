//! `Part`.

use std::fmt;
use std::path::Path;

use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::body::media_type;
use crate::body::outgoing::Body;
use crate::error::{Error, Result};

/// A part of a [`Form`](super::Form): a body with a name of its own and headers.
///
/// Never fails on the way: what is wrong with it is reported when the request is sent or built.
#[must_use = "a part does nothing until it is in a form"]
pub struct Part {
    pub(super) body: Body,
    pub(super) file_name: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) fault: Option<Error>,
}

impl Part {
    /// Makes a part of anything that is a body: text, bytes, a stream.
    ///
    /// With a file name it has the type that the name's extension stands for, as in
    /// [`Body::file`], unless it gets one.
    pub fn new(body: impl Into<Body>) -> Self {
        Self {
            body: body.into(),
            file_name: None,
            headers: HeaderMap::new(),
            fault: None,
        }
    }

    /// Makes a part of a file, with its name and type.
    ///
    /// # Errors
    ///
    /// As [`Body::file`].
    pub async fn file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let part = Self::new(Body::file(path).await?);
        Ok(match path.file_name() {
            Some(name) => part.file_name(name.to_string_lossy()),
            None => part,
        })
    }

    /// Sets the name under which the server is to see a file. Default: that of a file's path, else none.
    pub fn file_name(mut self, name: impl Into<String>) -> Self {
        self.file_name = Some(name.into());
        self
    }

    /// Sets the type, such as `image/png`. Default: what the body or the file name tells, else none,
    /// which means text (RFC 7578 §4.4).
    pub fn content_type(mut self, content_type: &str) -> Self {
        self.headers.remove(CONTENT_TYPE);
        self.header(CONTENT_TYPE, content_type)
    }

    /// Adds a header, beside those of the same name that it has. Refused are `Content-Disposition`, which is
    /// made of the names, `Content-Length` and `Transfer-Encoding`, as the boundaries alone say where a part
    /// ends, and an empty `Content-Type`.
    ///
    /// In a form (not in `multipart/mixed` or `related`), a server ignores all but `Content-Type` and
    /// `Content-Transfer-Encoding` (RFC 7578 §4.8).
    pub fn header<K, V>(mut self, name: K, value: V) -> Self
    where
        HeaderName: TryFrom<K>,
        <HeaderName as TryFrom<K>>::Error: Into<http::Error>,
        HeaderValue: TryFrom<V>,
        <HeaderValue as TryFrom<V>>::Error: Into<http::Error>,
    {
        if let Err(error) = self.try_header(name, value) {
            self.fault.get_or_insert(error);
        }
        self
    }

    fn try_header<K, V>(&mut self, name: K, value: V) -> Result<()>
    where
        HeaderName: TryFrom<K>,
        <HeaderName as TryFrom<K>>::Error: Into<http::Error>,
        HeaderValue: TryFrom<V>,
        <HeaderValue as TryFrom<V>>::Error: Into<http::Error>,
    {
        let name = HeaderName::try_from(name).map_err(|error| {
            Error::builder("invalid name of a part's header").with_source(error.into())
        })?;
        let refused = match name {
            CONTENT_DISPOSITION => Some("is made of its names"),
            CONTENT_LENGTH | TRANSFER_ENCODING => {
                Some("would be a second word on where it ends, which its boundary says")
            }
            _ => None,
        };
        if let Some(why) = refused {
            return Err(Error::builder(format!("a part's `{name}` {why}")));
        }
        let value = HeaderValue::try_from(value).map_err(|error| {
            Error::builder(format!("invalid value of a part's header `{name}`"))
                .with_source(error.into())
        })?;
        if name == CONTENT_TYPE && value.as_bytes().trim_ascii().is_empty() {
            return Err(Error::builder("a part's `content-type` is empty"));
        }
        self.headers.append(name, value);
        Ok(())
    }

    /// What it says it is, or else its body, or its file name.
    pub(super) fn media_type(&self) -> Option<HeaderValue> {
        let own = self.headers.get(CONTENT_TYPE);
        let known = own.or_else(|| self.body.content_type()).cloned();
        known.or_else(|| {
            let name = self.file_name.as_deref()?;
            Some(HeaderValue::from_static(media_type::of(Path::new(name))))
        })
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("file_name", &self.file_name)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}
