//! `SessionBuilder`, and the recipe that it becomes.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CONNECTION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::config::{PoolConfig, RaiseForStatus, RequestDefaults, WhenClosed};
use crate::connect::{ConnectOptions, Connector, DefaultConnector, Dial};
use crate::cookies::CookieStore;
use crate::error::{BoxError, Error, ErrorKind, Result};
use crate::middleware::Middleware;
use crate::pipeline::check::{FRAMING, check_host};
use crate::pipeline::client::{Client, Hooks};
use crate::pipeline::headers::{mark_sensitive, replace};
use crate::pool::{Owner, Pool};
use crate::retry::RetryPolicy;
use crate::session::Session;
use crate::url::BaseUrl;

type MakeConnector<C> = Box<dyn FnOnce(&ConnectOptions) -> Result<C> + Send + Sync>;
type OpenHook = Arc<dyn Fn(Session) -> BoxFuture<'static, Result<Session, BoxError>> + Send + Sync>;

/// The settings of a session, and of the holder that opens it.
///
/// Made by [`SessionHolder::builder`](crate::SessionHolder::builder) or [`Session::builder`]. It has
/// two ends: `build()` gives a [`SessionHolder`](crate::SessionHolder) and opens nothing;
/// [`open`](Self::open) gives a bare, open [`Session`]. Only they check what was set.
#[must_use = "a builder does nothing until `build` or `open`"]
pub struct SessionBuilder<C = DefaultConnector> {
    pub(crate) pool: PoolConfig,
    pub(crate) defaults: RequestDefaults,
    /// The first option that was refused.
    refused: Option<Error>,
    base_url: Option<String>,
    user_agent: Option<Result<HeaderValue>>,
    tls_root_pems: Vec<Vec<u8>>,
    make_connector: MakeConnector<C>,
    force_close: bool,
    when_closed: WhenClosed,
    on_open: Option<OpenHook>,
    pub(crate) hooks: Hooks,
}

/// Everything that is needed to open a session, any number of times.
pub(crate) struct Recipe {
    pool: PoolConfig,
    dial: Arc<dyn Dial>,
    defaults: RequestDefaults,
    base: Option<BaseUrl>,
    pub(crate) when_closed: WhenClosed,
    on_open: Option<OpenHook>,
    hooks: Hooks,
}

impl Session {
    /// Returns a builder with all defaults.
    pub fn builder() -> SessionBuilder {
        SessionBuilder::new()
    }
}

impl SessionBuilder {
    pub(crate) fn new() -> Self {
        Self {
            pool: PoolConfig::default(),
            defaults: RequestDefaults::default(),
            refused: None,
            base_url: None,
            user_agent: None,
            tls_root_pems: Vec::new(),
            make_connector: Box::new(DefaultConnector::with_options),
            force_close: false,
            when_closed: WhenClosed::default(),
            on_open: None,
            hooks: Hooks::default(),
        }
    }

    /// Trusts the certificates in `pem` as well, one or more in PEM. Default: the platform's only.
    ///
    /// Refused by `build` and `open` where no TLS feature is on.
    pub fn tls_root_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls_root_pems.push(pem.into());
        self
    }
}

impl<C: Connector> SessionBuilder<C> {
    /// Makes connections by `connector`.
    ///
    /// `tls_*` options are those of the default connector: together with another one they are
    /// refused.
    pub fn connector<D: Connector>(self, connector: D) -> SessionBuilder<D> {
        SessionBuilder {
            pool: self.pool,
            defaults: self.defaults,
            refused: self.refused,
            base_url: self.base_url,
            user_agent: self.user_agent,
            tls_root_pems: self.tls_root_pems,
            make_connector: Box::new(move |options| {
                if options.tls_root_pems.is_empty() {
                    return Ok(connector);
                }
                Err(Error::builder(
                    "tls_root_pem is for the default connector, not for the one that was set",
                ))
            }),
            force_close: self.force_close,
            when_closed: self.when_closed,
            on_open: self.on_open,
            hooks: self.hooks,
        }
    }

