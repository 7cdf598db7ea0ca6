//! `RequestBuilder`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::header::{AUTHORIZATION, EXPECT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use serde::Serialize;

use crate::body::Body;
#[cfg(feature = "multipart")]
use crate::body::multipart::Form;
use crate::config::{OwnTimeouts, RaiseForStatus};
use crate::credentials::Credentials;
use crate::error::{Error, Result};
use crate::pipeline::call::Call;
use crate::pipeline::client::Client;
use crate::pipeline::cookies::add_own;
use crate::pipeline::headers::replace;
use crate::pipeline::skip::skippable;
use crate::pool::Lease;
use crate::redirect::RedirectPolicy;
use crate::response::Response;
use crate::retry::RetryPolicy;
use crate::url::{BaseUrl, Location};

/// What finds the session of a request at `send()`: a holder.
pub(crate) trait Bind: Send + Sync {
    /// The open session, if there is one.
    fn bind_now(&self) -> Option<Bound>;
    /// The open session, or what the holder does when there is none.
    fn bind(self: Arc<Self>) -> BoxFuture<'static, Result<Bound>>;
    /// The base URL of the requests of a holder that is not open.
    fn base(&self) -> Option<BaseUrl>;
    /// The headers that those do not get by themselves.
    fn skipped_headers(&self) -> &[HeaderName];
}

/// A session, held open.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) client: Arc<Client>,
    pub(crate) lease: Option<Lease>,
}

#[derive(Clone)]
enum Handle {
    Session(Arc<Client>),
    Holder(Arc<dyn Bind>),
}

/// A request in the making.
///
/// Never fails on the way: what is wrong with it is reported by [`send`](Self::send) or
/// [`build`](Self::build), before anything goes out, and names what was wrong.
///
/// # Examples
///
/// ```
/// # use hyper_session::{Error, SessionHolder};
/// # async fn example() -> Result<(), Error> {
/// let api: SessionHolder = SessionHolder::builder().base_url("http://localhost:8080/v1").build()?;
/// let found = api
///     .get("/search")
///     .query(&[("q", "session")])
///     .header("accept", "application/json")
///     .send()
///     .await?;
/// assert!(found.status().is_success());
/// # Ok(())
/// # }
/// ```
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    handle: Handle,
    call: Result<Box<Call>>,
}

impl RequestBuilder {
    pub(crate) fn for_session(client: Arc<Client>, method: Method, url: &str) -> Self {
        Self::new(Handle::Session(client), method, url)
    }

    pub(crate) fn for_holder(holder: Arc<dyn Bind>, method: Method, url: &str) -> Self {
        Self::new(Handle::Holder(holder), method, url)
    }

    fn new(handle: Handle, method: Method, url: &str) -> Self {
        let call = Location::parse(url).map(|location| Call::new(method, location));
        Self { handle, call }
    }

    fn change(mut self, change: impl FnOnce(&mut Call) -> Result<()>) -> Self {
        if let Ok(call) = &mut self.call
            && let Err(error) = change(call)
        {
            self.call = Err(error);
        }
        self
    }

    /// Adds to the URL's query what serde makes of `query`: pairs, a map or a flat struct.
    ///
    /// May be called several times. `Option`s that are `None` are left out.
    pub fn query<T: Serialize + ?Sized>(self, query: &T) -> Self {
        self.change(|call| {
            let pairs = serde_urlencoded::to_string(query).map_err(|error| {
                Error::builder("the query cannot be flattened into pairs").with_source(error)
            })?;
            if !call.query.is_empty() && !pairs.is_empty() {
                call.query.push('&');
            }
            call.query.push_str(&pairs);
            Ok(())
        })
    }

    /// Adds a header, beside those of the same name that the request has.
    ///
    /// A default header of that name is then left out. A `Transfer-Encoding` can only be `chunked`: the
    /// body then goes out in chunks, whatever is known of its length. A `Host` is one host, with a port or
    /// without (RFC 9110 §7.2); over HTTP/2 it becomes `:authority`.
    pub fn header<K, V>(self, name: K, value: V) -> Self
    where
        HeaderName: TryFrom<K>,
        <HeaderName as TryFrom<K>>::Error: Into<http::Error>,
        HeaderValue: TryFrom<V>,
        <HeaderValue as TryFrom<V>>::Error: Into<http::Error>,
    {
        self.change(|call| {
            let name = HeaderName::try_from(name)
                .map_err(|error| Error::builder("invalid header name").with_source(error.into()))?;
            let value = HeaderValue::try_from(value).map_err(|error| {
                Error::builder(format!("invalid value of the header `{name}`"))
                    .with_source(error.into())
            })?;
            call.outgoing.headers.append(name, value);
            Ok(())
        })
    }

