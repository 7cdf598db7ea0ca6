//! What the model has seen so far, and what was wrong with it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper_session::Session;
use tokio::time::Instant;

use super::frames::Wire;
use super::schedule::Settings;

/// After that time the pool gives up an upload that the peer does not take.
const GIVEN_UP: Duration = Duration::from_secs(31);

/// What a schedule did, and how much of it was wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Trace {
    pub text: String,
    pub violations: usize,
}

#[derive(Clone)]
pub struct World(Arc<Mutex<Books>>);

#[derive(Default)]
pub struct Books {
    began: Option<Instant>,
    text: String,
    violations: usize,
    pub limit: usize,
    pub sockets: usize,
    pub live: usize,
    pub dials: usize,
    /// By socket.
    pub wires: BTreeMap<usize, Wire>,
    /// Small requests that were answered and have not come to their end: the pool does not wait for
    /// that.
    pub answered: usize,
    /// By request: how often a server has acted on it.
    pub acted: Vec<usize>,
    /// The same: how often one has refused to.
    pub refused: Vec<usize>,
    /// How often servers have said goodbye, and broken off.
    pub goodbyes: usize,
    pub breaks: usize,
    pub own_tasks: usize,
    /// Whose numbers are compared at any time.
    watched: Option<Session>,
}

impl World {
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Mutex::new(Books {
            limit,
            ..Books::default()
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the numbers of a session compared with the model's from now on.
    pub fn watch(&self, session: Option<Session>) {
        let before = std::mem::replace(&mut self.lock().watched, session);
        drop(before);
    }

    /// Compares the pool's books with the model's, at a moment when nothing can go on before time does.
    pub fn audit(&self, settings: &Settings) {
        let Some(session) = self.lock().watched.clone() else {
            return;
        };
        let (stats, origins) = (session.stats(), session.origin_stats());
        let sending = stats.exchanges - stats.waiting;
        let (streams, young, oldest, bare) = {
            let books = self.lock();
            let ages = books.wires.values().flat_map(Wire::ages);
            let ages: Vec<_> = ages.collect();
            let young = ages.iter().filter(|&&age| age < GIVEN_UP).count();
            let young = young.saturating_sub(books.answered);
            let bare = books.wires.values().filter(|wire| wire.open() == 0);
            (ages.len(), young, ages.into_iter().max(), bare.count())
        };
        let unseen = sending.saturating_sub(streams);
        self.expect(bare <= stats.idle + unseen, || {
            format!("{bare} without streams: {stats:?}")
        });
        let room = stats.open * settings.streams as usize;
        self.expect(young <= sending && sending <= room, || {
            format!("{streams} streams, {young} young, {sending} sending: {stats:?}")
        });
        self.expect(oldest < Some(2 * GIVEN_UP), || format!("{oldest:?} old"));
        for origin in origins {
            let waits = origin.waiting > 0 && stats.connecting == 0;
            let is_full = self.takers(&origin.origin) >= settings.per_origin;
            let may_connect = stats.open < settings.total || stats.idle > 0;
            self.expect(
                !waits || (origin.idle == 0 && (is_full || !may_connect)),
                || format!("waiting for nothing: {stats:?}, {origin:?}"),
            );
        }
        let in_vain = settings.is_plain() && stats.waiting > 0 && stats.connecting == 0;
        self.expect(!in_vain || sending == room, || {
            format!("waiting for nothing: {stats:?}")
        });
    }

    /// Compares them when a socket is closed: until then, it has its place.
    pub fn audit_close(&self) {
        let Some(session) = self.lock().watched.clone() else {
            return;
        };
        let (stats, sockets) = (session.stats(), self.lock().sockets);
        self.expect(sockets <= stats.open + stats.connecting, || {
            format!("{sockets} sockets: {stats:?}")
        });
    }

    /// How many connections to an origin have not been told to leave.
    fn takers(&self, origin: &str) -> usize {
        let books = self.lock();
        let own = books.wires.values().filter(|wire| {
            let host = origin.strip_prefix("http://");
            host == Some(wire.host.as_str()) && !wire.is_leaving()
        });
        own.count()
    }

    pub fn begin(&self) {
        self.lock().began = Some(Instant::now());
    }

    pub fn note(&self, what: &str) {
        self.lock().note(what);
    }

    pub fn expect(&self, is_so: bool, what: impl FnOnce() -> String) {
        if !is_so {
            let mut books = self.lock();
            books.violations += 1;
            let what = format!(">>> {}", what());
            books.note(&what);
        }
    }

    pub fn trace(&self) -> Trace {
        let mut books = self.lock();
        Trace {
            text: std::mem::take(&mut books.text),
            violations: books.violations,
        }
    }

    /// Counts a task of the simulation's own until the guard is dropped.
    pub fn count_task(&self) -> OwnTask {
        self.lock().own_tasks += 1;
        OwnTask(self.clone())
    }

    /// Counts a small request as answered until the guard is dropped.
    pub fn count_answered(&self) -> Answered {
        self.lock().answered += 1;
        Answered(self.clone())
    }
}

impl Books {
    pub fn note(&mut self, what: &str) {
        let at = self.began.map_or(0, |began| began.elapsed().as_millis());
        writeln!(self.text, "{at:6} {what}").expect("text can be written");
    }
}

/// A task of the simulation's own.
pub struct OwnTask(World);

impl Drop for OwnTask {
    fn drop(&mut self) {
        self.0.lock().own_tasks -= 1;
    }
}

/// A small request that was answered.
pub struct Answered(World);

impl Drop for Answered {
    fn drop(&mut self) {
        self.0.lock().answered -= 1;
    }
}
