//! The pool itself: one lock, one clock, and who is told when the books change.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::{fmt, mem};

use tokio::sync::{self, Notify};

use super::connection::{Connection, Lane};
use super::entry::Aftermath;
use super::http1::{Http1, Link};
use super::idle::Offer;
use super::line::Line;
use super::meter::End;
use super::permit::{Books, Stamp};
use super::state::{Gate, State};
use super::stats::{CloseReport, OriginStats, Stats};
use super::task::Task;
use super::tasks::Tasks;
use super::timer::{Clock, Timer};
use crate::config::PoolConfig;
use crate::connect::Dial;
use crate::error::{Error, Result};

pub(crate) struct Pool {
    pub(super) config: PoolConfig,
    pub(super) dial: Arc<dyn Dial>,
    pub(super) clock: Clock,
    /// Rung whenever a closer may find that what it waits for has come.
    pub(super) changed: Notify,
    pub(super) tasks: Tasks,
    pub(super) ending: Ending,
    state: Mutex<State>,
}

/// How far a close has come.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// Leases that are out, and one bit more for a close that has begun.
    pub(super) leases: AtomicUsize,
    /// Whether the closing hook has had its run; held during it.
    pub(super) hook: sync::Mutex<bool>,
    /// There once nothing is open any more.
    pub(super) report: OnceLock<CloseReport>,
}

/// One request and its response, counted from before its connection is there until it is given back
/// or closed.
#[derive(Debug)]
pub(super) struct Exchange {
    // Fields drop in this order: the connection is closed before the exchange is over.
    pub(super) lane: Option<Lane>,
    counted: Counted,
    /// Whether it began as one of many.
    pub(super) in_crowd: bool,
}

/// How many exchanges are many: with fewer, those that are ready together are too few to gain from it.
const CROWD: usize = 16;

#[derive(Debug)]
struct Counted {
    pool: Arc<Pool>,
    /// Whether it has been counted as over already.
    is_over: bool,
}

impl Pool {
    pub(crate) fn new(config: PoolConfig, dial: Arc<dyn Dial>) -> Arc<Self> {
        let state = Mutex::new(State::new(&config));
        Arc::new(Self {
            config,
            dial,
            clock: Clock::start(),
            changed: Notify::new(),
            tasks: Tasks::default(),
            ending: Ending::default(),
            state,
        })
    }

    /// The books. Nothing is dropped, woken or awaited while they are held.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stats(&self) -> Stats {
        let state = self.lock();
        let counts = state.counts(|_| true).plus(state.tally.counts());
        Stats {
            open: state.open,
            idle: state.idle,
            in_use: state.open - state.idle,
            connecting: state.connecting(),
            waiting: state.waiters.len(),
            exchanges: state.exchanges,
            opened: counts.opened,
            closed: counts.closed,
            closed_by: state.tally.closed_by(),
            requests: counts.requests,
            reused: counts.reused,
            received: counts.received,
            sent: counts.sent,
            one_shots: 0,
        }
    }

    pub(crate) fn origin_stats(&self) -> Vec<OriginStats> {
        let state = self.lock();
        state.origin_stats()
    }

    /// Enters a task in the books, or cuts it.
    pub(super) fn tend(&self, task: &Arc<Task>) {
        let (ended, shut) = {
            let mut state = self.lock();
            let shut = state.gate == Gate::Shut;
            let ended = state.tended.extract_if(.., |task| task.has_ended());
            let ended = ended.collect::<Vec<_>>();
            if !shut {
                state.tended.push(Arc::clone(task));
            }
            (ended, shut)
        };
        drop(ended);
        if shut {
            task.sever();
        }
        self.changed.notify_waiters();
    }

    /// Marks a connection as nobody's exchange: it is closed as soon as the session is.
    pub(super) fn set_background(&self, link: &Arc<Link>) {
        let shut = {
            let mut state = self.lock();
            if let Some(entry) = state.entry_of(link) {
                entry.background = true;
            }
            state.gate == Gate::Shut
        };
        if shut {
            link.meter.end(End::Closed);
            link.sever();
        }
    }

    pub(super) fn is_shut(&self) -> bool {
        self.lock().gate != Gate::Open
    }

    /// Takes back a connection that is ready for another request, and counts its exchange as over: in
    /// one step, as every request takes it.
    fn check_in(self: &Arc<Self>, mut connection: Box<Http1>, now: u64) {
        // One that was made for whoever comes next has not been left to itself yet.
        connection.pooled |= connection.link.meter.has_served();
        connection.link.line.signal.rest();
        let timer = Arc::clone(&connection.link.line.timer);
        let (offer, closers) = {
            let mut state = self.lock();
            state.exchanges -= 1;
            (state.offer(connection, now), state.closers)
        };
        self.offered(offer, &timer, now);
        if closers > 0 {
            self.changed.notify_waiters();
        }
    }

    pub(super) fn offered(self: &Arc<Self>, offer: Offer, timer: &Arc<Timer>, now: u64) {
        match offer {
            Offer::Taken(aftermath) => self.settle(aftermath, now),
            Offer::Idling { until } => self.watch_idle(timer, now, until),
            Offer::Refused(connection) => connection.shut_down(),
        }
    }
}

