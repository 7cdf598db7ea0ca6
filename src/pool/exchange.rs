//! A request on the wire: check out, send, and what to do when the connection turns out to be dead.

use std::future::poll_fn;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Future;
use futures_util::future::Either;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, Request};
use http_body::Body as _;
use hyper::Response;
use hyper::client::conn::TrySendError;
use tokio::runtime::Handle;

use super::connection::Lane;
use super::draft::Draft;
use super::failure::{Failure, is_stale};
use super::flood::Flood;
use super::incoming::Incoming;
use super::limit::Limit;
use super::message::{Outgoing, Terms, has_other_coding};
use super::meter::End;
use super::sending::{PATIENCE, Sending, Stage};
use super::shared::{Exchange, Pool};
use super::timer::{millis, millis_of};
use super::timings::Course;
use super::wants::Wants;
use crate::body::Body;
use crate::error::{Error, ErrorKind, Result, TimeoutPhase};

/// How many times a request is sent again that servers say they have not looked at.
const REFUSALS: usize = 5;

impl Pool {
    /// Sends a request and returns when the response's head is there.
    ///
    /// The answer is boxed at once, as what it is to become: each async function on its way would copy it.
    pub(crate) async fn send<A: From<(Parts, Incoming)>>(
        self: &Arc<Self>,
        outgoing: &mut Outgoing,
        terms: &Terms<'_>,
    ) -> Result<Box<A>> {
        let runtime = Handle::try_current().map_err(Error::no_runtime)?;
        let began = self.clock.nanos();
        let mut sent_at = began;
        let mut now = millis_of(began);
        let total = terms.deadline.map(|at| self.clock.at(at));
        let answer_by = terms.answer_by.map(|at| self.clock.at(at));
        let deadline = total.into_iter().chain(answer_by).min();
        let may_repeat = self.config.retry_stale && outgoing.can_be_replayed();
        let wants = Wants {
            uri: terms.uri,
            key: Wants::key_of(terms.uri)?,
            runtime: &runtime,
            careful: !may_repeat,
            timeouts: terms.timeouts,
            deadline,
        };
        let mut exchange = Exchange::start(self, wants, now, terms.as_hook)?;
        if exchange.lane.is_none() {
            exchange.check_out(wants, false).await?;
            sent_at = self.clock.nanos();
            now = millis_of(sent_at);
        }
        let mut draft = Draft::new(outgoing, terms, exchange.lane(), may_repeat);
        let mut refusals = 0;
        // Whether an earlier try may have reached the server.
        let mut sent = false;
        loop {
            let failure = match exchange.send(&mut draft, &wants, now).await {
                Ok(response) => {
                    let reading = Wants {
                        deadline: total,
                        ..wants
                    };
                    let limit = reading.limit(TimeoutPhase::Read);
                    let answered_at = self.clock.nanos();
                    let times = (sent_at - began, answered_at - sent_at);
                    let now = millis_of(answered_at);
                    return exchange.answered(response, limit, draft.upload, times, now);
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
                    draft.unsent = Some(unsent);
                    false
                }
                // Neither has a new one that is shared: it was told to leave before it came to it.
                Failure::Unsent(unsent, _)
                    if matches!(lane, Lane::Http2(_)) && refusals < REFUSALS =>
                {
                    refusals += 1;
                    draft.unsent = Some(unsent);
                    false
                }
                // The server has not looked at it: safe for any method as well.
                Failure::Refused(_) if draft.again && refusals < REFUSALS => {
                    refusals += 1;
                    false
                }
                Failure::Sent(error)
                    if draft.again
                        && pooled
                        && may_repeat
                        && !sent
                        && is_stale(&error)
                        && !lane.was_severed() =>
                {
                    sent = true;
                    // Over HTTP/2 the other one may refuse it.
                    draft.again = matches!(lane, Lane::Http2(_));
                    !draft.again
                }
                failure => return Err(exchange.explain(failure, &draft.upload).or_sent(sent)),
            };
            exchange.lane = None;
            let checked_out = exchange.check_out(wants, fresh).await;
            checked_out.map_err(|error| error.or_sent(sent))?;
            sent_at = self.clock.nanos();
            now = millis_of(sent_at);
        }
    }
}

impl Exchange {
    /// Sends on the lane that was checked out, driving it until the head is there.
    async fn send(
        &mut self,
        draft: &mut Draft<'_>,
        wants: &Wants<'_>,
        now: u64,
    ) -> Result<Response<hyper::body::Incoming>, Failure> {
        let in_crowd = self.in_crowd;
        let (lane, pool) = self.parts();
        let message = draft.message(lane);
        let mut answer = pin!(match lane {
            Lane::Http1(connection) => Either::Left(connection.send(message)),
            Lane::Http2(stream) => Either::Right(stream.send(message)),
        });
        let waiting = Waiting {
            pool,
            lane,
            wants,
            upload: &draft.upload,
            gives_way: in_crowd && matches!(lane, Lane::Http1(_)),
        };
        if let Some(answered) = waiting.until_head(answer.as_mut(), now).await {
            return answered;
        }
        if let Lane::Http1(connection) = lane {
            // Closed by another thread in the very moment in which the request was handed over: then
            // it may lie in the channel, with nobody to take it out, or to refuse it while there is a
            // sender.
            connection.hang_up();
        }
        answer.await.map_err(|error| Failure::of(error, lane))
    }