    /// Sets the URL that relative ones are appended to. Default: none.
    ///
    /// Its path is never lost: with `http://host/v4`, `/users` and `users` both are
    /// `http://host/v4/users`, `""` is the base itself, `?a=b` adds a query to it, and `..` may not
    /// leave `/v4`. A query or a fragment in it is refused. Its user info becomes the credentials of
    /// requests to its origin (scheme, host and port), however their URL is named, that have neither an
    /// `Authorization` nor a user info of their own; before that of the default headers.
    ///
    /// A reference that a server gave (in a `Link` header, or as the `next` of a page) is relative to
    /// the page that it was on: [`response.url().join(reference)`](crate::Response::url) is where it leads.
    ///
    /// A text that becomes part of a path is for you to encode first (say, with the crate
    /// `percent-encoding`): a `/`, `?`, `#`, `%` or `..` in it would lead elsewhere. What
    /// goes into a query by [`RequestBuilder::query`](crate::RequestBuilder::query) is encoded there.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// Sets headers for every request that does not bring its own of that name, in place of earlier
    /// ones of the same names. `Content-Length` and `Transfer-Encoding` are refused, and a `Host` that is
    /// none. Default: none.
    ///
    /// Without one, no `Accept` is sent, which says the same as `*/*` (RFC 9110 §12.5.1); here is where to
    /// set that for a server that insists on it.
    ///
    /// They go with each request, whatever host its URL names, be it a URL that an answer gave, such as the
    /// `Link` to the next page; a redirect takes [harmless ones](crate#redirects) alone to another origin. A secret is
    /// therefore for [`bearer_auth`](Self::bearer_auth), [`basic_auth`](Self::basic_auth) or
    /// [`credentials`](Self::credentials): with a [`base_url`](Self::base_url), these go to its origin and to
    /// trusted ones alone.
    ///
    /// # Examples
    ///
    /// ```
    /// use hyper_session::header::{ACCEPT, ACCEPT_LANGUAGE};
    /// use hyper_session::{HeaderMap, HeaderValue, SessionHolder};
    ///
    /// let json = HeaderValue::from_static("application/json");
    /// let language = HeaderValue::from_static("nl");
    /// let headers = HeaderMap::from_iter([(ACCEPT, json), (ACCEPT_LANGUAGE, language)]);
    /// let holder: SessionHolder = SessionHolder::builder()
    ///     .base_url("http://localhost:8080/v1")
    ///     .default_headers(headers)
    ///     .bearer_auth("opaque")
    ///     .build()?;
    /// # drop(holder);
    /// # Ok::<(), hyper_session::Error>(())
    /// ```
    pub fn default_headers(mut self, headers: HeaderMap) -> Self {
        replace(&mut self.defaults.headers, headers);
        self
    }

    /// Sets the `User-Agent`. Default: none is sent.
    pub fn user_agent<V>(mut self, user_agent: V) -> Self
    where
        HeaderValue: TryFrom<V>,
        <HeaderValue as TryFrom<V>>::Error: Into<http::Error>,
    {
        let value = HeaderValue::try_from(user_agent);
        self.user_agent = Some(value.map_err(|error| {
            Error::builder("user_agent: not a header value").with_source(error.into())
        }));
        self
    }

    /// Keeps cookies in `store`, which several sessions may share. Default: cookies are not kept.
    ///
    /// The cookies that a request brings itself, by its header or by
    /// [`RequestBuilder::cookie`](crate::RequestBuilder::cookie), or else those of the default headers,
    /// go first, in one header with those of the store, and in place of the store's of the same names.
    pub fn cookie_store(self, store: impl CookieStore + 'static) -> Self {
        self.set_cookie_store(Some(store))
    }

    pub(crate) fn set_cookie_store(mut self, store: Option<impl CookieStore + 'static>) -> Self {
        self.defaults.cookies = store.map(|store| Arc::new(store) as Arc<dyn CookieStore>);
        self
    }

    /// Sets whether 4xx and 5xx are errors. Default: `false`.
    ///
    /// The error has the [`status`](Error::status), the [`headers`](Error::headers) and the first 8 KiB of
    /// the [`body`](Error::body), for which it waits at most five seconds.
    pub fn raise_for_status(mut self, raise: bool) -> Self {
        self.defaults.raise_for_status = raise.into();
        self
    }

    /// Sets which statuses are errors, in place of [`raise_for_status`](Self::raise_for_status).
    ///
    /// # Examples
    ///
    /// ```
    /// use hyper_session::{SessionHolder, StatusCode};
    ///
    /// let holder: SessionHolder = SessionHolder::builder()
    ///     .raise_for_status_if(|status| status.is_server_error() || status == StatusCode::FORBIDDEN)
    ///     .build()?;
    /// # drop(holder);
    /// # Ok::<(), hyper_session::Error>(())
    /// ```
    pub fn raise_for_status_if(
        mut self,
        refuses: impl Fn(StatusCode) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.defaults.raise_for_status = RaiseForStatus::If(Arc::new(refuses));
        self
    }

