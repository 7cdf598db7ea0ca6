//! What a server answers.

mod payload;

mod info;

mod answer;

mod collect;

mod utf8;

#[cfg(feature = "charset")]
mod charset;
#[cfg(not(feature = "charset"))]
#[path = "no_charset.rs"]
mod charset;

mod text;

#[cfg(feature = "json")]
mod json;

mod status;

pub use answer::Response;
pub use info::ResponseInfo;
