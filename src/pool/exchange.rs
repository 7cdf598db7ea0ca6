//! A request on the wire: check out, send, and what to do when the connection turns out to be dead.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Future;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Uri, Version};
use hyper::Response;
use tokio::runtime::Handle;

use super::checkout::Wants;
use super::incoming::{BodyLimits, Incoming};
use super::shared::{Exchange, Pool};
use super::timer::millis;
use crate::body::{Body, LARGE};
use crate::config::Timeouts;
use crate::error::{Error, ErrorKind, Result, TimeoutPhase};

/// A request as the pool takes it.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) method: Method,
    /// Absolute, normalised.
    pub(crate) uri: &'a Uri,
    pub(crate) version: Version,
    /// The request's own headers.
    pub(crate) headers: HeaderMap,
    /// Those that it gets unless it has them.
    pub(crate) default_headers: &'a HeaderMap,
    pub(crate) extensions: Extensions,
    pub(crate) body: Body,
    pub(crate) timeouts: Timeouts,
    /// From the closing hook, which may send when others no longer may.
    pub(crate) as_hook: bool,
}

/// Why a request got no answer from its connection.
enum Failure {
    /// Not a byte of it was sent; here it is again.
    Unsent(Box<Request<Body>>, hyper::Error),
    /// Some of it may have been.
    Sent(hyper::Error),
    TimedOut,
}

impl Pool {
    /// Sends a request and returns when the response's head is there.
    pub(crate) async fn send(
        self: &Arc<Self>,
        outgoing: Outgoing<'_>,
    ) -> Result<Response<Incoming>> {
        let runtime = Handle::try_current()
            .map_err(|error| Error::new(ErrorKind::NoRuntime).with_source(error))?;
        let timeouts = outgoing.timeouts;
        let deadline = timeouts
            .total
            .map(|total| self.clock.now().saturating_add(millis(total)));
        let mut replay = Replay::of(&outgoing);
        let wants = Wants {
            uri: outgoing.uri,
            key: Wants::key_of(outgoing.uri)?,
            runtime: &runtime,
            careful: replay.is_none(),
            deadline,
        };
        let (uri, default_headers) = (outgoing.uri, outgoing.default_headers);
        let upload = Upload::of(&outgoing.body);
        let mut exchange = Exchange::start(self, wants, outgoing.as_hook)?;
        exchange.check_out(wants, false).await?;
        let mut message = outgoing.into_message(&exchange.link().host);
        // Whether an earlier try may have reached the server.
        let mut sent = false;
        loop {
            let limit = head_limit(timeouts.head, deadline, self);
            let failure = match exchange.send(message, limit).await {
                Ok(response) => {
                    let limits = BodyLimits::new(timeouts.read, deadline);
                    return Ok(exchange.answered(response, limits, upload.is_running()));
                }
                Err(failure) => failure,
            };
            let pooled = exchange.checked_out().pooled;
            let fresh = match (failure, replay.take()) {
                // Safe for any method, and bounded: each round uses up one connection of the pool.
                (Failure::Unsent(unsent, _), spare) if pooled => {
                    (message, replay) = (*unsent, spare);
                    false
                }
                (Failure::Sent(error), Some(spare))
                    if pooled && is_stale(&error) && !exchange.link().was_severed() =>
                {
                    message = spare.into_message(uri, default_headers, &exchange.link().host);
                    sent = true;
                    true
                }
                (failure, _) => return Err(exchange.explain(failure, limit).or_sent(sent)),
            };
            exchange.connection = None;
            let checked_out = exchange.check_out(wants, fresh).await;
            checked_out.map_err(|error| error.or_sent(sent))?;
        }
    }
}

impl Exchange {
    /// Sends on the connection that was checked out, driving it until the head is there.
    async fn send(
        &mut self,
        mut message: Request<Body>,
        limit: Option<(u64, TimeoutPhase)>,
    ) -> Result<Response<hyper::body::Incoming>, Failure> {
        let (connection, pool) = self.parts();
        let write_dead = connection.link.write_dead.as_ref();
        message.body_mut().stop_at(write_dead);
        let mut answer = pin!(connection.sender.try_send_request(message));
        let link = &**connection.link;
        if let Some((at, _)) = limit {
            pool.arm(link, at);
        }
        poll_fn(|cx| {
            link.signal.begin(cx.waker());
            let mut own = Context::from_waker(&link.waker);
            link.drive(&mut own);
            match answer.as_mut().poll(&mut own) {
                Poll::Ready(Ok(response)) => Poll::Ready(Ok(response)),
                Poll::Ready(Err(mut error)) => Poll::Ready(Err(match error.take_message() {
                    Some(message) => Failure::Unsent(Box::new(message), error.into_error()),
                    None => Failure::Sent(error.into_error()),
                })),
                Poll::Pending if link.signal.has_passed() => Poll::Ready(Err(Failure::TimedOut)),
                Poll::Pending => link.pend(cx),
            }
        })
        .await
        .inspect(|_| link.signal.disarm())
    }