    /// Puts code of yours around each request, inside of what was added before. Default: none.
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        let before = self
            .hooks
            .middleware
            .iter()
            .flat_map(|before| before.iter());
        let all = before.map(Arc::clone).chain([Arc::new(middleware) as _]);
        self.hooks.middleware = Some(all.collect());
        self
    }

    /// Sets which requests are tried again, and when. Default: none,
    /// [`RetryPolicy::none`].
    ///
    /// Besides this, what was never sent goes to another connection by itself, and
    /// [`retry_stale`](Self::retry_stale) is for connections that had died in the pool.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.defaults.retry = policy;
        self
    }

    /// Sets whether the codings of bodies are asked for and undone. Default: `true`.
    ///
    /// Those are `gzip`, `deflate`, `br` and `zstd`, each with the feature of its name (`brotli` for
    /// `br`). They are named in an `Accept-Encoding` header, unless the request or the default headers
    /// have one, or the request has a `Range`. Whoever asked for it: a body is decoded if its
    /// `Content-Encoding` (RFC 9110 §8.4) names nothing else, and four codings at most. Then
    /// `Content-Encoding` and `Content-Length` are taken out of the response's headers, and its
    /// `content_length` is `None`. Left as they are: other bodies; a part of one (206), as only the
    /// whole can be decoded; and where there is no body (HEAD, 204, 304), the headers.
    ///
    /// A body that is not what it says, that ends too early or goes on after its end (but for another member
    /// or frame, and for zeros after `gzip`), fails with [`ErrorKind::Decode`].
    pub fn decompress(mut self, decompress: bool) -> Self {
        self.defaults.reading.decompress = decompress;
        self
    }

    /// Limits the length of a response's body, decoded, in bytes. `None`: no limit.
    /// Default: 1 GiB where all of it is collected, as by `text`, `json` and `bytes`; no limit where it
    /// is read part by part. What is set here holds for both.
    ///
    /// A longer one fails with [`ErrorKind::BodyTooLarge`]. Its connection is closed, over HTTP/2 its
    /// stream reset, unless all of it had come with the head. A decoder needs memory beyond that: 32 KiB of
    /// window for `gzip` and `deflate`, up to 8 MiB for `zstd`, 16 MiB for `br`; and 64 KiB for the next part.
    pub fn max_body(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.defaults.reading.max_body = Some(bytes.into().unwrap_or(u64::MAX));
        self
    }

    /// Limits each whole request, queueing and body included. `None`: no limit. Default: no limit.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.defaults.timeouts.total = timeout.into();
        self
    }

    /// Limits resolving, connecting, TLS and the preface of HTTP/2 together. `None`: no limit.
    /// Default: 30 s.
    pub fn connect_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.defaults.timeouts.connect = timeout.into();
        self
    }

    /// Limits the wait between two parts of a large or streamed request body, of 64 KiB at the most where
    /// it is made of bytes: for the body to give the next one, and the peer to take it. `None`: no limit.
    /// Default: 300 s.
    pub fn write_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.defaults.timeouts.write = timeout.into();
        self
    }

    /// Limits the wait for the response's head, from when the request has gone out. `None`: no limit.
    /// Default: 300 s.
    pub fn head_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.defaults.timeouts.head = timeout.into();
        self
    }

    /// Limits the wait between two reads of a body. `None`: no limit. Default: 300 s.
    pub fn read_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.defaults.timeouts.read = timeout.into();
        self
    }

    /// Limits the wait in the queue for a connection at the pool's limit. `None`: no limit.
    /// Default: 300 s.
    ///
    /// While a connection is being made for the request, alone or for all who wait, its time in the
    /// queue stands still: that is limited by [`connect_timeout`](Self::connect_timeout).
    pub fn pool_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.defaults.timeouts.pool = timeout.into();
        self
    }

    /// Limits the live connections of the session, those being made included. At least 1.
    /// Default: 100.
    ///
    /// What comes beyond waits in order. An idle connection of another origin makes room. One-shots do
    /// not count. While a host's two address families are tried side by side, one of these may have
    /// two sockets for a moment.
    pub fn pool_max_connections(mut self, limit: usize) -> Self {
        self.pool.max_connections = limit;
        self
    }

    /// Limits the live connections to one origin (scheme, host and port), those being made included.
    /// At least 1; `None`: no limit but the total one. Default: `None`.
    ///
    /// Keeps a slow origin from using up the connections that others need.
    pub fn pool_max_per_origin(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.pool.max_per_origin = limit.into();
        self
    }

    /// Limits the idle connections to one origin; what comes back beyond is closed. `None`: no limit.
    /// Default: `None`.
    pub fn pool_max_idle_per_origin(mut self, limit: impl Into<Option<usize>>) -> Self {
        self.pool.max_idle_per_origin = limit.into();
        self
    }

    /// Closes a connection that has idled so long. `None`: never. Default: 50 s.
    ///
    /// What waits costs little: an HTTP/1 connection that has idled for a second or two keeps its socket
    /// and 2 kB, and gets its buffers back with its next request.
    ///
    /// A server's `Keep-Alive: timeout=…` shortens it for its connection, less a second.
    pub fn pool_idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.pool.idle_timeout = timeout.into();
        self
    }

    /// Closes a connection of that age once it is idle, so that new ones follow changes of the DNS;
    /// up to a tenth earlier, so that those opened together do not end together. `None`: never.
    /// Default: never.
    pub fn pool_max_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.pool.max_age = age.into();
        self
    }

    /// Closes a connection after so many answered requests. At least 1; `None`: never.
    /// Default: never.
    pub fn pool_max_requests(mut self, requests: impl Into<Option<u64>>) -> Self {
        self.pool.max_requests = requests.into();
        self
    }

    /// Closes each connection after one request, and says so to the server (`Connection: close`, RFC
    /// 9112 §9.6). Default: `false`.
    pub fn force_close(mut self, force: bool) -> Self {
        self.force_close = force;
        self
    }

    /// Sets whether a request is sent once more, on a new connection, if the pooled one that it went
    /// out on breaks off before any answer. Only done where twice does no harm, see
    /// [`RequestBuilder::idempotent`](crate::RequestBuilder::idempotent). Default: `true`.
    pub fn retry_stale(mut self, retry: bool) -> Self {
        self.pool.retry_stale = retry;
        self
    }

    /// Limits what is read off a dropped body to save its connection, in bytes. 0: nothing.
    /// Default: 64 KiB.
    pub fn pool_drain_bytes(mut self, bytes: u64) -> Self {
        self.pool.drain_bytes = bytes;
        self
    }

    /// Sets what a call through the holder does while no session is open.
    /// Default: [`WhenClosed::OneShot`].
    pub fn when_closed(mut self, when_closed: WhenClosed) -> Self {
        self.when_closed = when_closed;
        self
    }

    /// Runs `hook` on each session that is being opened, one-shots included. It may return another
    /// handle of it, say with default headers of its own, or fail the opening with
    /// [`ErrorKind::Hook`].
    ///
    /// It uses the session that it gets. A call through the holder from inside the hook fails with
    /// [`ErrorKind::Closed`], as the session is not open yet; from a task that the hook spawns and
    /// awaits it would wait for ever. To log in for a token is for a provider of
    /// [`credentials`](Self::credentials): default headers go to every host.
    ///
    /// # Examples
    ///
    /// ```
    /// use hyper_session::{BoxError, HeaderMap, HeaderValue, SessionHolder};
    ///
    /// let holder: SessionHolder = SessionHolder::builder()
    ///     .base_url("http://localhost:8080/v1")
    ///     .on_open(|session| async move {
    ///         let version = session.get("/newest-version").send().await?.text().await?;
    ///         let version = HeaderValue::try_from(version)?;
    ///         let headers = HeaderMap::from_iter([("api-version".parse()?, version)]);
    ///         Ok::<_, BoxError>(session.with_default_headers(headers))
    ///     })
    ///     .build()?;
    /// # drop(holder);
    /// # Ok::<(), hyper_session::Error>(())
    /// ```
    pub fn on_open<F, Fut, E>(mut self, hook: F) -> Self
    where
        F: Fn(Session) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Session, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.on_open = Some(Arc::new(move |session| {
            hook(session)
                .map(|opened| opened.map_err(Into::into))
                .boxed()
        }));
        self
    }

    /// Runs `hook` in an awaited close, once the last call is over: log out, say goodbye. Its
    /// session still sends; no other does any more.
    ///
    /// Not run when the last handle is dropped, when a scope is dropped (its awaited `close` runs it),
    /// or for one-shots.
    pub fn on_close<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Session) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let run = move |client| hook(Session::from_client(client)).boxed();
        self.hooks.on_close = Some(Arc::new(run));
        self
    }

    /// Opens a session without a holder.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Builder`] or [`ErrorKind::Url`] for a setting; [`ErrorKind::Hook`].
    pub async fn open(self) -> Result<Session> {
        let recipe = self.into_recipe()?;
        let session = recipe.prepare();
        recipe.finish_opening(session).await
    }

    /// Keeps what is wrong with an option for the end of the builder.
    pub(crate) fn refuse(&mut self, error: Error) {
        self.refused.get_or_insert(error);
    }

    pub(crate) fn into_recipe(self) -> Result<Recipe> {
        let Self {
            mut pool,
            mut defaults,
            ..
        } = self;
        if let Some(error) = self.refused {
            return Err(error);
        }
        pool.check()?;
        if self.force_close {
            pool.max_requests = Some(1);
            let connection = HeaderValue::from_static("close");
            defaults.headers.insert(CONNECTION, connection);
        }
        let mut framing = FRAMING.iter();
        if let Some(name) = framing.find(|name| defaults.headers.contains_key(*name)) {
            return Err(Error::builder(format!(
                "default_headers: `{name}` is for each request to set"
            )));
        }
        check_host(&defaults.headers).map_err(|error| {
            Error::builder("default_headers: the Host cannot be sent").with_source(error)
        })?;
        if let Some(user_agent) = self.user_agent {
            defaults.headers.insert(USER_AGENT, user_agent?);
        }
        mark_sensitive(&mut defaults.headers);
        let base = self.base_url.as_deref().map(BaseUrl::parse).transpose()?;
        let connector = (self.make_connector)(&ConnectOptions {
            tls_root_pems: self.tls_root_pems,
            connect_timeout: defaults.timeouts.connect,
            protocols: pool.http.protocols,
        })?;
        Ok(Recipe {
            pool,
            dial: Arc::new(connector),
            defaults,
            base,
            when_closed: self.when_closed,
            on_open: self.on_open,
            hooks: self.hooks,
        })
    }
}

