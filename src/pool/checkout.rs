//! A connection for an exchange: an idle one, one that comes back, or a new one.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures_util::Future;
use tokio::time::{Instant, Sleep, sleep_until};

use super::attempt::{Attempt, OwnedAttempt};
use super::connection::{Connection, Lane};
use super::entry::{Aftermath, Grant, Idle};
use super::http2::Stream;
use super::making::closed_while_waiting;
use super::permit::Books;
use super::shared::{Exchange, Pool};
use super::state::State;
use super::wants::Wants;
use crate::error::{Error, ErrorKind, Result, TimeoutPhase};

/// How long a connection may have idled and still be trusted without a look at its socket.
const TRUST: u64 = 1000;

/// How long a request waits for what comes of a connect that was left behind, in milliseconds, before it
/// has it cut and makes its own: a lost SYN is sent again after as long (RFC 6298).
const STUCK: u64 = 1000;

impl Exchange {
    /// Begins an exchange, with an idle connection if there is one.
    pub(super) fn start(
        pool: &Arc<Pool>,
        wants: Wants<'_>,
        now: u64,
        as_hook: bool,
    ) -> Result<Self> {
        let mut expired = Vec::new();
        let (mut exchange, found) = {
            let mut state = pool.lock();
            let exchange = Self::begin(pool, &mut state, as_hook)?;
            let found = wants.take(&mut state, now, false, &mut expired);
            (exchange, found)
        };
        expired.into_iter().for_each(Connection::shut_down);
        exchange.lane = found.and_then(|found| found.if_fit(wants, now, pool));
        Ok(exchange)
    }

    /// Sees to it that the exchange has a connection. `fresh`: one that has carried nothing yet.
    ///
    /// Boxed, so that a request which finds an idle one holds no memory for this.
    pub(super) fn check_out<'a>(
        &'a mut self,
        wants: Wants<'a>,
        fresh: bool,
    ) -> Pin<Box<impl Future<Output = Result<()>> + use<'a>>> {
        Box::pin(async move {
            while self.lane.is_none() {
                let pool = self.pool();
                let now = pool.clock.now();
                let found = match Ticket::draw(pool, wants, fresh, now)? {
                    Drawn::Found(found) => found.if_fit(wants, now, pool),
                    Drawn::Place(ticket) => {
                        let mut lane = ticket.wait().await?;
                        // What has come back a moment ago is trusted, but not with what cannot be repeated.
                        let fit = lane.is_fit(wants.careful, &self.pool().config.http);
                        fit.then_some(lane)
                    }
                };
                self.lane = found;
            }
            Ok(())
        })
    }
}

/// What is there for a request when it asks.
enum Found {
    Idle(Idle),
    Stream(Box<Stream>),
}

impl Found {
    fn if_fit(self, wants: Wants<'_>, now: u64, pool: &Pool) -> Option<Lane> {
        let (mut lane, look) = match self {
            Self::Idle(Idle {
                connection, since, ..
            }) => {
                // Otherwise sending is the look: hyper reads first, and hands an unsent request back.
                let look = wants.careful || since + TRUST <= now;
                (Lane::Http1(connection), look)
            }
            Self::Stream(stream) => (Lane::Http2(stream), false),
        };
        lane.is_fit(look, &pool.config.http).then_some(lane)
    }
}

impl Wants<'_> {
    /// The newest idle connection that fits, or a stream of one that is shared, from the books.
    fn take(
        self,
        state: &mut State,
        now: u64,
        fresh: bool,
        expired: &mut Vec<Connection>,
    ) -> Option<Found> {
        let origin = state.find_origin(self.key)?;
        let runtime = self.runtime.id();
        if !fresh && let Some(idle) = state.take_idle(origin, runtime, now, expired) {
            return Some(Found::Idle(idle));
        }
        state
            .take_stream(origin, runtime, now, expired)
            .map(Found::Stream)
    }
}

/// A place in the queue, and the attempt that its permit pays for.
struct Ticket<'a> {
    pool: &'a Arc<Pool>,
    wants: Wants<'a>,
    number: u64,
    /// When it looks for connects that are stuck, on the pool's clock.
    next_look: u64,
    attempt: Option<(usize, OwnedAttempt)>,
    /// The one that others wait for as well.
    made_by_task: Option<Arc<Attempt>>,
    /// Whether one of those that were coming when it last looked is for it.
    is_awaiting_one: bool,
    /// Whether it may be waiting for what comes of others.
    is_counting_on_others: bool,
}

