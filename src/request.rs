//! `RequestBuilder`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version};
use serde::Serialize;

use crate::body::Body;
use crate::error::{Error, Result};
use crate::pipeline::call::{Call, CallOptions, basic_credentials, resolve};
use crate::pipeline::client::Client;
use crate::pool::Lease;
use crate::response::Response;
use crate::url::{BaseUrl, Location};

/// What finds the session of a request at `send()`: a holder.
pub(crate) trait Bind: Send + Sync {
    /// The open session, if there is one.
    fn bind_now(&self) -> Option<Bound>;
    /// The open session, or what the holder does when there is none.
    fn bind(self: Arc<Self>) -> BoxFuture<'static, Result<Bound>>;
    /// The base URL of the requests of a holder that is not open.
    fn base(&self) -> Option<BaseUrl>;
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
    draft: Result<Draft>,
}

struct Draft {
    method: Method,
    location: Location,
    query: String,
    version: Version,
    headers: HeaderMap,
    body: Body,
    /// What the body is, unless the headers say so.
    content_type: Option<&'static str>,
    options: CallOptions,
}

impl RequestBuilder {
    pub(crate) fn for_session(client: Arc<Client>, method: Method, url: &str) -> Self {
        Self::new(Handle::Session(client), method, url)
    }

    pub(crate) fn for_holder(holder: Arc<dyn Bind>, method: Method, url: &str) -> Self {
        Self::new(Handle::Holder(holder), method, url)
    }

    fn new(handle: Handle, method: Method, url: &str) -> Self {
        let draft = Location::parse(url).map(|location| Draft {
            method,
            location,
            query: String::new(),
            version: Version::HTTP_11,
            headers: HeaderMap::new(),
            body: Body::empty(),
            content_type: None,
            options: CallOptions::default(),
        });
        Self { handle, draft }
    }

    fn change(mut self, change: impl FnOnce(&mut Draft) -> Result<()>) -> Self {
        if let Ok(draft) = &mut self.draft
            && let Err(error) = change(draft)
        {
            self.draft = Err(error);
        }
        self
    }

    /// Adds to the URL's query what serde makes of `query`: pairs, a map or a flat struct.
    ///
    /// May be called several times. `Option`s that are `None` are left out.
    pub fn query<T: Serialize + ?Sized>(self, query: &T) -> Self {
        self.change(|draft| {
            let pairs = serde_urlencoded::to_string(query).map_err(|error| {
                Error::builder("the query cannot be flattened into pairs").with_source(error)
            })?;
            if !draft.query.is_empty() && !pairs.is_empty() {
                draft.query.push('&');
            }
            draft.query.push_str(&pairs);
            Ok(())
        })
    }

    /// Adds a header, beside those of the same name that the request has.
    ///
    /// A default header of that name is then left out.
    pub fn header<K, V>(self, name: K, value: V) -> Self
    where
        HeaderName: TryFrom<K>,
        <HeaderName as TryFrom<K>>::Error: Into<http::Error>,
        HeaderValue: TryFrom<V>,
        <HeaderValue as TryFrom<V>>::Error: Into<http::Error>,
    {
        self.change(|draft| {
            let name = HeaderName::try_from(name)
                .map_err(|error| Error::builder("invalid header name").with_source(error.into()))?;
            let mut value = HeaderValue::try_from(value).map_err(|error| {
                Error::builder(format!("invalid value of the header `{name}`"))
                    .with_source(error.into())
            })?;
            if name == AUTHORIZATION {
                value.set_sensitive(true);
            }
            draft.headers.append(name, value);
            Ok(())
        })
    }

    /// Sets headers, in place of those of the same names that the request has.
    pub fn headers(self, headers: HeaderMap) -> Self {
        self.change(|draft| {
            for name in headers.keys() {
                draft.headers.remove(name);
            }
            draft.headers.extend(headers);
            Ok(())
        })
    }