    fn answered(
        mut self,
        response: Response<hyper::body::Incoming>,
        limits: BodyLimits,
        uploading: bool,
    ) -> Response<Incoming> {
        if std::mem::replace(&mut self.checked_out().served, true) {
            self.count_reuse();
        }
        let (head, body) = response.into_parts();
        // RFC 9112 §6.1: a response with both may be an attempt at smuggling.
        if head.headers.contains_key(TRANSFER_ENCODING) && head.headers.contains_key(CONTENT_LENGTH)
        {
            self.never_reuse();
        }
        Response::from_parts(head, Incoming::new(self, body, limits, uploading))
    }

    fn explain(&self, failure: Failure, limit: Option<(u64, TimeoutPhase)>) -> Error {
        let link = self.link();
        let (error, sent) = match failure {
            Failure::TimedOut => {
                let phase = limit.map_or(TimeoutPhase::Head, |(_, phase)| phase);
                return Error::timeout(phase).after_sending();
            }
            Failure::Unsent(_, error) => (error, false),
            Failure::Sent(error) => (error, true),
        };
        let explained = if link.was_severed() {
            Error::closed("the session was closed before the response's head came")
        } else if error.is_parse() {
            Error::new(ErrorKind::Protocol)
                .with_message("the peer's answer is not HTTP")
                .with_source(error)
        } else if is_body_failure(&error) {
            Error::new(ErrorKind::Body).with_source(error)
        } else {
            Error::new(ErrorKind::Protocol)
                .with_message("the peer broke off before it answered")
                .with_source(error)
        };
        explained.or_sent(sent)
    }
}

/// Whether a connection that had idled too long can have caused this.
fn is_stale(error: &hyper::Error) -> bool {
    !error.is_parse() && !is_body_failure(error)
}

/// Whether the request's own body failed.
fn is_body_failure(error: &hyper::Error) -> bool {
    error.is_user()
        && std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<Error>)
}

fn head_limit(
    head: Option<Duration>,
    deadline: Option<u64>,
    pool: &Pool,
) -> Option<(u64, TimeoutPhase)> {
    let head = head.map(|head| pool.clock.now().saturating_add(millis(head)));
    match (head, deadline) {
        (Some(head), Some(total)) if head < total => Some((head, TimeoutPhase::Head)),
        (Some(head), None) => Some((head, TimeoutPhase::Head)),
        (_, Some(total)) => Some((total, TimeoutPhase::Total)),
        (None, None) => None,
    }
}

impl Outgoing<'_> {
    fn into_message(self, host: &HeaderValue) -> Request<Body> {
        let head = Head {
            method: self.method,
            version: self.version,
            headers: self.headers,
            extensions: self.extensions,
        };
        head.into_message(self.uri, self.default_headers, host, self.body)
    }
}

/// What a request brings itself.
struct Head {
    method: Method,
    version: Version,
    headers: HeaderMap,
    extensions: Extensions,
}

impl Head {
    /// Fills in what the request left out. `Host` comes first (RFC 9110 §7.2).
    fn into_message(
        self,
        uri: &Uri,
        default_headers: &HeaderMap,
        host: &HeaderValue,
        body: Body,
    ) -> Request<Body> {
        let mut message = Request::new(body);
        *message.method_mut() = self.method;
        *message.version_mut() = self.version;
        *message.extensions_mut() = self.extensions;
        *message.uri_mut() = uri
            .path_and_query()
            .map_or_else(Uri::default, |target| Uri::from(target.clone()));
        let headers = message.headers_mut();
        if !self.headers.contains_key(HOST) && !default_headers.contains_key(HOST) {
            headers.insert(HOST, host.clone());
        }
        for name in default_headers.keys() {
            if !self.headers.contains_key(name) {
                for value in default_headers.get_all(name) {
                    headers.append(name, value.clone());
                }
            }
        }
        headers.extend(self.headers);
        message
    }
}

/// What it takes to send a request once more. Only what the request brought itself is copied.
struct Replay {
    head: Head,
    body: Body,
}

impl Replay {
    /// `None`: sending it twice might do its work twice (RFC 9110 §9.2.2), or the body is a stream.
    fn of(outgoing: &Outgoing<'_>) -> Option<Self> {
        if !outgoing.method.is_idempotent() {
            return None;
        }
        Some(Self {
            body: outgoing.body.try_clone()?,
            head: Head {
                method: outgoing.method.clone(),
                version: outgoing.version,
                headers: outgoing.headers.clone(),
                extensions: outgoing.extensions.clone(),
            },
        })
    }

    fn into_message(
        self,
        uri: &Uri,
        default_headers: &HeaderMap,
        host: &HeaderValue,
    ) -> Request<Body> {
        self.head
            .into_message(uri, default_headers, host, self.body)
    }
}

/// Whether the request may still be on its way when the response's head is there.
enum Upload {
    Small,
    Large,
    Stream(Arc<AtomicBool>),
}

impl Upload {
    fn of(body: &Body) -> Self {
        match body.taken() {
            Some(taken) => Self::Stream(taken),
            None if body.length() > Some(LARGE) => Self::Large,
            None => Self::Small,
        }
    }

    fn is_running(&self) -> bool {
        match self {
            Self::Small => false,
            Self::Large => true,
            Self::Stream(taken) => !taken.load(Ordering::Acquire),
        }
    }
}
