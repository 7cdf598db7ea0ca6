//! The pool itself: one lock, one clock, and who is told when the books change.

use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::{self, Notify};
use tokio_util::task::TaskTracker;

use super::http1::{Http1, Link};
use super::permit::PermitSource;
use super::state::{Gate, Offer, State};
use super::stats::{CloseReport, Stats};
use super::timer::Clock;
use crate::config::PoolConfig;
use crate::connect::Dial;
use crate::error::{Error, Result};

pub(crate) struct Pool {
    pub(super) config: PoolConfig,
    pub(super) dial: Arc<dyn Dial>,
    pub(super) clock: Clock,
    /// Rung whenever a closer may find that what it waits for has come.
    pub(super) changed: Notify,
    pub(super) tasks: TaskTracker,
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
    pub(super) connection: Option<Http1>,
    counted: Counted,
}

#[derive(Debug)]
struct Counted {
    pool: Arc<Pool>,
    reused: bool,
}

impl Pool {
    pub(crate) fn new(config: PoolConfig, dial: Arc<dyn Dial>) -> Arc<Self> {
        let state = Mutex::new(State::new(&config));
        Arc::new(Self {
            config,
            dial,
            clock: Clock::start(),
            changed: Notify::new(),
            tasks: TaskTracker::new(),
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
        Stats {
            open: state.open,
            idle: state.idle,
            in_use: state.open - state.idle,
            connecting: state.connecting(),
            waiting: state.waiters.len(),
            exchanges: state.exchanges,
            opened: state.opened,
            reused: state.reused,
            closed: state.closed,
            one_shots: 0,
        }
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
            link.sever();
        }
    }

    pub(super) fn is_shut(&self) -> bool {
        self.lock().gate != Gate::Open
    }

    /// Gives back a connection that is ready for another request.
    pub(super) fn check_in(self: &Arc<Self>, mut connection: Http1) {
        connection.pooled = true;
        connection.link.line.signal.rest();
        let now = self.clock.now();
        let timer = Arc::clone(&connection.link.line.timer);
        let offer = self.lock().offer(connection, now);
        match offer {
            Offer::Taken(waker, unused) => {
                drop(unused);
                waker.into_iter().for_each(std::task::Waker::wake);
            }
            Offer::Idling { until } => self.watch_idle(&timer, now, until),
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
            connection: None,
            counted: Counted {
                pool: Arc::clone(pool),
                reused: false,
            },
        })
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.counted.pool
    }

    /// Notes that the answer has come on a connection that had brought one before.
    pub(super) fn count_reuse(&mut self) {
        self.counted.reused = true;
    }

    /// The connection of an exchange that has checked one out, and the pool.
    pub(super) fn parts(&mut self) -> (&mut Http1, &Arc<Pool>) {
        let connection = self.connection.as_mut();
        let connection = connection.expect("an exchange that sends has checked out a connection");
        (connection, &self.counted.pool)
    }

    /// The connection of an exchange that has checked one out.
    pub(super) fn checked_out(&mut self) -> &mut Http1 {
        self.parts().0
    }

    /// The same, for those that only drive it.
    pub(super) fn link(&self) -> &Arc<Link> {
        let connection = self.connection.as_ref();
        &connection
            .expect("an exchange that reads has checked out a connection")
            .link
    }

    /// Sees to it that the connection is closed when the exchange ends.
    pub(super) fn never_reuse(&mut self) {
        self.checked_out().reusable = false;
    }

    /// Whether its connection can carry another request now.
    pub(super) fn is_ready(&self) -> bool {
        self.connection.as_ref().is_some_and(Http1::is_ready)
    }

    /// Ends the exchange well: the connection goes back if it can carry another request. Told by
    /// hyper's state, not by the body's end: an exchange whose request is still on its way up is
    /// handed back.
    pub(super) fn finish(mut self) -> Option<Self> {
        let connection = self.connection.take()?;
        let lives = connection.is_ready() || connection.link.drive_at_rest();
        if connection.is_ready() {
            self.pool().check_in(connection);
        } else if lives && connection.is_reusable() {
            self.connection = Some(connection);
            return Some(self);
        }
        None
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let closers = {
            let mut state = self.pool.lock();
            state.exchanges -= 1;
            state.reused += u64::from(self.reused);
            state.closers
        };
        if closers > 0 {
            self.pool.changed.notify_waiters();
        }
    }
}

impl PermitSource for Pool {
    fn give_back(self: Arc<Self>, id: usize) {
        let source: Arc<dyn PermitSource> = Arc::clone(&self) as Arc<dyn PermitSource>;
        let (mut released, closers) = {
            let mut state = self.lock();
            (state.release(id, &source), state.closers)
        };
        if let Some(waker) = released.next.take() {
            waker.wake();
        }
        drop(released);
        if closers > 0 {
            self.changed.notify_waiters();
        }
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
