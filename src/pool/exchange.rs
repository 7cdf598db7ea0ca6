//! A request on the wire: check out, send, and what to do when the connection turns out to be dead.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Future;
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body::Body as _;
use hyper::Response;
use hyper::client::conn::TrySendError;
use hyper::ext::on_informational;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::connection::Lane;
use super::failure::{Failure, is_stale};
use super::incoming::Incoming;
use super::limit::Limit;
use super::line::Line;
use super::message::{Outgoing, Terms, suit};
use super::sending::Sending;
use super::shared::{Exchange, Pool};
use super::timer::millis;
use super::timings::{Course, nanos};
use super::wants::Wants;
use crate::body::Body;
use crate::error::{Error, ErrorKind, Result, TimeoutPhase};

/// How many times a request is sent again that servers say they have not looked at.
const REFUSALS: usize = 5;

/// How long a body waits for the `100 (Continue)` that its request expects: some servers never say it
/// (RFC 9110 §10.1.1).
const PATIENCE: Duration = Duration::from_secs(1);

impl Pool {
    /// Sends a request and returns when the response's head is there.
    pub(crate) async fn send(
        self: &Arc<Self>,
        outgoing: &mut Outgoing,
        terms: &Terms<'_>,
    ) -> Result<Response<Incoming>> {
        let runtime = Handle::try_current()
            .map_err(|error| Error::new(ErrorKind::NoRuntime).with_source(error))?;
        let began = Instant::now();
        let mut sent_at = began;
        let mut queue = Duration::ZERO;
        let mut now = self.clock.at(began);
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
        let mut exchange = Exchange::start(self, wants, now, terms.as_hook)?;
        if exchange.lane.is_none() {
            exchange.check_out(wants, false).await?;
            sent_at = Instant::now();
            queue = sent_at - began;
            now = self.clock.at(sent_at);
        }
        let mut again = exchange.lane().may_fail(may_repeat) && outgoing.has_lasting_body();
        let mut refusals = 0;
        let mut message = outgoing.message(terms, exchange.lane().host(), again);
        // Whether an earlier try may have reached the server.
        let mut sent = false;
        loop {
            let limit = Limit::new(TimeoutPhase::Head, timeouts.head, deadline);
            exchange.lane().prepare(&mut message);
            let upload = Sending::of(message.body());
            let failure = match exchange.send(message, limit, now, &upload).await {
                Ok(response) => {
                    let limit = Limit::new(TimeoutPhase::Read, timeouts.read, deadline);
                    let answered_at = Instant::now();
                    let times = (queue, answered_at - sent_at);
                    let now = self.clock.at(answered_at);
                    return Ok(exchange.answered(response, limit, upload, times, now));
                }
                Err(failure) => failure,
            };
            let lane = exchange.lane();
            if let Lane::Http1(connection) = lane {
                connection.link.meter.end(failure.end());
            }
            if failure.ends_connection() {
                lane.retire();
            }
            let pooled = lane.is_pooled();
            let fresh = match failure {
                // Safe for any method, and bounded: each round uses up one connection of the pool.
                Failure::Unsent(unsent, _) if pooled && matches!(lane, Lane::Http1(_)) => {
                    message = *unsent;
                    false
                }
                // Neither has a new one that is shared: it was told to leave before it came to it.
                Failure::Unsent(unsent, _)
                    if matches!(lane, Lane::Http2(_)) && refusals < REFUSALS =>
                {
                    refusals += 1;
                    message = *unsent;
                    false
                }
                // The server says that it has not looked at it: safe for any method as well.
                Failure::Refused(_) if again && refusals < REFUSALS => {
                    refusals += 1;
                    message = outgoing.message(terms, lane.host(), true);
                    false
                }
                Failure::Sent(error)
                    if again && pooled && may_repeat && is_stale(&error) && !lane.was_severed() =>
                {
                    message = outgoing.message(terms, lane.host(), false);
                    again = false;
                    sent = true;
                    matches!(lane, Lane::Http1(_))
                }
                failure => return Err(exchange.explain(failure, &upload).or_sent(sent)),
            };
            exchange.lane = None;
            let checked_out = exchange.check_out(wants, fresh).await;
            checked_out.map_err(|error| error.or_sent(sent))?;
            suit(&mut message, terms.uri, exchange.lane().host());
            sent_at = Instant::now();
            queue = sent_at - began;
            now = self.clock.at(sent_at);
        }
    }

    /// Sets the limit of a wait that begins at `now`. Returns what it will be the end of.
    fn arm_for(self: &Arc<Self>, line: &Line, limit: Limit, now: u64) -> TimeoutPhase {
        match limit.from(now) {
            Some((at, phase)) => {
                self.arm(line, at);
                phase
            }
            None => TimeoutPhase::Head,
        }
    }
}

impl Lane {
    /// The `Host` header of its origin, where the protocol has one.
    fn host(&self) -> Option<&HeaderValue> {
        match self {
            Self::Http1(connection) => Some(&connection.link.host),
            Self::Http2(_) => None,
        }
    }

