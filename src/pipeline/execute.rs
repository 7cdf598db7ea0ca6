//! A request's way from its builder to its response.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, COOKIE};
use http::uri::Scheme;
use http::{HeaderName, Request, StatusCode};
use tokio::time::Instant;

use super::call::{Call, CallOptions};
use super::client::Client;
use super::cookies::Cookies;
use super::credentials::{Authorization, in_time};
use super::redirect::Redirects;
use super::retry::Retries;
use crate::body::Body;
use crate::config::{Reading, Timeouts};
use crate::decode::accept_encoding;
use crate::error::{Error, Result};
use crate::middleware::{Innermost, Middleware, Next};
use crate::pool::{Outgoing, Terms};
use crate::response::Response;
use crate::url::Target;

impl Client {
    /// Sends a request and reads the head of the response.
    pub(crate) async fn execute(self: &Arc<Self>, mut call: Box<Call>) -> Result<Response> {
        call.complete(self.base.as_ref(), &self.defaults.skipped_headers)?;
        if !self.defaults.query.is_empty() {
            call.parts().0.add_default_query(&self.defaults.query)?;
        }
        let raise = call.options.raise_for_status.take();
        // One limit for all middleware, hops and tries.
        let own = call.options.timeouts.as_ref().and_then(|own| own.total);
        let total = own.unwrap_or(self.defaults.timeouts.total);
        let deadline = total.and_then(|total| Instant::now().checked_add(total));
        let response = match &self.hooks.middleware {
            None => self.run(call, deadline).await?,
            Some(middleware) => Box::pin(self.pass(middleware, call, deadline)).await?,
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
        mut call: Box<Call>,
        deadline: Option<Instant>,
    ) -> Result<Response> {
        let innermost = Arc::clone(self) as Arc<dyn Innermost>;
        let next = Next::new(Arc::clone(middleware), innermost, deadline);
        let sent = next.sent();
        let uri = call.parts().0.uri.clone();
        let passed = in_time(deadline, next.run(call.into_http())).await;
        match passed.unwrap_or_else(|late| Err(late.after_sending())) {
            Ok(response) => Ok(response.or_from(uri)),
            Err(error) => Err(error.or_sent(sent.may_be()).with_uri(&uri)),
        }
    }

    /// Sends a request, from hop to hop and from try to try.
    async fn run(&self, mut call: Box<Call>, deadline: Option<Instant>) -> Result<Response> {
        let defaults = &self.defaults;
        let (target, outgoing, options) = call.parts();
        if defaults.https_only && target.uri.scheme() == Some(&Scheme::HTTP) {
            let error = Error::url_invalid("https_only is set, and the URL is http");
            return Err(error.with_uri(&target.uri));
        }
        let own = options.timeouts.as_deref();
        let own = own.map(|own| Box::new(own.over(&defaults.timeouts)));
        let mut reading = defaults.reading;
        reading.decompress = options.decompress.unwrap_or(reading.decompress);
        reading.max_body = options.max_body.or(reading.max_body);
        let redirect = options.redirect.as_deref().unwrap_or(&defaults.redirect);
        let retry = options.retry.as_deref().unwrap_or(&defaults.retry);
        let cookies = defaults.cookies.as_deref();
        let mut pending = Pending {
            client: self,
            outgoing,
            target,
            options,
            deadline,
            timeouts: own.as_deref().unwrap_or(&defaults.timeouts),
            reading,
            redirects: Redirects::new(defaults, redirect, options),
            retries: Retries::new(retry),
            cookies: cookies.map(Cookies::new).map(Box::new),
            authorization: None,
            sent: false,
        };
        if self.hooks.credentials.is_some() {
            Box::pin(pending.authorize()).await?;
        }
        loop {
            let again = pending.prepare();
            let sent = pending.send().await;
            match pending.judge(sent, again)? {
                Step::Answered(response) => return Ok(response),
                Step::Follow => {}
                Step::TryAgain(delay, last) => Box::pin(pending.pause(delay, last)).await?,
                Step::Renew => Box::pin(pending.renew()).await?,
            }
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
            call.complete(self.base.as_ref(), &self.defaults.skipped_headers)?;
            self.run(call, deadline).await
        })
    }
}

/// A request that has no response yet.
struct Pending<'a> {
    client: &'a Client,
    outgoing: &'a mut Outgoing,
    /// Of the hop that it has come to.
    target: &'a mut Target,
    options: &'a CallOptions,
    deadline: Option<Instant>,
    timeouts: &'a Timeouts,
    reading: Reading,
    redirects: Redirects<'a>,
    retries: Option<Retries<'a>>,
    cookies: Option<Box<Cookies<'a>>>,
    authorization: Option<Box<Authorization<'a, Client>>>,
    /// Whether an earlier hop or try may have reached a server.
    sent: bool,
}

/// What comes next.
enum Step {
    Answered(Response),
    Follow,
    /// After so long; meanwhile, this is the outcome.
    TryAgain(Duration, Result<StatusCode>),
    Renew,
}

