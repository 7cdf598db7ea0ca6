//! What a session is to its requests: a pool, defaults, and how it ends.

use std::fmt;
use std::future::ready;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Request;
use http::header::AUTHORIZATION;
use http::uri::Scheme;
use tokio::time::{Instant, sleep, timeout_at};

use super::call::Call;
use super::cookies::Cookies;
use super::credentials::{Authorization, Provider};
use super::redirect::Redirects;
use super::retry::Retries;
use crate::body::Body;
use crate::config::RequestDefaults;
use crate::decode::accept_encoding;
use crate::error::{Error, Result, TimeoutPhase};
use crate::middleware::{Innermost, Middleware, Next};
use crate::pool::{CloseReport, Lease, Owner, Pool, Terms};
use crate::response::Response;
use crate::url::{BaseUrl, Target};

/// Runs at an awaited close, with a client that may still send.
pub(crate) type CloseHook = Arc<dyn Fn(Arc<Client>) -> BoxFuture<'static, ()> + Send + Sync>;

/// What is the user's own code around requests.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) on_close: Option<CloseHook>,
    pub(crate) credentials: Option<Arc<Provider<Client>>>,
    pub(crate) middleware: Option<Arc<[Arc<dyn Middleware>]>>,
}

/// An open session with its defaults. Derived ones share the pool and the end.
#[derive(Clone)]
pub(crate) struct Client {
    owner: Arc<Owner>,
    hooks: Hooks,
    pub(crate) defaults: RequestDefaults,
    pub(crate) base: Option<BaseUrl>,
    as_hook: bool,
}

impl Client {
    pub(crate) fn new(
        owner: Arc<Owner>,
        defaults: RequestDefaults,
        base: Option<BaseUrl>,
        hooks: Hooks,
    ) -> Self {
        Self {
            owner,
            hooks,
            defaults,
            base,
            as_hook: false,
        }
    }

    /// The same for requests that get no credentials.
    pub(crate) fn without_credentials(&self) -> Self {
        let mut client = self.clone();
        client.hooks.credentials = None;
        client
    }

    pub(crate) fn owner(&self) -> &Arc<Owner> {
        &self.owner
    }

    #[inline]
    pub(crate) fn lease(&self) -> Option<Lease> {
        self.owner.lease()
    }

    /// Sends a request and reads the head of the response.
    pub(crate) async fn execute(self: &Arc<Self>, mut call: Box<Call>) -> Result<Response> {
        let target = call.complete(self.base.as_ref())?;
        let raise = call.options.raise_for_status.take();
        // One limit for all middleware, hops and tries.
        let own = call.options.timeouts.as_ref().and_then(|own| own.total);
        let total = own.unwrap_or(self.defaults.timeouts.total);
        let deadline = total.and_then(|total| Instant::now().checked_add(total));
        let response = match &self.hooks.middleware {
            None => self.run(call, target, deadline).await?,
            Some(middleware) => Box::pin(self.pass(middleware, call, target, deadline)).await?,
        };
        let raise = raise.as_ref().unwrap_or(&self.defaults.raise_for_status);
        if raise.refuses(response.status()) {
            return Err(response.into_error().await);
        }
        Ok(response)
    }

    /// Sends a request through the middleware.
    async fn pass(
        self: &Arc<Self>,
        middleware: &Arc<[Arc<dyn Middleware>]>,
        call: Box<Call>,
        target: Target,
        deadline: Option<Instant>,
    ) -> Result<Response> {
        let innermost = Arc::clone(self) as Arc<dyn Innermost>;
        let next = Next::new(Arc::clone(middleware), innermost, deadline);
        let uri = target.uri.clone();
        let passing = next.run(call.into_http(target));
        let passed = match deadline {
            None => passing.await,
            Some(deadline) => timeout_at(deadline, passing)
                .await
                .unwrap_or_else(|_| Err(Error::timeout(TimeoutPhase::Total).after_sending())),
        };
        match passed {
            Ok(response) => Ok(response.or_from(uri)),
            Err(error) => Err(error.with_uri(&uri)),
        }
    }