    /// Makes a body ready for its connection.
    fn prepare(&self, message: &mut Request<Body>) {
        if message.body().is_end_stream() {
            return;
        }
        match self {
            Self::Http1(connection) => {
                let write_dead = connection.link.write_dead.as_ref();
                message.body_mut().stop_at(write_dead);
            }
            Self::Http2(_) => {
                message.body_mut().split();
                // It may have been meant for another connection before, which stopped it.
                message.body_mut().stop_at(None);
                // hyper tells of no interim answer here: nobody would ever ask for it.
                if let Some(progress) = message.body().progress() {
                    progress.ask();
                }
                return;
            }
        }
        let expects = message.headers().get(EXPECT);
        if expects.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
            && let Some(progress) = message.body_mut().hold_back(PATIENCE)
        {
            on_informational(message, move |answer| {
                if answer.status() == StatusCode::CONTINUE {
                    progress.ask();
                }
            });
        }
    }

    /// Whether a request may come to nothing here and be worth another try: only a connection that has
    /// idled can have died before it brings an answer, and over HTTP/2 any may be told to leave.
    fn may_fail(&self, may_repeat: bool) -> bool {
        match self {
            Self::Http1(connection) => connection.pooled && may_repeat,
            Self::Http2(_) => true,
        }
    }
}

impl Exchange {
    /// Sends on the lane that was checked out, driving it until the head is there.
    async fn send(
        &mut self,
        message: Request<Body>,
        limit: Limit,
        now: u64,
        upload: &Sending,
    ) -> Result<Response<hyper::body::Incoming>, Failure> {
        let (lane, pool) = self.parts();
        match lane {
            Lane::Http1(connection) => {
                let mut answer = pin!(connection.send(message));
                let link = &**connection.link;
                let drive = |cx: &mut Context<'_>| link.drive(cx);
                let waiting = Waiting {
                    pool,
                    line: &link.line,
                    limit,
                    upload,
                };
                if let Some(answered) = waiting.until_head(answer.as_mut(), now, drive).await {
                    return answered;
                }
                // Closed by another thread in the very moment in which the request was handed over:
                // then it may lie in the channel, with nobody to take it out, or to refuse it while
                // there is a sender.
                connection.hang_up();
                answer.await.map_err(Failure::of)
            }
            Lane::Http2(stream) => {
                let answer = pin!(stream.send(message));
                let waiting = Waiting {
                    pool,
                    line: stream.line(),
                    limit,
                    upload,
                };
                let answered = waiting.until_head(answer, now, |_| true).await;
                answered.expect("a stream's connection is driven by others")
            }
        }
    }

    fn answered(
        mut self,
        response: Response<hyper::body::Incoming>,
        limit: Limit,
        upload: Sending,
        (queue, head): (Duration, Duration),
        now: u64,
    ) -> Response<Incoming> {
        let (lane, _) = self.parts();
        let reused = lane.meter().answered();
        let course = Course {
            queue: nanos(queue),
            head: nanos(head),
            reused,
            made: Arc::clone(lane.made()),
        };
        let (head, body) = response.into_parts();
        if let Lane::Http1(connection) = lane {
            connection.age.answered(&head.headers);
            // Of a body that was not asked for, the connection would wait for ever.
            let ambiguous = body.size_hint().exact().is_none() && is_ambiguous(&head.headers);
            connection.reusable &= !ambiguous && !upload.is_held_back();
        }
        Response::from_parts(head, Incoming::new(self, body, limit, upload, course, now))
    }
}

/// RFC 9112 §6.1: a response with both, whose length is then not known, may be an attempt at
/// smuggling.
fn is_ambiguous(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH)
}

type Answer<E> = Result<Response<hyper::body::Incoming>, E>;

/// What a request that is on its way heeds until its answer begins.
struct Waiting<'a> {
    pool: &'a Arc<Pool>,
    line: &'a Line,
    limit: Limit,
    upload: &'a Sending,
}

impl Waiting<'_> {
    /// Waits for the head of the response, driving the connection where that is the exchange's to
    /// do. `None`: it is driven no more, and the answer is still open.
    ///
    /// No async function: each layer of those moves the answer once more.
    fn until_head(
        self,
        mut answer: Pin<&mut impl Future<Output = Answer<TrySendError<Request<Body>>>>>,
        now: u64,
        drive: impl Fn(&mut Context<'_>) -> bool,
    ) -> impl Future<Output = Option<Answer<Failure>>> {
        let Self {
            pool,
            line,
            limit,
            upload,
        } = self;
        let mut phase = pool.arm_for(line, limit, now);
        let mut parts = upload.parts();
        poll_fn(move |cx| {
            line.signal.begin(cx.waker());
            let has_passed = line.signal.has_passed();
            let went_on = std::mem::replace(&mut parts, upload.parts()) != parts;
            if upload.is_running() && (!has_passed || (went_on && phase == TimeoutPhase::Head)) {
                // A poll means progress: a part was taken or sent. The head is not late yet.
                phase = pool.arm_for(line, limit, pool.clock.now());
            }
            let mut own = Context::from_waker(&line.waker);
            let lives = drive(&mut own);
            let ended = match answer.as_mut().poll(&mut own) {
                Poll::Ready(answered) => Some(answered.map_err(Failure::of)),
                Poll::Pending if line.signal.has_passed() => Some(Err(Failure::TimedOut(phase))),
                Poll::Pending if !lives => None,
                Poll::Pending => return line.pend(cx),
            };
            line.signal.disarm();
            Poll::Ready(ended)
        })
    }
}
