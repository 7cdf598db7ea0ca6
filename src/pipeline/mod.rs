//! What happens to a logical request between its builder and the pool.

pub(crate) mod check;

pub(crate) mod call;

pub(crate) mod cookies;

mod headers;

mod redirect;

pub(crate) mod client;
