//! What happens to a logical request between its builder and the pool.

pub(crate) mod check;

pub(crate) mod call;

pub(crate) mod client;