    /// Sets headers, in place of those of the same names that the request has.
    pub fn headers(self, headers: HeaderMap) -> Self {
        self.change(|call| {
            replace(&mut call.outgoing.headers, headers);
            Ok(())
        })
    }

    /// Leaves out headers that the request would get by itself: the session's default ones and those of
    /// [`SessionBuilder::skip_auto_headers`](crate::SessionBuilder::skip_auto_headers), which says more.
    ///
    /// May be called several times. Those that the request brings itself are sent.
    ///
    /// # Examples
    ///
    /// ```
    /// use hyper_session::header::{ACCEPT_ENCODING, AUTHORIZATION};
    ///
    /// # async fn example(session: hyper_session::Session) -> hyper_session::Result<()> {
    /// // The session's default `Authorization` is not for this one.
    /// let health = session.get("/health").skip_auto_headers([AUTHORIZATION, ACCEPT_ENCODING]);
    /// health.send().await?.error_for_status().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn skip_auto_headers<I>(self, names: I) -> Self
    where
        I: IntoIterator,
        HeaderName: TryFrom<I::Item>,
        <HeaderName as TryFrom<I::Item>>::Error: Into<http::Error>,
    {
        self.change(|call| {
            let names = skippable(names)?;
            let before = call
                .options
                .skipped_headers
                .iter()
                .flat_map(|names| &**names);
            let all = before.cloned().chain(names).collect();
            call.options.skipped_headers = Some(all);
            Ok(())
        })
    }

    /// Adds a cookie to this request, beside those that it has. It is not kept in the session's store.
    ///
    /// It goes before a stored one of its name, and stays behind when a redirect leads to another
    /// origin. Visible ASCII without `;`, blanks within the value; nothing is encoded.
    pub fn cookie(self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.change(|call| add_own(&mut call.outgoing.headers, name.as_ref(), value.as_ref()))
    }

