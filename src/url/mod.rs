//! What a string means as the target of a request.
//!
//! `url::Url` (the WHATWG URL standard) has the last word. Strings that it provably leaves as they
//! are go straight to `http::Uri`; everything else goes through it.

mod refusal;

mod plain;

mod target;

mod base;

#[cfg(test)]
mod tests;

pub(crate) use base::BaseUrl;
pub(crate) use refusal::{no_base, shown};
pub(crate) use target::{Location, Target, UserInfo};
