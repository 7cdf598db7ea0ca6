//! What happens to a logical request between its builder and the pool.
//!
//! `Client::execute` completes and checks the call, then goes from hop to hop: the cookies for it are
//! put on, the pool sends it, what the answer sets is kept, and a redirect that is followed makes it the
//! next hop's request. The last answer becomes the response.

pub(crate) mod check;

pub(crate) mod call;

pub(crate) mod cookies;

mod headers;

mod redirect;

mod retry;

pub(crate) mod client;
