//! What the parts without a lock are made of, named in one place: `tests/signal_loom.rs` puts a
//! model checker's in.

pub(super) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

pub(super) use futures_util::task::AtomicWaker;
