//! The timer's task: idle connections grow old or die, exchanges run out of time.

use std::sync::{Arc, Weak};
use std::task::Wake;
use std::thread;

use super::connection::Connection;
use super::entry::{Aftermath, Entry, EntryKind, Idle};
use super::http1::Link;
use super::http2;
use super::line::Line;
use super::permit::Books;
use super::shared::Pool;
use super::signal::Signal;
use super::state::State;
use super::timer::Timer;

/// How often idle connections are asked whether their peer has closed, and after how long they keep no
/// buffers.
const LOOK: u64 = 1000;

impl Pool {
    /// Sets an exchange's time limit.
    pub(super) fn arm(self: &Arc<Self>, line: &Line, at: u64) {
        line.signal.arm(at);
        if line.timer.want(at) {
            self.start_timer(&line.timer);
        }
    }

    /// Sees to it that a connection which idles from `now` on is looked at.
    pub(super) fn watch_idle(self: &Arc<Self>, timer: &Arc<Timer>, now: u64, until: u64) {
        if timer.want(until.min(now + LOOK)) {
            self.start_timer(timer);
        }
    }

    fn start_timer(self: &Arc<Self>, timer: &Arc<Timer>) {
        let task = run(Arc::downgrade(self), Running::new(Arc::clone(timer)));
        self.tasks.spawn(&timer.runtime, task);
    }

    /// Does what is due, and says when to look again. `None`: there is nothing to watch.
    fn look_around(self: &Arc<Self>, timer: &Arc<Timer>) -> Option<u64> {
        let now = self.clock.now();
        let mut due = Due::default();
        {
            let mut state = self.lock();
            due.exchanges(&state, timer, now);
            due.idle(&mut state, timer, now);
        }
        let mut closed = !due.expired.is_empty();
        due.expired.into_iter().for_each(Connection::shut_down);
        due.overdue.iter().for_each(|link| link.sever());
        due.passed.into_iter().for_each(Signal::wake);
        for (link, since) in due.noticed {
            closed |= self.poll_idle(&link, since, now);
        }
        // There may be nothing left to watch.
        if closed { Some(now) } else { due.next }
    }
}

impl Pool {
    /// Polls a connection, if it still idles, and lays it to rest after a while. `true`: it has ended, and
    /// left the idle ones.
    fn poll_idle(self: &Arc<Self>, link: &Arc<Link>, since: u64, now: u64) -> bool {
        if !self.lock().claim(link, since) {
            return false;
        }
        let mut claim = Claim {
            pool: self,
            link,
            since,
            now,
            rests: false,
        };
        let lives = link.drive_at_rest();
        claim.rests = since + LOOK <= now && link.rest();
        !lives
    }
}

/// An idle connection that the timer polls. Dropped, it can be used again.
struct Claim<'a> {
    pool: &'a Arc<Pool>,
    link: &'a Arc<Link>,
    since: u64,
    now: u64,
    rests: bool,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            // In the connector's IO.
            self.link.close();
        }
        let books = Arc::clone(self.pool) as Arc<dyn Books>;
        let mut aftermath = Aftermath::default();
        let offer =
            self.pool
                .lock()
                .unclaim(self.link, self.since, self.rests, &books, &mut aftermath);
        self.pool.settle(aftermath, self.now);
        if let Some(offer) = offer {
            self.pool.offered(offer, &self.link.line.timer, self.now);
        }
    }
}

/// What one look around found.
#[derive(Default)]
struct Due {
    next: Option<u64>,
    passed: Vec<Arc<Signal>>,
    expired: Vec<Connection>,
    /// Their goodbye takes too long.
    overdue: Vec<Arc<http2::Link>>,
    /// To be polled, with the time since which they idle.
    noticed: Vec<(Arc<Link>, u64)>,
}

impl Due {
    fn look_at(&mut self, at: u64) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    fn exchanges(&mut self, state: &State, timer: &Arc<Timer>, now: u64) {
        let watched = |entry: &&Entry| entry.is_open() && entry.runtime == timer.id();
        for entry in state.entries.iter().map(|(_, entry)| entry).filter(watched) {
            // Whoever idles next, or sets a limit of a second or more, finds us coming anyway.
            self.look_at(now + LOOK);
            match &entry.kind {
                EntryKind::Open(link) => self.exchange(&link.line.signal, now),
                EntryKind::Shared(shared) => {
                    let streams = shared.streams.iter();
                    streams.for_each(|(_, signal)| self.exchange(signal, now));
                }
                EntryKind::Permitted | EntryKind::Connecting(_) => {}
            }
        }
    }

