//! The pool itself: one lock, one clock, and who is told when the books change.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::http1::{Http1, Link};
use super::permit::PermitSource;
use super::state::{EntryKind, Gate, Offer, State};
use super::stats::Stats;
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
    state: Mutex<State>,
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
        Arc::new(Self {
            config,
            dial,
            clock: Clock::start(),
            changed: Notify::new(),
            tasks: TaskTracker::new(),
            state: Mutex::new(State::new()),
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
    pub(super) fn set_background(&self, link: &Arc<Link>, background: bool) {
        if let Some(entry) = self.lock().entries.get_mut(link.id)
            && matches!(&entry.kind, EntryKind::Open(own) if Arc::ptr_eq(own, link))
        {
            entry.background = background;
        }
    }

    pub(super) fn is_shut(&self) -> bool {
        self.lock().gate != Gate::Open
    }

    /// Gives back a connection that is ready for another request.
    pub(super) fn check_in(self: &Arc<Self>, mut connection: Http1) {
        connection.reused = true;
        let now = self.clock.now();
        let timer = Arc::clone(&connection.link.timer);
        let offer = self.lock().offer(connection, now);
        match offer {
            Offer::Taken(waker) => waker.into_iter().for_each(std::task::Waker::wake),
            Offer::Idling => self.watch_idle(&timer, now),
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

    /// Notes that a response has come on a connection that has come before.
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

    /// Ends the exchange well: the connection goes back if it can carry another request.
    pub(super) fn finish(mut self) {
        if let Some(connection) = self.connection.take() {
            // Told by hyper's state, not by the body's end: a request may still be on its way up.
            if connection.is_ready() || (connection.link.drive_at_rest() && connection.is_ready()) {
                self.pool().check_in(connection);
            }
        }
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
        let waker = self.lock().release(id, &source);
        if let Some(waker) = waker {
            waker.wake();
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