impl Recipe {
    pub(crate) fn base(&self) -> Option<&BaseUrl> {
        self.base.as_ref()
    }

    pub(crate) fn skipped_headers(&self) -> &[HeaderName] {
        &self.defaults.skipped_headers
    }

    /// Makes a session that the opening hook has not seen yet.
    pub(crate) fn prepare(&self) -> Session {
        let pool = Pool::new(self.pool.clone(), Arc::clone(&self.dial));
        let (defaults, base) = (self.defaults.clone(), self.base.clone());
        let client = Client::new(Owner::new(pool), defaults, base, self.hooks.clone());
        Session::from_client(Arc::new(client))
    }

    /// Runs the opening hook.
    pub(crate) async fn finish_opening(&self, session: Session) -> Result<Session> {
        let Some(hook) = &self.on_open else {
            return Ok(session);
        };
        hook(session)
            .await
            .map_err(|error| Error::new(ErrorKind::Hook).with_source(error))
    }
}

impl PoolConfig {
    /// Refuses what no pool could work with, or the protocol forbids.
    fn check(&self) -> Result<()> {
        let http2 = &self.http.http2;
        let limits = [
            (
                "pool_max_connections",
                self.max_connections as u64,
                1,
                u64::MAX,
            ),
            (
                "pool_max_per_origin",
                self.max_per_origin.map_or(1, |limit| limit as u64),
                1,
                u64::MAX,
            ),
            (
                "pool_max_requests",
                self.max_requests.unwrap_or(1),
                1,
                u64::MAX,
            ),
            (
                "http1_max_header_size",
                self.http.http1_max_header_size as u64,
                1024,
                u64::MAX,
            ),
            // More would be more than a `HeaderMap` holds.
            (
                "http1_max_headers",
                self.http.http1_max_headers.unwrap_or(1) as u64,
                1,
                1 << 14,
            ),
            (
                "http2_max_connections_per_origin",
                http2.max_connections_per_origin as u64,
                1,
                u64::MAX,
            ),
            // RFC 9113 §6.5.2 and §6.9.
            (
                "http2_initial_stream_window_size",
                http2.initial_stream_window_size.into(),
                1,
                MAX_WINDOW,
            ),
            (
                "http2_initial_connection_window_size",
                http2.initial_connection_window_size.into(),
                0xffff,
                MAX_WINDOW,
            ),
            (
                "http2_max_frame_size",
                http2.max_frame_size.into(),
                1 << 14,
                (1 << 24) - 1,
            ),
        ];
        match limits
            .iter()
            .find(|(_, value, least, most)| value < least || value > most)
        {
            Some((name, value, least, _)) if value < least => Err(Error::builder(format!(
                "{name} must be at least {least}, not {value}"
            ))),
            Some((name, value, _, most)) => Err(Error::builder(format!(
                "{name} must be at most {most}, not {value}"
            ))),
            None => Ok(()),
        }
    }
}

/// The largest window of flow control in HTTP/2.
const MAX_WINDOW: u64 = (1 << 31) - 1;

impl<C> fmt::Debug for SessionBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionBuilder")
            .field("pool", &self.pool)
            .field("timeouts", &self.defaults.timeouts)
            .field("when_closed", &self.when_closed)
            .finish_non_exhaustive()
    }
}
