//! The timer's task: idle connections grow old or die, exchanges run out of time.

use std::sync::{Arc, Weak};

use super::http1::{Http1, Link};
use super::shared::Pool;
use super::state::{EntryKind, State};
use super::timer::Timer;

/// How often idle connections are asked whether their peer has closed.
const LOOK: u64 = 1000;

impl Pool {
    /// Sets an exchange's time limit.
    pub(super) fn arm(self: &Arc<Self>, link: &Link, at: u64) {
        link.line.signal.arm(at);
        if link.line.timer.want(at) {
            self.start_timer(&link.line.timer);
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
        timer.runtime.spawn(self.tasks.track_future(task));
    }

    /// Does what is due, and says when to look again. `None`: there is nothing to watch.
    fn look_around(&self, timer: &Arc<Timer>) -> Option<u64> {
        let now = self.clock.now();
        let mut due = Due::default();
        {
            let mut state = self.lock();
            due.exchanges(&state, timer, now);
            due.idle(&mut state, timer, now);
        }
        let mut closed = !due.expired.is_empty();
        due.expired.into_iter().for_each(Http1::shut_down);
        due.passed
            .iter()
            .for_each(|link| link.line.waker.wake_by_ref());
        for link in due.noticed {
            // One that has ended leaves the idle ones with its permit.
            closed |= !link.drive_at_rest();
        }
        // There may be nothing left to watch.
        if closed { Some(now) } else { due.next }
    }
}

/// What one look around found.
#[derive(Default)]
struct Due {
    next: Option<u64>,
    passed: Vec<Arc<Link>>,
    expired: Vec<Http1>,
    noticed: Vec<Arc<Link>>,
}

impl Due {
    fn look_at(&mut self, at: u64) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    fn exchanges(&mut self, state: &State, timer: &Arc<Timer>, now: u64) {
        for (_, entry) in &state.entries {
            let EntryKind::Open(link) = &entry.kind else {
                continue;
            };
            if Arc::ptr_eq(&link.line.timer, timer) {
                // Whoever idles next, or sets a limit of a second or more, finds us coming anyway.
                self.look_at(now + LOOK);
            }
            let Some(at) = link
                .line
                .signal
                .armed()
                .filter(|_| Arc::ptr_eq(&link.line.timer, timer))
            else {
                continue;
            };
            if at > now {
                self.look_at(at);
            } else if link.line.signal.pass(at) {
                self.passed.push(Arc::clone(link));
            }
        }
    }

    fn idle(&mut self, state: &mut State, timer: &Arc<Timer>, now: u64) {
        let before = self.expired.len();
        for (_, origin) in &mut state.origins {
            let expired = origin.idle.extract_if(.., |entry| {
                let link = &entry.connection.link;
                if !Arc::ptr_eq(&link.line.timer, timer) {
                    // Nobody could use it any more, and nobody else watches it.
                    return link.line.timer.is_gone();
                }
                if entry.until <= now {
                    return true;
                }
                self.next = Some(self.next.map_or(entry.until, |next| next.min(entry.until)));
                let settles = !entry.settled && entry.since + LOOK <= now;
                entry.settled |= settles;
                if link.line.signal.take_notice() || settles {
                    self.noticed.push(Arc::clone(link));
                }
                false
            });
            self.expired.extend(expired.map(|entry| entry.connection));
        }
        state.idle -= self.expired.len() - before;
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