impl Exchange {
    /// Begins an exchange, if the gate lets it.
    pub(super) fn begin(pool: &Arc<Pool>, state: &mut State, as_hook: bool) -> Result<Self> {
        match state.gate {
            Gate::Open => {}
            Gate::Hook if as_hook => {}
            Gate::Hook | Gate::Shut => return Err(Error::closed("the session is closed")),
        }
        state.exchanges += 1;
        Ok(Self {
            lane: None,
            counted: Counted {
                pool: Arc::clone(pool),
                is_over: false,
            },
            in_crowd: state.exchanges >= CROWD,
        })
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.counted.pool
    }

    /// What an exchange that sends has checked out, and the pool.
    pub(super) fn parts(&mut self) -> (&mut Lane, &Arc<Pool>) {
        let lane = self.lane.as_mut();
        let lane = lane.expect("an exchange that sends has checked out a connection");
        (lane, &self.counted.pool)
    }

    /// The same, for those that only wait.
    pub(super) fn lane(&self) -> &Lane {
        let lane = self.lane.as_ref();
        lane.expect("an exchange that reads has checked out a connection")
    }

    pub(super) fn line(&self) -> &Line {
        self.lane().line()
    }

    /// Whether it has only a stream of its connection.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.lane, Some(Lane::Http2(_)))
    }

    /// The same exchange in other hands: what is left is over.
    pub(super) fn hand_over(&mut self) -> Self {
        let is_over = mem::replace(&mut self.counted.is_over, true);
        Self {
            lane: self.lane.take(),
            counted: Counted {
                pool: Arc::clone(&self.counted.pool),
                is_over,
            },
            in_crowd: self.in_crowd,
        }
    }

    /// Whether its HTTP/1 connection can carry another request now.
    pub(super) fn is_ready(&self) -> bool {
        match &self.lane {
            Some(Lane::Http1(connection)) => connection.is_ready(),
            Some(Lane::Http2(_)) | None => false,
        }
    }

    /// Has its HTTP/1 connection let go of the buffers of a large body, if its exchange is over.
    #[cold]
    pub(super) fn renew(&mut self) {
        let Some(Lane::Http1(connection)) = &mut self.lane else {
            return;
        };
        if connection.is_ready() || (connection.link.drive_at_rest() && connection.is_ready()) {
            connection.renew(&self.counted.pool.config.http);
        }
    }

    /// Ends the exchange well: a connection of its own goes back if it can carry another request.
    /// Told by hyper's state, not by the body's end: an exchange whose request is still on its way
    /// up is handed back.
    pub(super) fn finish(mut self, now: u64) -> Option<Self> {
        let Lane::Http1(connection) = self.lane.take()? else {
            return None;
        };
        let lives = connection.is_ready() || connection.link.drive_at_rest();
        if !lives && !connection.age.is_spent() {
            connection.link.meter.end(End::Peer);
        } else if connection.age.is_spent() {
            connection.link.meter.end(End::Requests);
        } else if !connection.is_reusable() {
            connection.link.meter.end(End::Error);
        }
        if connection.is_ready() {
            self.counted.is_over = true;
            self.pool().check_in(connection, now);
        } else if lives && connection.is_reusable() {
            self.lane = Some(Lane::Http1(connection));
            return Some(self);
        }
        None
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let closers = {
            let mut state = self.pool.lock();
            state.exchanges -= 1;
            state.closers
        };
        if closers > 0 {
            self.pool.changed.notify_waiters();
        }
    }
}

impl Pool {
    /// Wakes, drives, closes and watches what a change of the books calls for.
    pub(super) fn settle(self: &Arc<Self>, aftermath: Aftermath, now: u64) {
        for attempt in aftermath.adopted {
            self.go_on(attempt, None);
        }
        aftermath.wakers.into_iter().for_each(Waker::wake);
        aftermath
            .leaving
            .into_iter()
            .for_each(Connection::shut_down);
        if let Some((timer, until)) = aftermath.watch {
            self.watch_idle(&timer, now, until);
        }
    }
}

impl Books for Pool {
    fn give_back(self: Arc<Self>, id: usize) {
        let books = Arc::clone(&self) as Arc<dyn Books>;
        let (mut released, closers) = {
            let mut state = self.lock();
            (state.release(id, &books), state.closers)
        };
        let wakers = mem::take(&mut released.wakers);
        wakers.into_iter().for_each(Waker::wake);
        drop(released);
        if closers > 0 {
            self.changed.notify_waiters();
        }
    }

    fn limit_streams(self: Arc<Self>, of: Stamp) {
        let now = self.clock.now();
        let books = Arc::clone(&self) as Arc<dyn Books>;
        let aftermath = self.lock().limit_streams(of, now, &books);
        self.settle(aftermath, now);
    }

    fn end_stream(self: Arc<Self>, of: Stamp, place: usize) {
        let now = self.clock.now();
        let books = Arc::clone(&self) as Arc<dyn Books>;
        let aftermath = self.lock().end_stream(of, place, now, &books);
        self.settle(aftermath, now);
    }

    fn retire(self: Arc<Self>, which: Stamp) {
        let books = Arc::clone(&self) as Arc<dyn Books>;
        let aftermath = self.lock().retire(which, &books);
        self.settle(aftermath, self.clock.now());
    }
}

impl Drop for Pool {
    /// The timers' tasks do not keep the pool, and would sleep on to their next look.
    fn drop(&mut self) {
        let state = self.state.get_mut();
        for timer in &state.unwrap_or_else(PoisonError::into_inner).timers {
            timer.dismiss();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