    /// Goes from hop to hop, and from try to try.
    async fn run(
        &self,
        mut call: Box<Call>,
        mut target: Target,
        deadline: Option<Instant>,
    ) -> Result<Response> {
        if self.defaults.https_only && target.uri.scheme() == Some(&Scheme::HTTP) {
            let error = Error::url_invalid("https_only is set, and the URL is http");
            return Err(error.with_uri(&target.uri));
        }
        let own = call.options.timeouts.as_deref();
        let own = own.map(|own| Box::new(own.over(&self.defaults.timeouts)));
        let timeouts = own.as_deref().unwrap_or(&self.defaults.timeouts);
        let mut reading = self.defaults.reading;
        reading.decompress = call.options.decompress.unwrap_or(reading.decompress);
        reading.max_body = call.options.max_body.or(reading.max_body);
        let policy = call.options.redirect.as_deref();
        let mut redirects =
            Redirects::new(&self.defaults, policy.unwrap_or(&self.defaults.redirect));
        let policy = call.options.retry.as_deref();
        let mut retries = Retries::new(policy.unwrap_or(&self.defaults.retry));
        let cookies = self.defaults.cookies.as_deref();
        let mut cookies = cookies.map(Cookies::new).map(Box::new);
        let mut authorization = match self.hooks.credentials.as_deref() {
            Some(provider) if !call.outgoing.headers.contains_key(AUTHORIZATION) => {
                let headers = &mut call.outgoing.headers;
                let put_on = Authorization::put_on(headers, provider, self, deadline);
                let put_on = Box::pin(put_on).await;
                Some(Box::new(
                    put_on.map_err(|error| error.with_uri(&target.uri))?,
                ))
            }
            Some(_) | None => None,
        };
        let pool = self.owner.pool();
        loop {
            let may_go_on = redirects.may_follow() || retries.is_some() || authorization.is_some();
            let again = if may_go_on {
                call.outgoing.body.try_clone()
            } else {
                None
            };
            // Not before: the body of a request that was built may still be changed.
            call.outgoing.announce_body();
            if let Some(cookies) = &mut cookies {
                let headers = &mut call.outgoing.headers;
                cookies.put_on(headers, redirects.default_headers(), &target);
            }
            let terms = Terms {
                uri: &target.uri,
                default_headers: redirects.default_headers(),
                accept_encoding: accept_encoding().filter(|_| reading.decompress),
                timeouts,
                deadline,
                as_hook: self.as_hook,
            };
            let sent = match &retries {
                None => pool.send(&mut call.outgoing, &terms).await,
                Some(retries) => Box::pin(retries.send(pool, &mut call.outgoing, &terms)).await,
            };
            if let Some(cookies) = &mut cookies {
                cookies.take_off(&mut call.outgoing.headers);
                if let Ok(answer) = &sent {
                    cookies.take_in(answer.headers(), &target);
                }
            }
            if let Some(retries) = &mut retries
                && let Some(delay) =
                    retries.next(&sent, &call.outgoing, again.as_ref(), &target, deadline)
            {
                drop(sent);
                call.outgoing.body = again.expect("only what can be sent again is");
                sleep(delay).await;
                continue;
            }
            let mut answer = match sent {
                Ok(answer) => answer,
                Err(error) => {
                    let error = error.or_sent(redirects.has_begun());
                    return Err(error.with_uri(&target.uri));
                }
            };
            let headers = &mut call.outgoing.headers;
            if let Some(authorization) = &mut authorization
                && authorization.is_refused(&answer, headers)
                && again.is_some()
            {
                drop(answer);
                let renewed = Box::pin(authorization.renew(headers)).await;
                renewed.map_err(|error| error.after_sending().with_uri(&target.uri))?;
                call.outgoing.body = again.expect("it was asked for above");
                continue;
            }
            if !redirects.follow(&mut answer, &mut target, &mut call.outgoing, again)? {
                let history = redirects.into_history();
                return Ok(Response::new(answer, target, history, reading));
            }
        }
    }

    /// Closes the session and waits for its end.
    pub(crate) async fn close(self: &Arc<Self>) -> CloseReport {
        self.owner.pool().close(|| self.run_hook()).await
    }

    /// Closes the session; what has not ended within `limit` is cut.
    pub(crate) async fn close_within(self: &Arc<Self>, limit: Duration) -> CloseReport {
        let pool = self.owner.pool();
        pool.close_within(limit, || self.run_hook()).await
    }

    async fn run_hook(self: &Arc<Self>) {
        if let Some(hook) = &self.hooks.on_close {
            let mut client = Self::clone(self);
            client.as_hook = true;
            hook(Arc::new(client)).await;
        }
    }
}

impl Innermost for Client {
    fn send(
        self: Arc<Self>,
        request: Request<Body>,
        deadline: Option<Instant>,
    ) -> BoxFuture<'static, Result<Response>> {
        Box::pin(async move {
            let mut call = Call::from_http(request)?;
            let target = call.complete(self.base.as_ref())?;
            self.run(call, target, deadline).await
        })
    }
}

/// A client that has been told to end, or will be; it is not kept by this.
#[derive(Debug)]
pub(crate) struct Leaving {
    client: Weak<Client>,
    /// Outlives the client while leases and exchanges are out.
    pool: Weak<Pool>,
}

/// What can still be closed of a client.
#[derive(Debug)]
pub(crate) enum Remains {
    Client(Arc<Client>),
    /// No handle is left, and so there is no hook to run.
    Pool(Arc<Pool>),
}

impl Leaving {
    pub(crate) fn new(client: &Arc<Client>) -> Self {
        Self {
            client: Arc::downgrade(client),
            pool: Arc::downgrade(client.owner.pool()),
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.pool.strong_count() == 0
    }

    pub(crate) fn remains(&self) -> Option<Remains> {
        match self.client.upgrade() {
            Some(client) => Some(Remains::Client(client)),
            None => self.pool.upgrade().map(Remains::Pool),
        }
    }
}

impl Remains {
    fn pool(&self) -> &Pool {
        match self {
            Self::Client(client) => client.owner.pool(),
            Self::Pool(pool) => pool,
        }
    }

    /// Whether it has been closed to the end.
    pub(crate) fn has_ended(&self) -> bool {
        self.pool().has_ended()
    }

    pub(crate) async fn close(&self) -> CloseReport {
        match self {
            Self::Client(client) => client.close().await,
            Self::Pool(pool) => pool.close(|| ready(())).await,
        }
    }

    pub(crate) async fn close_within(&self, limit: Duration) -> CloseReport {
        match self {
            Self::Client(client) => client.close_within(limit).await,
            Self::Pool(pool) => pool.close_within(limit, || ready(())).await,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}
