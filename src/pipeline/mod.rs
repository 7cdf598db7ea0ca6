//! What happens to a logical request between its builder and the pool.
//!
//! `Client::execute` completes and checks the call and passes it through the middleware. Then it gets its
//! credentials, and goes from hop to hop and from try to try: the cookies for it are put on, the pool
//! sends it, what the answer sets is kept. What failed and may be tried again is; a request whose
//! credentials were refused is sent with new ones; a redirect that is followed makes it the next hop's
//! request. The last answer becomes the response.

pub(crate) mod headers;

pub(crate) mod cookies;

pub(crate) mod check;

pub(crate) mod skip;

pub(crate) mod call;

pub(crate) mod credentials;

mod redirect;

mod retry;

mod query;

pub(crate) mod client;

mod execute;
