//! The whole body as JSON.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Deserializer;
use serde_path_to_error::deserialize;

use super::answer::Response;
use super::text::undecoded;
use crate::error::Result;

/// How much of a body that is not as it was expected its error keeps.
const ERROR_BODY: usize = 512;

/// How much of a path is shown, which may have keys of the body's, in characters.
const SHOWN: usize = 200;

/// What some servers put before UTF-8, and a parser may ignore (RFC 8259 §8.1).
const MARK: &[u8] = "\u{feff}".as_bytes();

impl Response {
    /// Reads the whole body as JSON.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Decode`](crate::ErrorKind::Decode), which says where in the JSON: by path, line and
    /// column. It has the [`status`](crate::Error::status) of the response, and the first 512 bytes of
    /// its [`body`](crate::Error::body), which are not in its message; serde's own error, its source, may
    /// quote a value. Else as [`bytes`](Self::bytes).
    #[cfg_attr(docsrs, doc(cfg(feature = "json")))]
    pub async fn json<T: DeserializeOwned>(self) -> Result<T> {
        let (status, uri) = (self.answer.head.status, self.answer.info.uri.clone());
        let body = self.bytes().await?;
        let json = body.strip_prefix(MARK).unwrap_or(&body);
        serde_json::from_slice(json).map_err(|error| {
            let place = place_of::<T>(json, &error);
            let message = format!("the body is not the JSON that was expected, {place}");
            let head = Bytes::copy_from_slice(&body[..body.len().min(ERROR_BODY)]);
            undecoded(&uri, message)
                .with_answer(status, None, Some(head))
                .with_source(error)
        })
    }
}

/// Where the JSON is not what was expected. The path is found by reading it once more, so that what is
/// as expected is read at full speed.
fn place_of<T: DeserializeOwned>(json: &[u8], error: &serde_json::Error) -> String {
    let place = format!("line {}, column {}", error.line(), error.column());
    match deserialize::<_, T>(&mut Deserializer::from_slice(json)) {
        Err(error) if error.path().iter().next().is_some() => {
            let path = error.path().to_string();
            let shown: String = path.chars().take(SHOWN).collect();
            format!("at `{}`, {place}", shown.escape_debug())
        }
        _ => place,
    }
}
