//! Headers that a request would get by itself, and shall not.

use http::HeaderName;
use http::header::HOST;

use super::check::FRAMING;
use crate::error::{Error, Result};

/// Reads their names. Refuses those without which there is no message.
pub(crate) fn skippable<I>(names: I) -> Result<Vec<HeaderName>>
where
    I: IntoIterator,
    HeaderName: TryFrom<I::Item>,
    <HeaderName as TryFrom<I::Item>>::Error: Into<http::Error>,
{
    let names = names.into_iter().map(|name| {
        let name = HeaderName::try_from(name).map_err(|error| {
            Error::builder("skip_auto_headers: invalid header name").with_source(error.into())
        })?;
        if name == HOST || FRAMING.contains(&name) {
            return Err(Error::builder(format!(
                "skip_auto_headers: no message goes without `{name}` (RFC 9112 §3.2 and §6)"
            )));
        }
        Ok(name)
    });
    names.collect()
}