/// What a request gets at the counter.
enum Drawn<'a> {
    /// A connection that has come back since it last looked.
    Found(Found),
    Place(Ticket<'a>),
}

impl<'a> Ticket<'a> {
    async fn wait(mut self) -> Result<Lane> {
        let mut queueing = Queueing::new(self.wants.timeouts.pool);
        let deadline = self.wants.deadline.map(|at| self.pool.clock.instant(at));
        let mut alarm = Alarm::default();
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(served) = self.poll(cx) {
                    return Poll::Ready(served);
                }
                // Making a connection has its own limit; only queueing for one counts here.
                let is_connecting = self.attempt.is_some() || self.is_awaiting_one;
                let stuck = self.cut_stuck();
                let limits = [queueing.until(is_connecting), deadline, stuck];
                let Some(first) = limits.into_iter().flatten().min() else {
                    return Poll::Pending;
                };
                ready!(alarm.poll(first, cx));
                if stuck != Some(first) {
                    return Poll::Ready(Err(self.out_of_time(deadline == Some(first))));
                }
            }
        })
        .await
    }

    /// Cuts connects that were left behind and are stuck, from time to time. When to look again.
    fn cut_stuck(&mut self) -> Option<Instant> {
        if !self.is_counting_on_others {
            return None;
        }
        let now = self.pool.clock.now();
        if self.next_look <= now {
            self.next_look = now + STUCK;
            let stuck = self.pool.lock().left_behind_for(self.number, now - STUCK);
            for attempt in stuck {
                // Its place comes back, to the first who has a use for it.
                attempt.sever();
            }
        }
        Some(self.pool.clock.instant(self.next_look))
    }

    fn draw(pool: &'a Arc<Pool>, wants: Wants<'a>, fresh: bool, now: u64) -> Result<Drawn<'a>> {
        let books = Arc::clone(pool) as Arc<dyn Books>;
        let mut aftermath = Aftermath::default();
        let drawn = {
            let mut state = pool.lock();
            if state.severed {
                return Err(closed_while_waiting());
            }
            let found = wants.take(&mut state, now, fresh, &mut aftermath.leaving);
            found.map_or_else(
                || {
                    let runtime = wants.runtime.id();
                    let number = state.enqueue(wants.key, runtime, fresh, &books, &mut aftermath);
                    aftermath.leaving.extend(state.evict(number));
                    Drawn::Place(Self {
                        pool,
                        wants,
                        number,
                        next_look: now + STUCK,
                        attempt: None,
                        made_by_task: None,
                        is_awaiting_one: false,
                        is_counting_on_others: false,
                    })
                },
                Drawn::Found,
            )
        };
        pool.settle(aftermath, now);
        Ok(drawn)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Lane>> {
        match self.fetch(cx) {
            Some(Grant::Lane(lane)) => {
                // With a stream there are as many more; with a connection there is one less.
                if let Some((id, attempt)) = self.attempt.take()
                    && matches!(lane, Lane::Http1(_))
                    && attempt.adopt()
                {
                    // Begun in the moment in which the other came.
                    self.pool.lock().set_aside(id, &attempt);
                    self.pool.go_on(Arc::clone(&attempt), None);
                }
                return Poll::Ready(Ok(lane));
            }
            Some(Grant::Permit(permit)) => {
                let id = permit.id();
                // Asked first: once begun, it may be cut at any moment.
                let may_be_shared = self.pool.lock().may_be_shared(id);
                let attempt = self.pool.connect(permit, self.wants)?;
                if may_be_shared && attempt.adopt() {
                    // Others wait for it, who cannot wait for this request to be polled.
                    self.pool.go_on(Arc::clone(&attempt), Some(self.number));
                    self.made_by_task = Some(Arc::clone(&attempt));
                } else {
                    self.attempt = Some((id, attempt));
                }
            }
            Some(Grant::Failed(error)) => return Poll::Ready(Err(error)),
            Some(Grant::Severed) => {
                return Poll::Ready(Err(closed_while_waiting()));
            }
            None => {}
        }
        let Some((_, attempt)) = &self.attempt else {
            return Poll::Pending;
        };
        let made = ready!(attempt.poll(cx));
        self.attempt = None;
        let lane = match made {
            Some(Ok(connection)) => self.pool.opened(connection, Some(self.number)),
            Some(Err(error)) => {
                self.pool.could_not_connect(self.number, error);
                None
            }
            None => None,
        };
        match lane {
            Some(lane) => Poll::Ready(Ok(lane)),
            // Told of the failure, or served by another connection in this very moment.
            None => self.poll(cx),
        }
    }

    fn fetch(&mut self, cx: &Context<'_>) -> Option<Grant> {
        let mut guard = self.pool.lock();
        let state = &mut *guard;
        let waiter = state
            .waiters
            .get_mut(&self.number)
            .expect("a ticket's waiter stays until the ticket is dropped");
        let origin = &state.origins[waiter.origin];
        self.is_awaiting_one = origin.has_enough_coming(waiter.runtime);
        self.is_counting_on_others =
            waiter.is_waiting_for_a_place() && origin.has_coming(waiter.runtime);
        let grant = waiter.grant.take();
        // With a permit as well: while it connects, a connection may come back.
        let is_known = |waker: &Waker| waker.will_wake(cx.waker());
        let known = waiter.waker.as_ref().is_some_and(is_known);
        let old = (!known).then(|| waiter.waker.replace(cx.waker().clone()));
        drop(guard);
        drop(old);
        grant
    }

    fn out_of_time(&self, total: bool) -> Error {
        if total {
            return Error::timeout(TimeoutPhase::Total);
        }
        let config = &self.pool.config;
        let of_one = config
            .max_per_origin
            .map(|limit| format!(", {limit} an origin"));
        let stats = self.pool.stats();
        Error::new(ErrorKind::Timeout(TimeoutPhase::Pool)).with_message(format!(
            "no connection of the pool became free in time: limit {}{}, {} in use, {} waiting",
            config.max_connections,
            of_one.unwrap_or_default(),
            stats.in_use,
            stats.waiting
        ))
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let now = self.pool.clock.now();
        let (waiter, offered, awaited) = {
            let mut state = self.pool.lock();
            let offered = state.offer_unfetched(self.number, now);
            let waiter = state.leave(self.number);
            let permit = waiter.as_ref().and_then(|waiter| waiter.permit);
            if let Some((attempt, stamp)) = self.made_by_task.as_ref().zip(permit) {
                state.set_aside(stamp.id, attempt);
            }
            let awaited = waiter
                .as_ref()
                .is_some_and(|waiter| state.is_awaited(waiter.origin, waiter.runtime));
            (waiter, offered, awaited)
        };
        if let Some(attempt) = self.made_by_task.take().filter(|_| !awaited) {
            // Nobody else has a use for it.
            attempt.sever();
        }
        if let Some((offer, timer)) = offered {
            self.pool.offered(offer, &timer, now);
        }
        // A permit or a stream goes to the next in the queue.
        drop(waiter);
    }
}

/// How long a request may still queue. That stands still while a connection is made for it.
struct Queueing {
    until: Option<Instant>,
    /// Since when it stands still.
    halted: Option<Instant>,
}

impl Queueing {
    fn new(limit: Option<Duration>) -> Self {
        Self {
            until: limit.and_then(|limit| Instant::now().checked_add(limit)),
            halted: None,
        }
    }

    fn until(&mut self, is_connecting: bool) -> Option<Instant> {
        if is_connecting {
            self.halted.get_or_insert_with(Instant::now);
            return None;
        }
        if let Some(since) = self.halted.take() {
            self.until = self.until.and_then(|at| at.checked_add(since.elapsed()));
        }
        self.until
    }
}

/// A sleep whose end may move.
#[derive(Default)]
struct Alarm(Option<(Instant, Pin<Box<Sleep>>)>);

impl Alarm {
    fn poll(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let (set, sleep) = self
            .0
            .get_or_insert_with(|| (at, Box::pin(sleep_until(at))));
        if *set != at {
            *set = at;
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx)
    }
}
