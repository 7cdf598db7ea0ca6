//! What a request carries.

mod streaming;

mod outgoing;

mod media_type;

mod file;

mod report;

#[cfg(feature = "multipart")]
pub mod multipart;

pub use outgoing::Body;
pub(crate) use streaming::Progress;
