//! A request on the wire: check out, send, and what to do when the connection turns out to be dead.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures::Future;
use http::Request;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::Response;
use tokio::runtime::Handle;

use super::checkout::Wants;
use super::http1::Link;
use super::incoming::Incoming;
use super::limit::Limit;
use super::message::{Outgoing, Terms};
use super::shared::{Exchange, Pool};
use super::timer::millis;
use crate::body::{Body, LARGE};
use crate::error::{Error, ErrorKind, Result, TimeoutPhase};

/// Why a request got no answer from its connection.
enum Failure {
    /// Not a byte of it was sent; here it is again.
    Unsent(Box<Request<Body>>, hyper::Error),
    /// Some of it may have been.
    Sent(hyper::Error),
    TimedOut(TimeoutPhase),
}

impl Pool {
    /// Sends a request and returns when the response's head is there.
    pub(crate) async fn send(
        self: &Arc<Self>,
        outgoing: &mut Outgoing,
        terms: Terms<'_>,
    ) -> Result<Response<Incoming>> {
        let runtime = Handle::try_current()
            .map_err(|error| Error::new(ErrorKind::NoRuntime).with_source(error))?;
        let mut now = self.clock.now();
        let timeouts = terms.timeouts;
        let deadline = timeouts
            .total
            .map(|total| now.saturating_add(millis(total)));
        let may_repeat = self.config.retry_stale && outgoing.can_be_replayed();
        let wants = Wants {
            uri: terms.uri,
            key: Wants::key_of(terms.uri)?,
            runtime: &runtime,
            careful: !may_repeat,
            deadline,
        };
        let upload = Sending::of(&outgoing.body);
        let mut exchange = Exchange::start(self, wants, now, terms.as_hook)?;
        if exchange.connection.is_none() {
            exchange.check_out(wants, false).await?;
            now = self.clock.now();
        }
        // Only a connection that has idled can have died before it brings an answer.
        let pooled = exchange.checked_out().pooled;
        let mut spare = (pooled && may_repeat)
            .then(|| outgoing.try_clone())
            .flatten();
        let mut message = outgoing.take_message(&terms, &exchange.link().host);
        // Whether an earlier try may have reached the server.
        let mut sent = false;
        loop {
            let limit = Limit::new(TimeoutPhase::Head, timeouts.head, deadline);
            let failure = match exchange.send(message, limit, now, &upload).await {
                Ok(response) => {
                    let limit = Limit::new(TimeoutPhase::Read, timeouts.read, deadline);
                    return Ok(exchange.answered(response, limit, upload.is_running()));
                }
                Err(failure) => failure,
            };
            let pooled = exchange.checked_out().pooled;
            let fresh = match (failure, &mut spare) {
                // Safe for any method, and bounded: each round uses up one connection of the pool.
                (Failure::Unsent(unsent, _), _) if pooled => {
                    message = *unsent;
                    false
                }
                (Failure::Sent(error), Some(again))
                    if pooled && is_stale(&error) && !exchange.link().was_severed() =>
                {
                    message = again.take_message(&terms, &exchange.link().host);
                    spare = None;
                    sent = true;
                    true
                }
                (failure, _) => return Err(exchange.explain(failure).or_sent(sent)),
            };
            exchange.connection = None;
            let checked_out = exchange.check_out(wants, fresh).await;
            checked_out.map_err(|error| error.or_sent(sent))?;
            now = self.clock.now();
        }
    }
}

impl Exchange {
    /// Sends on the connection that was checked out, driving it until the head is there.
    async fn send(
        &mut self,
        mut message: Request<Body>,
        limit: Limit,
        now: u64,
        upload: &Sending,
    ) -> Result<Response<hyper::body::Incoming>, Failure> {
        let (connection, pool) = self.parts();
        let write_dead = connection.link.write_dead.as_ref();
        message.body_mut().stop_at(write_dead);
        let mut answer = pin!(connection.sender.try_send_request(message));
        let link = &**connection.link;
        let mut phase = pool.arm_for(link, limit, now);
        poll_fn(|cx| {
            link.line.signal.begin(cx.waker());
            if upload.is_running() && !link.line.signal.has_passed() {
                // A poll means progress: a part was taken or sent. The head is not late yet.
                phase = pool.arm_for(link, limit, pool.clock.now());
            }
            let mut own = Context::from_waker(&link.line.waker);
            link.drive(&mut own);
            match answer.as_mut().poll(&mut own) {
                Poll::Ready(Ok(response)) => Poll::Ready(Ok(response)),
                Poll::Ready(Err(mut error)) => Poll::Ready(Err(match error.take_message() {
                    Some(message) => Failure::Unsent(Box::new(message), error.into_error()),
                    None => Failure::Sent(error.into_error()),
                })),
                Poll::Pending if link.line.signal.has_passed() => {
                    Poll::Ready(Err(Failure::TimedOut(phase)))
                }
                Poll::Pending => link.line.pend(cx),
            }
        })
        .await
        .inspect(|_| link.line.signal.disarm())
    }

    fn answered(
        mut self,
        response: Response<hyper::body::Incoming>,
        limit: Limit,
        uploading: bool,
    ) -> Response<Incoming> {
        if std::mem::replace(&mut self.checked_out().served, true) {
            self.count_reuse();
        }
        let (head, body) = response.into_parts();
        self.checked_out().age.answered(&head.headers);
        // RFC 9112 §6.1: a response with both may be an attempt at smuggling.
        if head.headers.contains_key(TRANSFER_ENCODING) && head.headers.contains_key(CONTENT_LENGTH)
        {
            self.never_reuse();
        }
        Response::from_parts(head, Incoming::new(self, body, limit, uploading))
    }

    fn explain(&self, failure: Failure) -> Error {
        let link = self.link();
        let (error, sent) = match failure {
            Failure::TimedOut(phase) => return Error::timeout(phase).after_sending(),
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

impl Pool {
    /// Sets the limit of a wait that begins at `now`. Returns what it will be the end of.
    fn arm_for(self: &Arc<Self>, link: &Link, limit: Limit, now: u64) -> TimeoutPhase {
        match limit.from(now) {
            Some((at, phase)) => {
                self.arm(link, at);
                phase
            }
            None => TimeoutPhase::Head,
        }
    }
}

/// Whether the request may still be on its way when the response's head is there.
enum Sending {
    Small,
    Large,
    Stream(Arc<AtomicBool>),
}

impl Sending {
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