    /// Sets `Basic` credentials (RFC 7617), in place of any others.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "the field's signature: reqwest's users pass `Some(password)`"
    )]
    pub fn basic_auth(self, username: impl AsRef<str>, password: Option<impl AsRef<str>>) -> Self {
        self.change(|call| {
            let password = password.as_ref().map(AsRef::as_ref);
            let credentials = Credentials::basic(username.as_ref(), password)?;
            call.outgoing
                .headers
                .insert(AUTHORIZATION, credentials.value);
            Ok(())
        })
    }

    /// Sets a `Bearer` token (RFC 6750), in place of any other credentials.
    pub fn bearer_auth(self, token: impl fmt::Display) -> Self {
        self.change(|call| {
            let credentials = Credentials::bearer(token)?;
            call.outgoing
                .headers
                .insert(AUTHORIZATION, credentials.value);
            Ok(())
        })
    }

    /// Sets the body, and the `Content-Type` if the body knows its own, unless the request has one.
    pub fn body(self, body: impl Into<Body>) -> Self {
        self.change(|call| {
            call.outgoing.body = body.into();
            call.content_type = None;
            Ok(())
        })
    }

    /// Sets the body to `value` in JSON, and the `Content-Type`, unless the request has one.
    #[cfg(feature = "json")]
    #[cfg_attr(docsrs, doc(cfg(feature = "json")))]
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Self {
        self.change(|call| {
            let body = serde_json::to_vec(value).map_err(|error| {
                Error::builder("the body cannot be written as JSON").with_source(error)
            })?;
            call.outgoing.body = body.into();
            call.content_type = Some("application/json");
            Ok(())
        })
    }

    /// Sets the body to `form` as a browser's form would send it, and the `Content-Type`, unless
    /// the request has one.
    pub fn form<T: Serialize + ?Sized>(self, form: &T) -> Self {
        self.change(|call| {
            let body = serde_urlencoded::to_string(form).map_err(|error| {
                Error::builder("the form cannot be flattened into pairs").with_source(error)
            })?;
            call.outgoing.body = body.into();
            call.content_type = Some("application/x-www-form-urlencoded");
            Ok(())
        })
    }

    /// Sets the body to a form with files, and the `Content-Type`, unless the request has one.
    ///
    /// To be told how far it has come, send the form as a
    /// [`body`](Self::body): `form.into_body()?.on_progress(…)`, which brings its type along.
    #[cfg(feature = "multipart")]
    #[cfg_attr(docsrs, doc(cfg(feature = "multipart")))]
    pub fn multipart(self, form: Form) -> Self {
        self.change(|call| {
            call.outgoing.body = form.into_body()?;
            call.content_type = None;
            Ok(())
        })
    }

    /// Limits the whole request: queueing, connecting, sending, and reading the body to its end.
    ///
    /// `None` lifts the session's limit, say for one long download. Default: the session's `timeout`.
    pub fn timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.limit(|own| own.total = Some(timeout.into()))
    }

    /// Limits the wait in the queue for a connection. `None`: no limit. Default: the session's
    /// [`pool_timeout`](crate::SessionBuilder::pool_timeout).
    pub fn pool_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.limit(|own| own.pool = Some(timeout.into()))
    }

    /// Limits resolving, connecting, TLS and the preface of HTTP/2, if a connection is made for this
    /// request. `None`: no limit.
    /// Default: the session's [`connect_timeout`](crate::SessionBuilder::connect_timeout), which limits
    /// TCP's part in any case.
    ///
    /// A connect that others wait for as well has the limit of the request that began it.
    pub fn connect_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.limit(|own| own.connect = Some(timeout.into()))
    }

    /// Limits the wait between two parts of the request's body. `None`: no limit. Default: the session's
    /// [`write_timeout`](crate::SessionBuilder::write_timeout).
    pub fn write_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.limit(|own| own.write = Some(timeout.into()))
    }

    /// Limits the wait for the response's head. `None`: no limit. Default: the session's
    /// [`head_timeout`](crate::SessionBuilder::head_timeout).
    pub fn head_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.limit(|own| own.head = Some(timeout.into()))
    }

    /// Limits the wait between two reads of the response's body. `None`: no limit. Default: the session's
    /// [`read_timeout`](crate::SessionBuilder::read_timeout).
    pub fn read_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.limit(|own| own.read = Some(timeout.into()))
    }

    /// Sets a time limit of its own, and leaves the others as they are.
    fn limit(self, set: impl FnOnce(&mut OwnTimeouts)) -> Self {
        self.change(|call| {
            set(call.options.timeouts.get_or_insert_default());
            Ok(())
        })
    }

    /// Sets whether 4xx and 5xx are errors. Default: the session's setting.
    pub fn raise_for_status(self, raise: bool) -> Self {
        self.change(|call| {
            call.options.raise_for_status = Some(raise.into());
            Ok(())
        })
    }

    /// Sets which statuses are errors, in place of the session's setting.
    pub fn raise_for_status_if(
        self,
        refuses: impl Fn(StatusCode) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.change(|call| {
            call.options.raise_for_status = Some(RaiseForStatus::If(Arc::new(refuses)));
            Ok(())
        })
    }

    /// Sets which redirects are followed. Default: the session's setting.
    pub fn redirect(self, policy: RedirectPolicy) -> Self {
        self.change(|call| {
            call.options.redirect = Some(Arc::new(policy));
            Ok(())
        })
    }

    /// Sets whether the request is tried again, and when. Default: the session's setting.
    ///
    /// Clones of a policy share their budget: make one for all requests that it is for.
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.change(|call| {
            call.options.retry = Some(Arc::new(policy));
            Ok(())
        })
    }

    /// Sets whether the response's codings are asked for and undone, see
    /// [`SessionBuilder::decompress`](crate::SessionBuilder::decompress). Default: the session's setting.
    pub fn decompress(self, decompress: bool) -> Self {
        self.change(|call| {
            call.options.decompress = Some(decompress);
            Ok(())
        })
    }

    /// Limits the length of the response's body, see
    /// [`SessionBuilder::max_body`](crate::SessionBuilder::max_body). In bytes; `None`: no limit.
    /// Default: the session's limit.
    pub fn max_body(self, bytes: impl Into<Option<u64>>) -> Self {
        self.change(|call| {
            call.options.max_body = Some(bytes.into().unwrap_or(u64::MAX));
            Ok(())
        })
    }

    /// Says that doing this request twice does no harm, whatever its method.
    ///
    /// It may then be sent once more, if the connection that it went out on had died in the pool. So
    /// are requests of idempotent methods (RFC 9110 §9.2.2) and those with an `Idempotency-Key`
    /// header. The body must be one that can be sent again, see [`Body::try_clone`].
    pub fn idempotent(self) -> Self {
        self.change(|call| {
            call.outgoing.idempotent = true;
            Ok(())
        })
    }

    /// Sends the body only when the server has asked for it (`Expect: 100-continue`, RFC 9110
    /// §10.1.1), or has not said anything for a second. Default: it is sent at once.
    ///
    /// A server that answers otherwise, say with 401 or 413, is spared the body; an HTTP/1 connection is then
    /// closed after the answer. Without a body nothing is expected. Over HTTP/2 the body is sent
    /// at once, as the answer `100` is not heard there.
    pub fn expect_continue(self) -> Self {
        self.change(|call| {
            let value = HeaderValue::from_static("100-continue");
            call.outgoing.headers.insert(EXPECT, value);
            Ok(())
        })
    }

    /// Adds a value to the request's extensions, in place of an earlier one of its type: for middleware, and
    /// for what reads the extensions of an `http::Request`. Nothing of it is sent.
    pub fn extension<T: Clone + Send + Sync + 'static>(self, value: T) -> Self {
        self.change(|call| {
            call.outgoing.extensions.insert(value);
            Ok(())
        })
    }

    /// Sets the HTTP version to speak over HTTP/1: 1.0 or 1.1. Default: 1.1.
    pub fn version(self, version: Version) -> Self {
        self.change(|call| {
            call.outgoing.version = version;
            Ok(())
        })
    }

    /// Makes the request without sending it.
    ///
    /// Its URL is resolved against the base URL; the session's default headers are added when it
    /// is sent, by [`Session::execute`](crate::Session::execute) or as a `Service`. The options of
    /// this builder (timeout, `raise_for_status`, redirects) travel in its extensions. If its URI is
    /// changed to one of another origin, the `Authorization` that was made of a URL's user info is left out.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Url`](crate::ErrorKind::Url) or [`ErrorKind::Builder`](crate::ErrorKind::Builder).
    pub fn build(self) -> Result<Request<Body>> {
        let mut call = self.call?;
        let mut complete_for =
            |client: &Client| call.complete(client.base.as_ref(), &client.defaults.skipped_headers);
        match &self.handle {
            Handle::Session(client) => complete_for(client),
            Handle::Holder(holder) => match holder.bind_now() {
                Some(bound) => complete_for(&bound.client),
                None => call.complete(holder.base().as_ref(), holder.skipped_headers()),
            },
        }?;
        Ok(call.into_http())
    }

    /// Returns the same request once more, if its body can be, and it has no error already.
    pub fn try_clone(&self) -> Option<Self> {
        Some(Self {
            handle: self.handle.clone(),
            call: Ok(self.call.as_ref().ok()?.try_clone()?),
        })
    }

    /// Sends the request and returns when the head of the response is there.
    ///
    /// # Errors
    ///
    /// What was wrong with the request, before anything went out; then whatever
    /// [`ErrorKind`](crate::ErrorKind) names. With `raise_for_status`, 4xx and 5xx as well, or what
    /// `raise_for_status_if` refuses.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits for a connection: nothing was sent, its place in the queue goes to the
    /// next, and a connection that it was making is closed. Dropped later: the connection is
    /// closed, as HTTP/1 knows no other way to call a request off; the server may have received
    /// it. In any case its permit is free when the drop returns.
    pub async fn send(self) -> Result<Response> {
        let call = self.call?;
        let Bound { client, lease } = match self.handle {
            Handle::Session(client) => Bound {
                client,
                lease: None,
            },
            Handle::Holder(holder) => match holder.bind_now() {
                Some(bound) => bound,
                None => holder.bind().await?,
            },
        };
        let answered = client.execute(call).await;
        drop(lease);
        answered
    }
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("RequestBuilder");
        match &self.call {
            Ok(call) => debug
                .field("method", &call.outgoing.method)
                .field("headers", &call.outgoing.headers.keys().collect::<Vec<_>>())
                .field("body", &call.outgoing.body),
            Err(error) => debug.field("error", error),
        };
        debug.finish_non_exhaustive()
    }
}
