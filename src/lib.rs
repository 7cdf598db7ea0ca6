//! One pooled HTTP session per object: opened at the right time, shared by all calls, kept alive by
//! every stream, closed for certain.
//!
//! A struct that talks to an HTTP API embeds a [`SessionHolder`]. The holder is a place for one
//! [`Session`], an open connection pool with its defaults, and lends it to closures:
//!
//! ```
//! use hyper_session::{Result, SessionHolder};
//!
//! struct Weather {
//!     session: SessionHolder,
//! }
//!
//! impl Weather {
//!     fn new(url: &str) -> Result<Self> {
//!         let session = SessionHolder::builder().base_url(url).raise_for_status(true).build()?;
//!         Ok(Self { session })
//!     }
//!
//!     async fn today(&self, city: &str) -> Result<String> {
//!         self.session
//!             .with_session(|s| async move {
//!                 s.get("/today").query(&[("city", city)]).send().await?.text().await
//!             })
//!             .await
//!     }
//! }
//!
//! # async fn example() -> Result<()> {
//! let weather = Weather::new("http://localhost:8080/v1")?;
//! weather.session.start_session().await?;
//! println!("{}", weather.today("Delft").await?);
//! println!("{}", weather.session.close_session().await);
//! # Ok(())
//! # }
//! ```
//!
//! Implement [`SessionContainer`] as well, and the struct itself has the holder's operations.
//!
//! Coming from aiohttp or reqwest? [`counterparts`] has their arguments and methods, and what each is
//! called here.
//!
//! # Life cycle
//!
//! | to open it | to close it |
//! |---|---|
//! | [`start_session`](SessionHolder::start_session) | [`close_session`](SessionHolder::close_session), [`close_session_within`](SessionHolder::close_session_within) |
//! | [`in_session`](SessionHolder::in_session), [`enter_session`](SessionHolder::enter_session): counted scopes | the last scope's end |
//! | a call, by [`WhenClosed::Open`] | a close, as above |
//! | a call, by [`WhenClosed::OneShot`], for itself | the call's last exchange |
//! | [`SessionBuilder::open`]: a bare session | [`Session::close`] |
//!
//! Dropping the last handle closes as well, at once and without waiting. A *lease* is what a running
//! [`with_session`](SessionHolder::with_session), its stream, or a scope holds: while it is out, a
//! close that has begun waits, and handles still work. An *exchange* is a request on the wire and
//! its response up to the end of the body: a close waits for those as well.
//!
//! # Cancel safety
//!
//! Every future here may be dropped at any time; none panics, leaks a connection or a place in the
//! queue. What happens on the wire when the future of [`send`](RequestBuilder::send) or a
//! [`Response`] is dropped:
//!
//! | dropped while | over HTTP/1 | over HTTP/2 |
//! |---|---|---|
//! | queueing | nothing was sent; its turn goes to the next | the same |
//! | connecting | the socket is closed, unless others wait for this very connection | the same |
//! | sending, or waiting for the head | the socket is closed; the server may have the request | the stream is reset; the server may have the request |
//! | the body is read | up to `pool_drain_bytes` of the rest are read, for at most a second: the connection stays if that was all, else it is closed | the stream is reset |
//!
//! A connection that is closed frees its place before the drop returns. HTTP/1 has no way to call a
//! request off but to close its connection (RFC 9112 §9.5); over HTTP/2 it goes on with the others.
//!
//! # Connections
//!
//! A tokio runtime with its IO and time drivers (`enable_all`) is needed to send. Over HTTP/1 no task
//! is spawned for a connection or a request, but for what several wait for, or nobody any more: the
//! first connect to an https origin, a connect that lost its race, an upload that goes on under its
//! answer, the rest of a dropped body; and one timer. HTTP/2 connections have tasks of their own, which
//! end with the session.
//!
//! With 16 requests or more under way, one that has its HTTP/1 connection lets other tasks come first, once,
//! and is written when it is polled again: all that are ready read before the first of them writes, which
//! keeps the code of each step in the processor's cache.
//!
//! A session keeps connections by scheme, host and port, newest first, each used only on the tokio
//! runtime that opened it. One that died while it idled costs nothing: the request was not sent, and
//! goes to the next connection. If a pooled one dies with the request on the way, before the
//! response's head is complete, the request is sent once more, on a new connection, if it is
//! idempotent (RFC 9110 §9.2.2) and its body can be sent again (bytes, files); never otherwise. Before a
//! request that may not be sent twice, the socket of an HTTP/1 connection is looked at first. One that
//! has idled for a second or two keeps no buffers (2 kB in place of 27) until its next request.
//!
//! A request queues for a connection that comes back, and makes one meanwhile if the limits allow. No
//! more are begun than requests wait: one whose connection comes back while another was being made for
//! it leaves that to the next in the queue, who waits for it a second at the most and then makes one of
//! its own in its place.
//!
//! An https origin is asked for HTTP/2 (feature `http2`) by its first connection, for which the other
//! requests to it wait; if it speaks HTTP/2 they share it, up to as many at a time as the peer allows,
//! else each gets a connection. If it cannot be made, each tries for itself, and the first that turns out
//! to be HTTP/2 is shared again. What a peer says that it has not looked at (`GOAWAY`,
//! `REFUSED_STREAM`, RFC 9113 §8.7), or what was not sent before its connection ended, is sent again,
//! five times at most, whatever its method, if its body can be. At the total limit, an HTTP/2 connection
//! takes no new streams while a request to another origin waits for its place, and makes way when its
//! last stream ends. A stream whose answer is over ends when its request has been sent, which may take
//! 30 s and until the session is closed; then it is reset. If it cannot be, because the peer does not
//! take what was sent already, its connection takes no new streams and ends with those that it has.
//!
//! # Time limits
//!
//! Each is a setting of the session and of a request; one set on a request leaves the others as they
//! are, and `None` lifts it. [`TimeoutPhase`] says which one has passed.
//!
//! | limit | default | what it limits |
//! |---|---|---|
//! | [`timeout`](SessionBuilder::timeout) | none | the whole request with its redirects, to the end of the body |
//! | [`pool_timeout`](SessionBuilder::pool_timeout) | 300 s | the queue for a connection, at a limit of the pool |
//! | [`connect_timeout`](SessionBuilder::connect_timeout) | 30 s | resolving, connecting and TLS |
//! | [`write_timeout`](SessionBuilder::write_timeout) | 300 s | from one part of the request's body to the next |
//! | [`head_timeout`](SessionBuilder::head_timeout) | 300 s | from the end of the request to the head of the response |
//! | [`read_timeout`](SessionBuilder::read_timeout) | 300 s | from one part of the response's body to the next |
//!
//! A limit of zero has passed as soon as there is anything to wait for: with a `pool_timeout` of zero a
//! request has a place at once or fails. While a connection is being made that it will have, be it by
//! another request, it does not queue.
//!
//! # Retries
//!
//! | what | when it is sent again | switch |
//! |---|---|---|
//! | a request of which nothing has left, as its pooled connection was dead | always, on another connection | |
//! | one whose pooled connection broke off before an answer | once, if twice does no harm | [`retry_stale`](SessionBuilder::retry_stale), on |
//! | one that failed, or got an answer such as 503 | as the [`RetryPolicy`] says, if twice does no harm | [`retry`](SessionBuilder::retry), off |
//!
//! Each hop of a redirected request is tried for itself. One `timeout` holds for all tries.
//!
//! # Redirects
//!
//! 301, 302, 303, 307 and 308 with a `Location` are followed, up to 10 in a row
//! ([`RedirectPolicy`]), as RFC 9110 §15.4 and browsers have it:
//!
//! | status | POST | HEAD | other methods |
//! |---|---|---|---|
//! | 301, 302 | becomes GET, without body | stays | stay, with body |
//! | 303 | becomes GET, without body | stays, without body | become GET, without body |
//! | 307, 308 | stays, with body | stays, with body | stay, with body |
//!
//! A body that must go on is sent again if it can be (bytes, files); a stream cannot, which is an error
//! ([`ErrorKind::Redirect`]). With a body that is dropped go the headers that describe it.
//!
//! Within an origin (scheme, host and port, RFC 6454) all other headers go on. To another one go only
//! `accept`, `accept-encoding`, `accept-language`, `user-agent`, `range`, `if-*`, `cache-control`,
//! `traceparent`, `tracestate`, and `content-*` while the body goes on. All else stays behind, whether of
//! the request, of the session's defaults or of the URL's user info, and does not come back further on,
//! unless [`trusted_origins`](SessionBuilder::trusted_origins) names the other origin. A `Referer` says
//! where the request comes from, see [`referer`](SessionBuilder::referer).
//!
//! A `Location` may be relative, and inherits the fragment of the URL before it (RFC 9110 §10.2.2). One
//! that is empty names the same URL. A user info in it is left out: no server chooses the credentials of
//! a request. Several that differ, one that does not parse and one that is neither http nor https are
//! errors; without any the redirect is an answer like any other.
//!
//! One `timeout` holds for all hops, the other limits for each. A close that has begun lets no further
//! hop begin, as it lets no request begin.
//!
//! # Cookies
//!
//! A session keeps none, unless [`cookie_store`](SessionBuilder::cookie_store) gives it a
//! [`CookieStore`] for them, such as `CookieJar` (feature `cookies`). The store is asked before each hop
//! of a request, and told of each answer that sets some. What it says goes into one `Cookie` header with
//! the cookies that the request brings itself ([`RequestBuilder::cookie`], or a header), or else the
//! session's default headers; these go first, and in place of stored ones of the same names. A request's
//! own never enter the store.
//!
//! # Credentials
//!
//! A request brings its own ([`basic_auth`](RequestBuilder::basic_auth),
//! [`bearer_auth`](RequestBuilder::bearer_auth), a user info in its URL or in a
//! [`base_url`](SessionBuilder::base_url) of its origin), or has those that the session has for its API
//! ([`SessionBuilder::bearer_auth`], [`SessionBuilder::basic_auth`], or those of a
//! [`CredentialsProvider`]), or else those of the default headers. A provider is asked again, once for all
//! requests, before what it gave ends and when a server answers 401.
//!
//! # Middleware
//!
//! A [`Middleware`] of yours stands around each request of its session, and around all that is said above:
//!
//! ```text
//! send -> middleware -> credentials -> redirects -> retries -> cookies -> pool
//! ```
//!
//! A `tower` layer stands around a session as around any other service of `http::Request<Body>`;
//! [`Response::from`] makes a response of what comes out.
//!
//! # Errors
//!
//! All operations fail with the one [`Error`], or with an error of yours that it turns into
//! (`E: From<Error>`). [`ErrorKind`] is what to branch on. With `raise_for_status`, an error has the
//! status and the head of the body, which is where an API says what it did not like:
//!
//! ```
//! use hyper_session::{Error, SessionHolder, StatusCode};
//!
//! enum ApiError {
//!     Refused { status: StatusCode, reason: String },
//!     Http(Error),
//! }
//!
//! impl From<Error> for ApiError {
//!     fn from(error: Error) -> Self {
//!         match (error.status(), error.body()) {
//!             (Some(status), Some(body)) => {
//!                 Self::Refused { status, reason: String::from_utf8_lossy(body).into_owned() }
//!             }
//!             _ => Self::Http(error),
//!         }
//!     }
//! }
//!
//! /// The note, or `None` where there is none.
//! async fn note(api: &SessionHolder, id: u64) -> Result<Option<String>, ApiError> {
//!     api.with_session(async |s| match s.get(format!("/notes/{id}")).send().await {
//!         Ok(answer) => Ok(Some(answer.text().await?)),
//!         Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(None),
//!         Err(error) => Err(error.into()),
//!     })
//!     .await
//! }
//! ```
//!
//! The closure's last expression decides on its error: `Ok(answer.text().await?)` turns ours into yours,
//! `answer.text().await` alone would not. Where nothing names the type, as in a scope or an `async` block
//! that ends in `Ok(())`, write `Ok::<_, ApiError>(())`.
//!
//! # Other crates' types
//!
//! The types of `http`, `bytes` and `url` that the surface needs are exported here under their own
//! names.
//!
//! # Features
//!
//! `native-tls` (default): https by the platform's TLS. `http2` (default): HTTP/2. `json` (default):
//! JSON bodies. `cookies`: a cookie jar. `gzip`, `deflate`, `brotli`, `zstd`: bodies in these codings are
//! asked for and decoded. `multipart`: forms with files. `mime-guess`: the type of a file by its name.
//! `charset`: texts in any charset of the web. `full`: all of them.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod body;
mod builder;
mod config;
mod connect;
mod container;
#[cfg(feature = "cookies")]
mod cookie_jar;
#[cfg(feature = "cookies")]
mod cookie_options;
mod cookies;
pub mod counterparts;
mod credentials;
mod credentials_provider;
mod decode;
mod error;
mod holder;
mod http1_options;
#[cfg(feature = "http2")]
mod http2_options;
mod middleware;
mod pipeline;
mod pool;
mod redirect;
mod redirect_options;
mod request;
mod request_defaults;
mod response;
mod retry;
mod scope;
mod session;
mod slot;
mod url;

pub use ::url::Url;
pub use body::Body;
#[cfg(feature = "multipart")]
#[cfg_attr(docsrs, doc(cfg(feature = "multipart")))]
pub use body::multipart;
pub use builder::SessionBuilder;
pub use bytes::Bytes;
pub use config::WhenClosed;
pub use connect::{BoxConnection, BoxConnector, Connector, DefaultConnector};
pub use container::SessionContainer;
#[cfg(feature = "cookies")]
pub use cookie_jar::{Cookie, CookieJar};
pub use cookies::CookieStore;
pub use credentials::Credentials;
pub use credentials_provider::CredentialsProvider;
pub use error::{BoxError, Error, ErrorKind, Result, TimeoutPhase};
pub use futures_util::future::BoxFuture;
pub use holder::SessionHolder;
pub use http::{
    self, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header,
};
pub use middleware::{Middleware, Next};
pub use pool::{CloseReport, ClosedBy, OriginStats, Stats, Timings};
pub use redirect::{Hop, RedirectAction, RedirectAttempt, RedirectPolicy};
pub use request::RequestBuilder;
pub use response::{Response, ResponseInfo};
pub use retry::{RetryAttempt, RetryBudget, RetryPolicy};
pub use scope::SessionScope;
pub use session::Session;