impl Pending<'_> {
    /// Gives the request credentials, if it has none.
    async fn authorize(&mut self) -> Result<()> {
        if let Some(provider) = &self.client.hooks.credentials
            && self.may_have_credentials()
            && !self.outgoing.headers.contains_key(AUTHORIZATION)
            && !self.skips(&AUTHORIZATION)
        {
            let headers = &mut self.outgoing.headers;
            let asker = (self.client, self.client.owner());
            let put_on = Authorization::put_on(headers, provider, asker, self.deadline);
            let put_on = put_on
                .await
                .map_err(|error| error.with_uri(&self.target.uri))?;
            self.authorization = Some(Box::new(put_on));
        }
        Ok(())
    }

    /// Whether the request does not get the header by itself.
    fn skips(&self, name: &HeaderName) -> bool {
        let sessions = &self.client.defaults.skipped_headers;
        self.options.skips(name, sessions)
    }

    /// Whether the URL is one that the session's credentials are for.
    fn may_have_credentials(&self) -> bool {
        let is_trusted = || {
            let trusted = &self.client.defaults.trusted_origins;
            !trusted.is_empty() && trusted.contains(&self.target.to_url().origin())
        };
        let base = self.client.base.as_ref();
        base.is_none_or(|base| base.is_of_origin(&self.target.uri)) || is_trusted()
    }

    /// Gives the request credentials in place of those that were refused.
    async fn renew(&mut self) -> Result<()> {
        if let Some(authorization) = &mut self.authorization {
            let renewed = authorization.renew(&mut self.outgoing.headers).await;
            renewed.map_err(|error| error.after_sending().with_uri(&self.target.uri))?;
        }
        Ok(())
    }

    /// Waits for the next try, unless there shall be none as the session is being closed.
    async fn pause(&self, delay: Duration, last: Result<StatusCode>) -> Result<()> {
        let client = self.client;
        if client.owner().pool().pause(delay, client.as_hook).await {
            return Ok(());
        }
        let error = match last {
            Ok(status) => Error::closed(format!(
                "the session is being closed, and there is no other try; the last one was answered with {status}"
            )),
            Err(error) => error,
        };
        let error = error.or_sent(self.sent);
        Err(error.with_uri(&self.target.uri))
    }

    /// Makes the request ready for its hop. Gives its body once more, if it may be needed and can be sent
    /// again.
    fn prepare(&mut self) -> Option<Body> {
        let may_go_on =
            self.redirects.may_follow() || self.retries.is_some() || self.authorization.is_some();
        let again = if may_go_on {
            self.outgoing.body.try_clone()
        } else {
            None
        };
        // Not before: the body of a request that was built may still be changed.
        self.outgoing.announce_body();
        let skips_cookies = self.cookies.is_some() && self.skips(&COOKIE);
        if let Some(cookies) = &mut self.cookies
            && !skips_cookies
        {
            let defaults = self.redirects.default_headers();
            cookies.put_on(&mut self.outgoing.headers, defaults, self.target);
        }
        again
    }

    async fn send(&mut self) -> Result<Response> {
        let codings =
            accept_encoding().filter(|_| self.reading.decompress && !self.skips(&ACCEPT_ENCODING));
        let terms = Terms {
            uri: &self.target.uri,
            default_headers: self.redirects.default_headers(),
            accept_encoding: codings,
            timeouts: self.timeouts,
            deadline: self.deadline,
            answer_by: None,
            as_hook: self.client.as_hook,
        };
        let pool = self.client.owner().pool();
        match &self.retries {
            None => pool.send(self.outgoing, &terms).await.map(Response::of),
            Some(retries) => retries.send(pool, self.outgoing, terms).await,
        }
    }

    /// Says what comes of an outcome. `again`: the body, if it can be sent again.
    fn judge(&mut self, sent: Result<Response>, again: Option<Body>) -> Result<Step> {
        if let Some(cookies) = &mut self.cookies {
            cookies.take_off(&mut self.outgoing.headers);
            if let Ok(answer) = &sent {
                cookies.take_in(answer.headers(), self.target);
            }
        }
        self.sent |= sent.as_ref().err().is_none_or(Error::was_sent);
        if let Some(retries) = &mut self.retries
            && again.is_some()
            && let Some(delay) = retries.next(&sent, self.outgoing, self.target, self.deadline)
        {
            self.outgoing.body = again.unwrap_or_default();
            let last = sent.map(|answer| answer.status());
            return Ok(Step::TryAgain(delay, last));
        }
        let mut answer = sent.map_err(|error| {
            let error = error.or_sent(self.sent);
            error.with_uri(&self.target.uri)
        })?;
        if let Some(authorization) = &mut self.authorization
            && authorization.is_refused(&answer, &self.outgoing.headers)
            && again.is_some()
        {
            self.outgoing.body = again.unwrap_or_default();
            return Ok(Step::Renew);
        }
        if self
            .redirects
            .follow(&mut answer, self.target, self.outgoing, again)?
        {
            return Ok(Step::Follow);
        }
        let history = self.redirects.take_history();
        answer.complete(self.target, history, self.reading);
        Ok(Step::Answered(answer))
    }
}
