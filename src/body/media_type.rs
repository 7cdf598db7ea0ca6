//! What the name of a file says of what is in it.

use std::path::Path;

/// What nothing is known of (RFC 2046 §4.5.1).
const UNKNOWN: &str = "application/octet-stream";

#[cfg(feature = "mime-guess")]
pub(super) fn of(path: &Path) -> &'static str {
    mime_guess::from_path(path).first_raw().unwrap_or(UNKNOWN)
}

#[cfg(not(feature = "mime-guess"))]
pub(super) fn of(_: &Path) -> &'static str {
    UNKNOWN
}
