//! The whole body at once.

use bytes::Bytes;
use http::Uri;
use http::header::CONTENT_TYPE;
use http_body::Body as _;

use super::answer::Response;
use crate::error::{Error, ErrorKind, Result};

impl Response {
    /// Reads the whole body.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::BodyTooLarge`], if it is longer than
    /// [`max_body`](crate::SessionBuilder::max_body), which is 1 GiB unless set; else as
    /// [`chunk`](Self::chunk).
    ///
    /// # Cancel safety
    ///
    /// What was read is lost, and the rest treated as that of a dropped response.
    pub async fn bytes(mut self) -> Result<Bytes> {
        let limit = self.answer.body.begin_collecting();
        let limit = limit.map_err(|error| error.with_uri(&self.answer.uri))?;
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        if self.answer.body.is_end_stream() {
            return Ok(first);
        }
        let Some(second) = self.chunk().await? else {
            return Ok(first);
        };
        // What the server says is left is believed only so far.
        let left = self.answer.body.size_hint().lower().min(1024 * 1024);
        let left = usize::try_from(left).unwrap_or_default();
        let mut all = Vec::with_capacity(first.len() + second.len() + left);
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while let Some(chunk) = self.chunk().await? {
            let seen = all.len() as u64 + chunk.len() as u64;
            if seen > limit {
                return Err(self
                    .answer
                    .body
                    .refuse(limit, seen)
                    .with_uri(&self.answer.uri));
            }
            make_room(&mut all, chunk.len(), limit);
            all.extend_from_slice(&chunk);
        }
        Ok(all.into())
    }

    /// Reads the whole body as UTF-8 text.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`], if the body is not UTF-8, or the server says that it is in another
    /// charset; else as [`bytes`](Self::bytes).
    pub async fn text(self) -> Result<String> {
        let uri = self.answer.uri.clone();
        if let Some(charset) = self.foreign_charset() {
            return Err(undecoded(
                &uri,
                format!("the body is in {charset}, not in UTF-8"),
            ));
        }
        let bytes = self.bytes().await?;
        String::from_utf8(bytes.into()).map_err(|error| {
            undecoded(&uri, "the body is not UTF-8").with_source(error.utf8_error())
        })
    }

    /// The charset of the `Content-Type`, unless UTF-8 covers it.
    fn foreign_charset(&self) -> Option<String> {
        let content_type = self.answer.head.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let charset = content_type.split(';').skip(1).find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim()
                .eq_ignore_ascii_case("charset")
                .then(|| value.trim().trim_matches('"'))
        })?;
        let covered = ["", "utf-8", "utf8", "us-ascii", "ascii"];
        (!covered
            .iter()
            .any(|name| charset.eq_ignore_ascii_case(name)))
        .then(|| charset.to_owned())
    }

    /// Reads the whole body as JSON.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`], whose source says line and column; else as [`bytes`](Self::bytes).
    #[cfg(feature = "json")]
    #[cfg_attr(docsrs, doc(cfg(feature = "json")))]
    pub async fn json<T: serde::de::DeserializeOwned>(self) -> Result<T> {
        let uri = self.answer.uri.clone();
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            undecoded(&uri, "the body is not the JSON that was expected").with_source(error)
        })
    }
}

/// Makes room for so many bytes more: twice what there was, but not for more than there may be.
fn make_room(all: &mut Vec<u8>, more: usize, limit: u64) {
    if all.capacity() - all.len() < more {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let capacity = all.capacity().saturating_mul(2).min(limit);
        all.reserve_exact(more.max(capacity - all.len()));
    }
}

/// The error for a body that is not what it was asked to be read as.
fn undecoded(uri: &Uri, message: impl Into<Box<str>>) -> Error {
    let error = Error::new(ErrorKind::Decode).with_message(message);
    error.with_uri(uri).after_sending()
}