    fn exchange(&mut self, signal: &Arc<Signal>, now: u64) {
        let Some(at) = signal.armed() else {
            return;
        };
        if at > now {
            self.look_at(at);
        } else if signal.pass(at) {
            self.passed.push(Arc::clone(signal));
        }
    }

    fn idle(&mut self, state: &mut State, timer: &Arc<Timer>, now: u64) {
        let before = self.expired.len();
        let is_over = |entry: &Idle| {
            let own = &entry.connection.link.line.timer;
            if Arc::ptr_eq(own, timer) {
                entry.until <= now
            } else {
                // Nobody could use it any more, and nobody else watches it.
                own.is_gone()
            }
        };
        for (_, origin) in &mut state.origins {
            let mut all_stay = true;
            for entry in &mut origin.idle {
                if is_over(entry) {
                    all_stay = false;
                } else if Arc::ptr_eq(&entry.connection.link.line.timer, timer) {
                    self.idle_connection(entry, now);
                }
            }
            if all_stay {
                continue;
            }
            let expired = origin.idle.extract_if(.., |entry| is_over(entry));
            let expired = expired.map(|entry| {
                let why = entry.connection.age.why(now);
                Connection::Http1(entry.connection.because(why))
            });
            self.expired.extend(expired);
        }
        state.idle -= self.expired.len() - before;
        self.shared(state, timer, now);
    }

    fn idle_connection(&mut self, entry: &mut Idle, now: u64) {
        self.look_at(entry.until);
        let link = &entry.connection.link;
        let settles = !entry.settled && entry.since + LOOK <= now;
        entry.settled |= settles;
        if link.line.signal.take_notice() || settles {
            self.noticed.push((Arc::clone(link), entry.since));
        }
    }

    /// Those without streams, which idle or say goodbye.
    fn shared(&mut self, state: &mut State, timer: &Arc<Timer>, now: u64) {
        let mut expired = Vec::new();
        for (id, entry) in &state.entries {
            let EntryKind::Shared(shared) = &entry.kind else {
                continue;
            };
            let is_own = Arc::ptr_eq(shared.link.timer(), timer);
            let is_over = (is_own && shared.until <= now) || shared.link.timer().is_gone();
            if shared.is_idle() && is_over {
                expired.push((id, shared.age.why(now)));
            } else if shared.is_leaving() && is_over {
                self.overdue.push(Arc::clone(&shared.link));
            } else if shared.streams.is_empty() && is_own {
                self.look_at(shared.until);
            }
        }
        for (id, why) in expired {
            self.expired.extend(state.withdraw(id, why));
        }
    }
}

/// Marks the timer as stopped when the task ends, also when it is dropped with its runtime.
struct Running {
    timer: Arc<Timer>,
    stopped: bool,
}

impl Running {
    fn new(timer: Arc<Timer>) -> Self {
        Self {
            timer,
            stopped: false,
        }
    }

    fn stop(&mut self) {
        self.timer.stopped();
        self.stopped = true;
    }

    /// Goes on, unless another task has been started meanwhile.
    fn resume(&mut self) -> bool {
        self.stopped = !self.timer.kick();
        !self.stopped
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.stopped {
            self.timer.gone();
        }
    }
}

async fn run(pool: Weak<Pool>, mut running: Running) {
    let look_around = |timer: &Arc<Timer>| {
        timer.looking();
        let pool = pool.upgrade()?;
        Some((pool.look_around(timer)?, pool.clock))
    };
    let timer = Arc::clone(&running.timer);
    loop {
        if let Some((next, clock)) = look_around(&timer) {
            timer.sleep(clock, next).await;
            continue;
        }
        running.stop();
        // A deadline that was set before found a task still there to see to it.
        if look_around(&timer).is_none() || !running.resume() {
            return;
        }
    }
}
