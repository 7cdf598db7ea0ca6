//! Connections, kept and lent: who may open one, who gets the next one, and when each is closed.
//!
//! An exchange owns its connection and polls it; what is not in an exchange idles here. A request
//! goes through `exchange` (send, and the response's body in `incoming`), which asks `checkout` for
//! a connection. All shared state is `state`, behind one short lock.

#![cfg_attr(
    not(feature = "http2"),
    allow(dead_code, reason = "the books know of streams in every build")
)]

mod sync;

mod stats;

mod timings;

mod meter;

mod flood;

mod signal;

mod rota;

mod permit;

mod timer;

mod line;

mod severable;

mod tasks;

mod task;

mod limit;

mod age;

mod place;

mod socket;

mod http1;

#[cfg(feature = "http2")]
mod driving;

#[cfg(feature = "http2")]
mod http2;
#[cfg(not(feature = "http2"))]
#[path = "no_http2.rs"]
mod http2;

mod connection;

mod attempt;

mod key;

mod entry;

mod state;

mod queue;

mod idle;

mod streams;

mod report;

mod shared;

mod expiry;

mod wants;

mod making;

mod checkout;

mod sending;

mod upload;

mod reader;

mod incoming;

mod message;

mod draft;

mod failure;

mod exchange;

mod close;

mod owner;

pub(crate) use incoming::Incoming;
pub(crate) use message::{Outgoing, Terms, has_other_coding};
pub(crate) use owner::{Lease, Owner};
pub(crate) use shared::Pool;
pub use stats::{CloseReport, ClosedBy, OriginStats, Stats};
pub(crate) use task::Task;
pub use timings::Timings;