    fn answered<A: From<(Parts, Incoming)>>(
        mut self,
        response: Response<hyper::body::Incoming>,
        limit: Limit,
        upload: Sending,
        (queue, head): (u64, u64),
        now: u64,
    ) -> Result<Box<A>> {
        let (lane, _) = self.parts();
        let reused = lane.meter().answered();
        let course = Course {
            queue,
            head,
            reused,
            made: Arc::clone(lane.made()),
        };
        let (head, body) = response.into_parts();
        if let Lane::Http1(connection) = lane {
            connection.age.answered(&head.headers);
            let mut ambiguous = false;
            if body.size_hint().exact().is_none() {
                if has_other_coding(&head.headers) {
                    connection.link.meter.end(End::Error);
                    let what = "the response's Transfer-Encoding is not `chunked` alone, which is all \
                                that was asked for (RFC 9112 §6.1)";
                    let error = Error::new(ErrorKind::Protocol).with_message(what);
                    return Err(error.after_sending());
                }
                ambiguous = is_ambiguous(&head.headers);
            }
            // Of a body that was not asked for, the connection would wait for ever.
            connection.reusable &= !ambiguous && !upload.is_held_back();
        }
        let incoming = Incoming::new(self, body, limit, upload, course, now);
        Ok(Box::new(A::from((head, incoming))))
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
    lane: &'a Lane,
    wants: &'a Wants<'a>,
    upload: &'a Sending,
    /// Whether other tasks come first, once. Of many exchanges on a thread each then does the same step in
    /// a row, with its code in the processor's cache: it does not hold that of a whole exchange.
    gives_way: bool,
}

impl Waiting<'_> {
    /// Whether interim answers keep coming. Over HTTP/2 others receive as well: there the limit of the
    /// wait has to do.
    #[cold]
    fn is_flooded(&self, flood: &mut Flood) -> bool {
        let head = self.pool.config.http.http1_max_header_size;
        match self.lane {
            Lane::Http1(connection) => flood.is_too_much(&connection.link.meter, head),
            Lane::Http2(_) => false,
        }
    }

    /// How far the request has come: what hyper has taken of it, and what the socket has.
    fn how_far(&self) -> (usize, Stage, Option<u64>) {
        let sent = match self.lane {
            Lane::Http1(connection) => connection.link.meter.bytes_sent(),
            // Others send as well.
            Lane::Http2(_) => None,
        };
        (self.upload.parts(), self.upload.stage(), sent)
    }

    /// Sets the limit of the wait that begins at `now`: for the next part of the request, or for the
    /// answer to it. Returns what it will be the end of.
    fn arm(&self, stage: Stage, now: u64) -> TimeoutPhase {
        let (phase, now) = match stage {
            Stage::HeldBack => (TimeoutPhase::Head, now.saturating_add(millis(PATIENCE))),
            Stage::Writing => (TimeoutPhase::Write, now),
            Stage::Given => (TimeoutPhase::Head, now),
        };
        match self.wants.limit(phase).from(now) {
            Some((at, phase)) => {
                self.pool.arm(self.lane.line(), at);
                phase
            }
            None => phase,
        }
    }

    /// Waits for the head of the response, driving a connection that is the exchange's own. `None`: it
    /// is driven no more, and the answer is still open.
    ///
    /// No async function: each layer of those moves the answer once more.
    fn until_head(
        self,
        mut answer: Pin<&mut impl Future<Output = Answer<TrySendError<Request<Body>>>>>,
        now: u64,
    ) -> impl Future<Output = Option<Answer<Failure>>> {
        let Self { lane, upload, .. } = self;
        let line = lane.line();
        let mut stage = upload.stage();
        let mut phase = self.arm(stage, now);
        let mut came = None;
        let mut flood = Flood::default();
        let mut gives_way = self.gives_way;
        poll_fn(move |cx| {
            if mem::take(&mut gives_way) {
                if self.wants.careful {
                    // The last look was before the others.
                    line.signal.ask_for_look();
                }
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            line.signal.begin(cx.waker());
            let has_passed = line.signal.has_passed();
            let mut own = Context::from_waker(&line.waker);
            let lives = match lane {
                Lane::Http1(connection) => connection.link.drive(&mut own),
                Lane::Http2(_) => true,
            };
            let polled = answer.as_mut().poll(&mut own);
            if polled.is_pending() && (stage != Stage::Given || upload.is_running()) {
                if let Lane::Http2(_) = lane {
                    // Others take its parts.
                    upload.watch(&line.waker);
                }
                let before = came.replace(self.how_far());
                let went_on = came != before;
                // Where no bytes are counted, a poll has to do.
                let may_have = !has_passed && lane.meter().bytes_sent().is_none();
                if may_have || (went_on && !(has_passed && phase == TimeoutPhase::Total)) {
                    stage = upload.stage();
                    phase = self.arm(stage, self.pool.clock.now());
                }
            }
            let ended = match polled {
                Poll::Ready(answered) => Some(answered.map_err(|error| Failure::of(error, lane))),
                Poll::Pending if line.signal.has_passed() => Some(Err(Failure::TimedOut(phase))),
                Poll::Pending if !lives => None,
                Poll::Pending if flood.may_be() && self.is_flooded(&mut flood) => {
                    Some(Err(Failure::Flooded))
                }
                Poll::Pending => return line.pend(cx),
            };
            line.signal.disarm();
            Poll::Ready(ended)
        })
    }
}
