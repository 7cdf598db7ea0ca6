//! Content codings (RFC 9110 §8.4): what was coded for the way is decoded as it comes.
//!
//! No IO here: [`Chain`] takes what has come, and gives what it means, part by part, so that the
//! memory of a body that expands a thousandfold is that of one part.

#![cfg_attr(
    not(any(
        feature = "gzip",
        feature = "deflate",
        feature = "brotli",
        feature = "zstd"
    )),
    allow(dead_code, reason = "used where a coding is built in")
)]

mod decoder;

#[cfg(any(feature = "gzip", feature = "deflate"))]
mod flate;

#[cfg(feature = "brotli")]
mod brotli;

#[cfg(feature = "zstd")]
mod zstd;

mod coding;

mod layer;

mod chain;

pub(crate) use chain::{Chain, Progress, too_large};
pub(crate) use coding::accept_encoding;
