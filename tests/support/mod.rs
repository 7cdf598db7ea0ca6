//! The test server: HTTP over plain TCP or TLS, scripted raw peers, and exact counts of what they saw.
//!
//! Everything listens on 127.0.0.1, port 0, and runs on a thread of its own that is named after the
//! test. Nothing here sleeps or polls: a test waits with `wait_*`, which panic after ten seconds (of
//! tokio's clock: with paused time, use an in-memory connector instead) and say what was counted.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test file uses its own part"
)]

pub mod accounts;
pub mod api;
pub mod body;
pub mod books;
pub mod coding;
pub mod connection;
pub mod connectors;
pub mod dice;
#[cfg(feature = "http2")]
pub mod frames;
pub mod gate;
pub mod host;
#[cfg(feature = "http2")]
pub mod http2;
pub mod outcome;
pub mod raw;
pub mod server;
pub mod stages;
#[cfg(feature = "http2")]
mod stages_http2;
pub mod surprise;
pub mod tally;
pub mod tls;
mod transport;
pub mod wire;
