//! What the benches share: the servers that they ask, the clients that are measured side by side, the
//! work that these do, and how it is counted and timed.

#![allow(
    clippy::missing_panics_doc,
    reason = "a bench that cannot go on ends, and says why"
)]
#![allow(clippy::cast_precision_loss, reason = "all counts are far below 2^52")]

pub mod client;
pub mod counts;
pub mod memory;
pub mod report;
pub mod rounds;
pub mod runtime;
pub mod server;
pub mod work;
