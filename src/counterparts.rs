//! Coming from aiohttp or reqwest: what their arguments and methods are called here.
//!
//! Each argument of aiohttp 3.14 and each method of reqwest 0.13 has a row. Where there is no
//! counterpart, the row says what to do instead, or why there is none.
//!
//! What this page calls *own connector* is a [`Connector`] given to [`SessionBuilder::connector`]:
//! TCP and TLS have few settings here, as [those of hyper-util and
//! hyper-tls](#a-connector-of-your-own) can be used as they are. *A setting of the session* can be told
//! by [`SessionBuilder`] alone, not for one request.
//!
//! # aiohttp
//!
//! `async with ClientSession()` is [`SessionHolder::in_session`], for a session in a struct, or
//! [`Session::builder`] with [`open`](SessionBuilder::open) and [`Session::close`].
//!
//! ## `ClientSession`
//!
//! | argument | here |
//! |---|---|
//! | `base_url` | [`SessionBuilder::base_url`]; its path is never lost: with `…/v4`, `/users` is `…/v4/users` |
//! | `connector` | [`SessionBuilder::connector`], which makes connections; the pool's limits are settings of the session, see [`TCPConnector`](#tcpconnector-and-unixconnector) |
//! | `connector_owner` | none: a pool belongs to a session. Share the [`Session`], a cheap clone; [`SessionHolder::from_session`] borrows one and closes nothing |
//! | `loop` | none: each connection is used on the tokio runtime that opened it |
//! | `cookies` | [`CookieJar::add`](crate::CookieJar::add), and the jar to [`SessionBuilder::cookie_store`]; for all origins, a `Cookie` in [`SessionBuilder::default_headers`] |
//! | `cookie_jar` | [`SessionBuilder::cookies`], or [`SessionBuilder::cookie_store`] with a [`CookieJar`](crate::CookieJar) or any [`CookieStore`]; no cookies are kept by default |
//! | `headers` | [`SessionBuilder::default_headers`], [`SessionBuilder::user_agent`] |
//! | `skip_auto_headers` | [`SessionBuilder::skip_auto_headers`]; no `User-Agent` and no `Accept` is sent by default |
//! | `proxy`, `proxy_auth`, `trust_env` | not here yet: proxies; the environment is not read, nor is netrc. Own connector |
//! | `auth` | [`SessionBuilder::basic_auth`], [`SessionBuilder::bearer_auth`]; [`SessionBuilder::credentials`], which can renew them; a user info in the [`base_url`](SessionBuilder::base_url) |
//! | `json_serialize`, `json_serialize_bytes` | none: [`RequestBuilder::json`] writes by `serde_json`; give other JSON to [`RequestBuilder::body`] |
//! | `request_class`, `response_class`, `ws_response_class` | none: wrap [`RequestBuilder`] and [`Response`] in types of your own. Not here yet: WebSocket |
//! | `version` | [`RequestBuilder::version`] for each request; [`SessionBuilder::http1_only`] and [`SessionBuilder::http2_prior_knowledge`] |
//! | `raise_for_status` | [`SessionBuilder::raise_for_status`]; for a function, [`SessionBuilder::raise_for_status_if`], which sees the status |
//! | `timeout` | six limits, see [`ClientTimeout`](#clienttimeout); none for the whole request by default |
//! | `read_timeout` | [`SessionBuilder::timeout`]: aiohttp's old name for the whole request |
//! | `conn_timeout` | [`SessionBuilder::connect_timeout`] and [`SessionBuilder::pool_timeout`] |
//! | `auto_decompress` | [`SessionBuilder::decompress`], with a feature for each coding |
//! | `requote_redirect_url` | none: a `Location` is read by the URL standard, which leaves its escapes as they are |
//! | `trace_configs` | [`Response::timings`] of a request, [`SessionBuilder::middleware`] around it, [`SessionHolder::stats`] of the pool; no events of a single connection |
//! | `read_bufsize` | none over HTTP/1, where no more than one read of up to 408 KiB is ahead; over HTTP/2 [`SessionBuilder::http2_initial_stream_window_size`] |
//! | `max_line_size`, `max_field_size` | [`SessionBuilder::http1_max_header_size`] and [`SessionBuilder::http2_max_header_list_size`], each for the head as a whole |
//! | `max_headers` | [`SessionBuilder::http1_max_headers`] |
//! | `fallback_charset_resolver` | [`Response::text_with_charset`] where the body is read; a charset is not guessed |
//! | `middlewares` | [`SessionBuilder::middleware`], the first one outermost |
//! | `ssl_shutdown_timeout` | none: a close shuts all idle connections down at once, within a second; [`SessionHolder::close_session_within`] limits the wait for those in use |
//!
//! ## `ClientSession.request`, `get`, `post`, …
//!
//! | argument | here |
//! |---|---|
//! | `method`, `str_or_url` | [`Session::request`], [`Session::get`] and so on, or the same of a [`SessionHolder`] or a [`SessionContainer`] |
//! | `params` | [`RequestBuilder::query`]; for all requests [`SessionBuilder::default_query`] |
//! | `data` | [`RequestBuilder::body`] for bytes, text, files and streams, [`RequestBuilder::form`] for pairs, [`RequestBuilder::multipart`] for a `FormData` with files |
//! | `json` | [`RequestBuilder::json`] |
//! | `cookies` | [`RequestBuilder::cookie`], which never enters the store |
//! | `headers` | [`RequestBuilder::header`] adds, [`RequestBuilder::headers`] replaces |
//! | `skip_auto_headers` | [`RequestBuilder::skip_auto_headers`], which leaves out the session's default headers as well |
//! | `auth` | [`RequestBuilder::basic_auth`], [`RequestBuilder::bearer_auth`] |
//! | `allow_redirects` | [`RequestBuilder::redirect`] with [`RedirectPolicy::none`] |
//! | `max_redirects` | [`RequestBuilder::redirect`] with [`RedirectPolicy::limited`] |
//! | `compress` | none: compress the body yourself and set its `Content-Encoding` |
//! | `chunked` | none: what knows its length is sent with it, [`Body::wrap_stream`] in chunks |
//! | `expect100` | [`RequestBuilder::expect_continue`] |
//! | `raise_for_status` | [`RequestBuilder::raise_for_status`], [`RequestBuilder::raise_for_status_if`]; later, [`Response::error_for_status`] |
//! | `read_until_eof` | none: a body without a length ends with its connection (RFC 9112 §6.3) |
//! | `proxy`, `proxy_auth`, `proxy_headers` | not here yet: proxies. Own connector |
//! | `timeout` | each of the six limits on its own: [`RequestBuilder::timeout`] leaves the others as they are |
//! | `ssl`, `verify_ssl`, `fingerprint`, `ssl_context`, `server_hostname` | none for a request: connections are shared. A session of its own with its own connector |
//! | `trace_request_ctx` | [`RequestBuilder::extension`]; a [`Middleware`] sees it |
//! | `read_bufsize`, `max_line_size`, `max_field_size`, `max_headers` | settings of the session, as above: they belong to a connection |
//! | `auto_decompress` | [`RequestBuilder::decompress`] |
//! | `middlewares` | none for a request: a [`Middleware`] of the session can look at the request |
//! | `upload_tracker` | [`Body::on_progress`] |
//!
//! ## `TCPConnector` and `UnixConnector`
//!
//! | argument | here |
//! |---|---|
//! | `ssl`, `ssl_context`, `verify_ssl`, `fingerprint` | [`SessionBuilder::tls_root_pem`] trusts a certificate; all else: own connector |
//! | `ssl_shutdown_timeout`, `loop` | as above |
//! | `use_dns_cache`, `ttl_dns_cache`, `dns_cache_max_size` | none: each connect asks the system's resolver. Own connector with a resolver that keeps what it found |
//! | `resolver` | own connector: hyper-util's `HttpConnector::new_with_resolver` |
//! | `family` | own connector, with a resolver that gives addresses of that family |
//! | `local_addr` | own connector: `HttpConnector::set_local_address` |
//! | `happy_eyeballs_delay` | both families are tried side by side (RFC 8305), the second after 300 ms; own connector: `HttpConnector::set_happy_eyeballs_timeout` |
//! | `interleave` | none: the addresses of a family are tried in their order |
//! | `socket_factory` | own connector |
//! | `keepalive_timeout` | [`SessionBuilder::pool_idle_timeout`]: 50 s, or less where the server says so |
//! | `force_close` | [`SessionBuilder::force_close`] |
//! | `limit` | [`SessionBuilder::pool_max_connections`]: 100, at every instant, idle ones included |
//! | `limit_per_host` | [`SessionBuilder::pool_max_per_origin`]: a scheme, host and port. `None` for 0 |
//! | `enable_cleanup_closed` | none: a connection is closed with its socket |
//! | `timeout_ceil_threshold` | none: nothing to set |
//! | `path` | own connector: [`BoxConnection::from_io`] of a `tokio::net::UnixStream` |
//!
//! ## `ClientTimeout`
//!
//! `None` lifts a limit; the names are those of [`RequestBuilder`] as well.
//!
//! | argument | here |
//! |---|---|
//! | `total` | [`SessionBuilder::timeout`]; none by default (5 minutes there) |
//! | `connect` | [`SessionBuilder::pool_timeout`] for the queue and [`SessionBuilder::connect_timeout`] for a new connection |
//! | `sock_connect` | [`SessionBuilder::connect_timeout`], with the resolver and TLS |
//! | `sock_read` | [`SessionBuilder::head_timeout`] up to the head, [`SessionBuilder::read_timeout`] between two reads of the body |
//! | `ceil_threshold` | none: nothing to set |
//!
//! [`SessionBuilder::write_timeout`], for a peer that takes no more of the request's body, has no
//! counterpart there.
//!
//! # reqwest
//!
//! A `Client` is a [`Session`], which can be closed as well.
//!
//! ## `ClientBuilder`
//!
//! | method | here |
//! |---|---|
//! | `new` | [`SessionHolder::builder`], [`Session::builder`] |
//! | `build` | [`SessionBuilder::build`], which gives a holder, or [`SessionBuilder::open`], which gives a session |
//! | `user_agent` | [`SessionBuilder::user_agent`] |
//! | `default_headers` | [`SessionBuilder::default_headers`]; to another origin, a redirect takes none of them along but [harmless ones](crate#redirects) |
//! | `cookie_store` | [`SessionBuilder::cookies`] |
//! | `cookie_provider` | [`SessionBuilder::cookie_store`] with a [`CookieJar`](crate::CookieJar) or any [`CookieStore`] |
//! | `gzip`, `brotli`, `zstd`, `deflate` | features of these names; [`SessionBuilder::decompress`] for all that are on. For some: name them in an `Accept-Encoding` of [`SessionBuilder::default_headers`] |
//! | `no_gzip`, `no_brotli`, `no_zstd`, `no_deflate` | [`SessionBuilder::decompress`], for all of them |
//! | `redirect` | [`SessionBuilder::redirect`] with a [`RedirectPolicy`] |
//! | `referer` | [`SessionBuilder::referer`]; to another origin it is that of the URL, not the whole |
//! | `retry` | [`SessionBuilder::retry`] with a [`RetryPolicy`], which waits between tries. What an HTTP/2 peer has not looked at is sent again without one |
//! | `proxy`, `no_proxy` | not here yet: proxies; the environment is not read. Own connector |
//! | `timeout` | [`SessionBuilder::timeout`] |
//! | `read_timeout` | [`SessionBuilder::read_timeout`] for the body, [`SessionBuilder::head_timeout`] before it; 300 s each by default |
//! | `connect_timeout` | [`SessionBuilder::connect_timeout`]; 30 s by default |
//! | `connection_verbose` | none: own connector around [`DefaultConnector`] that logs |
//! | `pool_idle_timeout` | [`SessionBuilder::pool_idle_timeout`]; 50 s by default |
//! | `pool_max_idle_per_host` | [`SessionBuilder::pool_max_idle_per_origin`]; and [`SessionBuilder::pool_max_connections`] and [`SessionBuilder::pool_max_per_origin`] for all, in use or idle |
//! | `http1_title_case_headers` | none: names are sent in lower case, and mean the same in any (RFC 9110 §5.1) |
//! | `http1_allow_obsolete_multiline_headers_in_responses`, `http1_ignore_invalid_headers_in_responses`, `http1_allow_spaces_after_header_name_in_responses`, `http09_responses` | none: what breaks RFC 9112 fails with [`ErrorKind::Protocol`] |
//! | `http1_max_headers` | [`SessionBuilder::http1_max_headers`] |
//! | `http1_only` | [`SessionBuilder::http1_only`] |
//! | `http2_prior_knowledge` | [`SessionBuilder::http2_prior_knowledge`] |
//! | `http2_initial_stream_window_size` | [`SessionBuilder::http2_initial_stream_window_size`] |
//! | `http2_initial_connection_window_size` | [`SessionBuilder::http2_initial_connection_window_size`] |
//! | `http2_adaptive_window` | [`SessionBuilder::http2_adaptive_window`] |
//! | `http2_max_frame_size` | [`SessionBuilder::http2_max_frame_size`] |
//! | `http2_max_header_list_size` | [`SessionBuilder::http2_max_header_list_size`] |
//! | `http2_keep_alive_interval` | [`SessionBuilder::http2_keep_alive_interval`] |
//! | `http2_keep_alive_timeout` | [`SessionBuilder::http2_keep_alive_timeout`] |
//! | `http2_keep_alive_while_idle` | [`SessionBuilder::http2_keep_alive_while_idle`] |
//! | `http3_prior_knowledge`, `http3_max_idle_timeout`, `http3_stream_receive_window`, `http3_conn_receive_window`, `http3_send_window`, `http3_congestion_bbr`, `http3_max_field_section_size`, `http3_send_grease`, `tls_early_data` | none: HTTP/3 is not spoken |
//! | `tcp_nodelay` | on; own connector: `HttpConnector::set_nodelay` |
//! | `local_address`, `interface` | own connector: `HttpConnector::set_local_address`, `set_interface` |
//! | `tcp_keepalive`, `tcp_keepalive_interval`, `tcp_keepalive_retries`, `tcp_user_timeout` | off; own connector: `HttpConnector::set_keepalive` and so on |
//! | `unix_socket`, `windows_named_pipe` | own connector: [`BoxConnection::from_io`] of the stream |
//! | `tls_certs_merge`, `add_root_certificate` | [`SessionBuilder::tls_root_pem`] |
//! | `tls_certs_only`, `tls_crls_only`, `add_crl`, `add_crls`, `identity`, `tls_sni`, `tls_version_min`, `min_tls_version`, `tls_version_max`, `max_tls_version`, `tls_sslkeylogfile` | own connector, with a TLS set-up of its own |
//! | `tls_danger_accept_invalid_certs`, `danger_accept_invalid_certs`, `tls_danger_accept_invalid_hostnames`, `danger_accept_invalid_hostnames` | own connector; for a test server [`SessionBuilder::tls_root_pem`] will do |
//! | `tls_backend_native`, `use_native_tls` | the feature `native-tls`, which is the only one |
//! | `tls_backend_rustls`, `use_rustls_tls`, `tls_backend_preconfigured`, `use_preconfigured_tls` | own connector: hyper-rustls' `HttpsConnector`, or that of hyper-tls |
//! | `tls_info` | none: the peer's certificate is not shown |
//! | `https_only` | [`SessionBuilder::https_only`] |
//! | `hickory_dns`, `no_hickory_dns` | none: the system's resolver is used. Own connector |
//! | `resolve`, `resolve_to_addrs`, `dns_resolver` | own connector: `HttpConnector::new_with_resolver` |
//! | `connector_layer` | a layer around [`DefaultConnector`], given to [`SessionBuilder::connector`] |
//!
//! ## `RequestBuilder`
//!
//! | method | here |
//! |---|---|
//! | `from_parts` | [`Session::execute`] takes an [`http::Request`] |
//! | `header` | [`RequestBuilder::header`] |
//! | `headers` | [`RequestBuilder::headers`] |
//! | `basic_auth` | [`RequestBuilder::basic_auth`]; a colon in the user name is an error |
//! | `bearer_auth` | [`RequestBuilder::bearer_auth`] |
//! | `body` | [`RequestBuilder::body`] |
//! | `timeout` | [`RequestBuilder::timeout`], and the five other limits |
//! | `multipart` | [`RequestBuilder::multipart`] with a [`Form`](crate::multipart::Form) |
//! | `query` | [`RequestBuilder::query`] |
//! | `version` | [`RequestBuilder::version`]: 1.0 or 1.1, where HTTP/1 is spoken |
//! | `form` | [`RequestBuilder::form`] |
//! | `json` | [`RequestBuilder::json`] |
//! | `build` | [`RequestBuilder::build`], an [`http::Request`] |
//! | `build_split` | none: keep a clone of the [`Session`] |
//! | `send` | [`RequestBuilder::send`] |
//! | `try_clone` | [`RequestBuilder::try_clone`] |
//!
//! # A connector of your own
//!
//! A [`Connector`] is any `tower_service::Service<Uri>` of the usual shape. hyper-util's
//! `HttpConnector` has the settings of TCP; for https, put it into the `HttpsConnector` of hyper-tls
//! or hyper-rustls, after `enforce_http(false)`.
//!
//! ```
//! use std::time::Duration;
//! use hyper_session::{Session, SessionHolder};
//! use hyper_util::client::legacy::connect::HttpConnector;
//!
//! let mut tcp = HttpConnector::new();
//! tcp.set_nodelay(true);
//! tcp.set_keepalive(Some(Duration::from_secs(60)));
//! tcp.set_local_address(Some([127, 0, 0, 1].into()));
//! let holder = SessionHolder::builder().connector(tcp).build()?;
//! # drop(holder);
//! # Ok::<(), hyper_session::Error>(())
//! ```
#![cfg_attr(
    not(feature = "full"),
    allow(
        rustdoc::broken_intra_doc_links,
        reason = "some of what it names is there with a feature"
    )
)]

#[cfg(doc)]
use crate::{
    body::Body,
    builder::SessionBuilder,
    connect::{BoxConnection, Connector, DefaultConnector},
    container::SessionContainer,
    cookies::CookieStore,
    error::ErrorKind,
    holder::SessionHolder,
    middleware::Middleware,
    redirect::RedirectPolicy,
    request::RequestBuilder,
    response::Response,
    retry::RetryPolicy,
    session::Session,
};
