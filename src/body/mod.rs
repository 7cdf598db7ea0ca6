//! What a request carries.

mod streaming;

mod outgoing;

pub use outgoing::Body;
pub(crate) use streaming::{LARGE, Progress};
