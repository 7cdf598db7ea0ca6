//! What the model has seen so far, and what was wrong with it.

use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper_session::Session;
use tokio::time::Instant;

use super::schedule::Settings;

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
    /// Open by the frames that have passed, on all sockets.
    pub streams: usize,
    /// By request: how often a server has acted on it.
    pub acted: Vec<usize>,
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
        let stats = session.stats();
        let streams = self.lock().streams;
        let room = stats.open * settings.streams as usize;
        let sending = stats.exchanges - stats.waiting;
        // What was called off may still be on the wire where a peer is in the way.
        let are_known = settings.trouble > 0 || streams <= sending;
        self.expect(sending <= room && are_known, || {
            format!("{streams} streams, {sending} sending: {stats:?}")
        });
        let in_vain = settings.is_plain() && stats.waiting > 0 && stats.connecting == 0;
        self.expect(!in_vain || sending == room, || {
            format!("waiting for nothing: {stats:?}")
        });
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