    /// Sets `Basic` credentials (RFC 7617), in place of any others.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "the field's signature: reqwest's users pass `Some(password)`"
    )]
    pub fn basic_auth(self, username: impl AsRef<str>, password: Option<impl AsRef<str>>) -> Self {
        self.change(|draft| {
            let username = username.as_ref();
            if username.contains(':') {
                return Err(Error::builder(
                    "basic_auth: a user name cannot have a colon (RFC 7617 §2)",
                ));
            }
            let password = password.as_ref().map(AsRef::as_ref);
            let value = basic_credentials(username, password);
            draft.headers.insert(AUTHORIZATION, value);
            Ok(())
        })
    }

    /// Sets a `Bearer` token (RFC 6750), in place of any other credentials.
    pub fn bearer_auth(self, token: impl fmt::Display) -> Self {
        self.change(|draft| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
                Error::builder("bearer_auth: the token has characters that no header can have")
            })?;
            value.set_sensitive(true);
            draft.headers.insert(AUTHORIZATION, value);
            Ok(())
        })
    }

    /// Sets the body.
    pub fn body(self, body: impl Into<Body>) -> Self {
        self.change(|draft| {
            draft.body = body.into();
            draft.content_type = None;
            Ok(())
        })
    }

    /// Sets the body to `value` in JSON, and the `Content-Type`, unless the request has one.
    #[cfg(feature = "json")]
    #[cfg_attr(docsrs, doc(cfg(feature = "json")))]
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Self {
        self.change(|draft| {
            let body = serde_json::to_vec(value).map_err(|error| {
                Error::builder("the body cannot be written as JSON").with_source(error)
            })?;
            draft.set_body(body, "application/json");
            Ok(())
        })
    }

    /// Sets the body to `form` as a browser's form would send it, and the `Content-Type`, unless
    /// the request has one.
    pub fn form<T: Serialize + ?Sized>(self, form: &T) -> Self {
        self.change(|draft| {
            let body = serde_urlencoded::to_string(form).map_err(|error| {
                Error::builder("the form cannot be flattened into pairs").with_source(error)
            })?;
            draft.set_body(body, "application/x-www-form-urlencoded");
            Ok(())
        })
    }

    /// Limits the whole request: queueing, connecting, sending, and reading the body to its end.
    ///
    /// `None` lifts the session's limit, say for one long download. Default: the session's `timeout`.
    pub fn timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.change(|draft| {
            draft.options.timeout = Some(timeout.into());
            Ok(())
        })
    }

    /// Sets whether 4xx and 5xx are errors. Default: the session's setting.
    pub fn raise_for_status(self, raise: bool) -> Self {
        self.change(|draft| {
            draft.options.raise_for_status = Some(raise);
            Ok(())
        })
    }

    /// Sets the HTTP version to speak: 1.0 or 1.1. Default: 1.1.
    pub fn version(self, version: Version) -> Self {
        self.change(|draft| {
            draft.version = version;
            Ok(())
        })
    }

    /// Makes the request without sending it.
    ///
    /// Its URL is resolved against the base URL; the session's default headers are added when it
    /// is sent, by [`Session::execute`](crate::Session::execute) or as a `Service`. The options of
    /// this builder (timeout, `raise_for_status`) travel in its extensions.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Url`](crate::ErrorKind::Url) or [`ErrorKind::Builder`](crate::ErrorKind::Builder).
    pub fn build(self) -> Result<Request<Body>> {
        let draft = self.draft?;
        let call = match &self.handle {
            Handle::Session(client) => draft.into_call(client.base.as_ref()),
            Handle::Holder(holder) => match holder.bind_now() {
                Some(bound) => draft.into_call(bound.client.base.as_ref()),
                None => draft.into_call(holder.base().as_ref()),
            },
        };
        call.map(Call::into_http)
    }

    /// Returns the same request once more, unless its body is a stream or it has an error already.
    pub fn try_clone(&self) -> Option<Self> {
        let draft = self.draft.as_ref().ok()?;
        Some(Self {
            handle: self.handle.clone(),
            draft: Ok(Draft {
                method: draft.method.clone(),
                location: draft.location.clone(),
                query: draft.query.clone(),
                version: draft.version,
                headers: draft.headers.clone(),
                body: draft.body.try_clone()?,
                content_type: draft.content_type,
                options: draft.options,
            }),
        })
    }

    /// Sends the request and returns when the head of the response is there.
    ///
    /// # Errors
    ///
    /// What was wrong with the request, before anything went out; then whatever
    /// [`ErrorKind`](crate::ErrorKind) names. With `raise_for_status`, 4xx and 5xx as well.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits for a connection: nothing was sent, its place in the queue goes to the
    /// next, and a connection that it was making is closed. Dropped later: the connection is
    /// closed, as HTTP/1 knows no other way to call a request off; the server may have received
    /// it. In any case its permit is free when the drop returns.
    pub async fn send(self) -> Result<Response> {
        let draft = self.draft?;
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
        let call = draft.into_call(client.base.as_ref())?;
        let answered = client.execute(call).await;
        drop(lease);
        answered
    }
}

impl Draft {
    fn set_body(&mut self, body: impl Into<Body>, content_type: &'static str) {
        self.body = body.into();
        self.content_type = Some(content_type);
    }

    fn into_call(mut self, base: Option<&BaseUrl>) -> Result<Call> {
        if let Some(content_type) = self.content_type {
            let content_type = HeaderValue::from_static(content_type);
            self.headers.entry(CONTENT_TYPE).or_insert(content_type);
        }
        let mut target = resolve(self.location, base)?;
        if !self.query.is_empty() {
            target = target.append_query(&self.query)?;
        }
        let call = Call {
            method: self.method,
            target,
            version: self.version,
            headers: self.headers,
            extensions: http::Extensions::new(),
            body: self.body,
            options: self.options,
        };
        call.checked()
    }
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("RequestBuilder");
        match &self.draft {
            Ok(draft) => debug
                .field("method", &draft.method)
                .field("headers", &draft.headers.keys().collect::<Vec<_>>())
                .field("body", &draft.body),
            Err(error) => debug.field("error", error),
        };
        debug.finish_non_exhaustive()
    }
}
