//! The pool's books: origins, idle connections, waiters, permits, counters.
//!
//! Everything here runs under the pool's one lock: it updates and answers, and never drops a
//! connection, wakes a task or calls anything else. What must be dropped or woken is handed out.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use slab::Slab;
use tokio::runtime::Handle;

use super::attempt::Attempt;
use super::entry::{Entry, EntryKind, Origin, Protocol, Waiter};
use super::http1::Link;
use super::key::{Key, OwnedKey};
use super::meter::{Counts, Tally};
use super::task::Task;
use super::timer::Timer;
use crate::config::{PoolConfig, Protocols};

/// Who may begin an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// Everybody.
    Open,
    /// The closing hook alone.
    Hook,
    /// Nobody.
    Shut,
}

/// What a deadline found and did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    pub(super) severed: usize,
    pub(super) leases: usize,
}

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) total: usize,
    pub(super) per_origin: usize,
    pub(super) idle_per_origin: usize,
    /// HTTP/2 connections to one origin, of each runtime.
    pub(super) shared_per_origin: usize,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) limits: Limits,
    protocols: Protocols,
    pub(super) gate: Gate,
    /// Everything is being cut.
    pub(super) severed: bool,
    /// How many connections were cut, once all are; exchanges that remain are empty shells.
    pub(super) cut: Option<Cut>,
    pub(super) origins: Slab<Origin>,
    index: HashMap<OwnedKey, usize>,
    pub(super) entries: Slab<Entry>,
    pub(super) waiters: BTreeMap<u64, Waiter>,
    pub(super) next_ticket: u64,
    /// The number of the next permit.
    pub(super) next_number: u64,
    pub(super) timers: Vec<Arc<Timer>>,
    /// What the session has tasks for.
    pub(super) tended: Vec<Arc<Task>>,
    pub(super) closers: usize,
    pub(super) exchanges: usize,
    pub(super) idle: usize,
    pub(super) open: usize,
    pub(super) tally: Arc<Tally>,
}

impl Limits {
    fn of(config: &PoolConfig) -> Self {
        Self {
            total: config.max_connections,
            per_origin: config.max_per_origin.unwrap_or(usize::MAX),
            idle_per_origin: config.max_idle_per_origin.unwrap_or(usize::MAX),
            shared_per_origin: config.http.http2.max_connections_per_origin,
        }
    }
}

impl State {
    pub(super) fn new(config: &PoolConfig) -> Self {
        Self {
            limits: Limits::of(config),
            protocols: config.http.protocols,
            gate: Gate::Open,
            severed: false,
            cut: None,
            origins: Slab::new(),
            index: HashMap::new(),
            entries: Slab::new(),
            waiters: BTreeMap::new(),
            next_ticket: 0,
            next_number: 0,
            timers: Vec::new(),
            tended: Vec::new(),
            closers: 0,
            exchanges: 0,
            idle: 0,
            open: 0,
            tally: Arc::default(),
        }
    }

    pub(super) fn find_origin(&self, key: Key<'_>) -> Option<usize> {
        self.index.get(&key).copied()
    }

    pub(super) fn origin_of(&mut self, key: Key<'_>) -> usize {
        if let Some(id) = self.find_origin(key) {
            return id;
        }
        let protocol = match self.protocols {
            Protocols::Negotiated if key.https => Protocol::Unknown,
            Protocols::Negotiated | Protocols::Http1Only => Protocol::Http1,
            Protocols::Http2Only => Protocol::Http2,
        };
        let id = self.origins.insert(Origin {
            key: key.to_owned(),
            protocol,
            tally: Arc::default(),
            idle: Vec::new(),
            shared: Vec::new(),
            sides: Vec::new(),
            live: 0,
            users: 0,
        });
        self.index.insert(key.to_owned(), id);
        id
    }

    pub(super) fn leave_origin(&mut self, id: usize) {
        let origin = &mut self.origins[id];
        origin.users -= 1;
        if origin.users == 0 {
            let origin = self.origins.remove(id);
            self.index.remove(&origin.key);
        }
    }

    /// Whether an origin has as many connections as it may.
    pub(super) fn is_full(&self, origin: usize) -> bool {
        self.origins[origin].live >= self.limits.per_origin
    }

    /// Whether what a permit pays for may be shared by all who wait.
    pub(super) fn may_be_shared(&self, id: usize) -> bool {
        let origin = self.entries[id].origin;
        self.origins[origin].protocol != Protocol::Http1
    }

    /// Whether there are as many connections to share as there may be, for what a permit pays for.
    pub(super) fn shares_enough(&self, id: usize) -> bool {
        let entry = &self.entries[id];
        let side = self.origins[entry.origin].side(entry.runtime);
        side.is_some_and(|side| side.shared >= self.limits.shared_per_origin)
    }

    /// The entry of a connection that still holds its permit: it may have died a moment ago.
    pub(super) fn entry_of(&mut self, link: &Arc<Link>) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(link.id);
        entry.filter(|entry| matches!(&entry.kind, EntryKind::Open(own) if Arc::ptr_eq(own, link)))
    }

    /// Marks an attempt as nobody's exchange.
    pub(super) fn set_aside(&mut self, id: usize, attempt: &Arc<Attempt>) {
        if let Some(entry) = self.entries.get_mut(id)
            && matches!(&entry.kind, EntryKind::Connecting(own) if Arc::ptr_eq(own, attempt))
        {
            entry.background = true;
        }
    }

    /// Says what a permit is used for, and hands out what it was used for before.
    pub(super) fn turn(&mut self, id: usize, kind: EntryKind) -> EntryKind {
        std::mem::replace(&mut self.entries[id].kind, kind)
    }

    /// Enters the making of a connection.
    pub(super) fn begun(&mut self, id: usize, attempt: &Arc<Attempt>) {
        let Entry {
            origin, runtime, ..
        } = self.entries[id];
        self.origins[origin].with_side(runtime, |side| side.begun += 1);
        self.turn(id, EntryKind::Connecting(Arc::clone(attempt)));
    }

    /// Enters a connection that has been made.
    pub(super) fn opened(&mut self, id: usize, kind: EntryKind) -> EntryKind {
        let entry = &mut self.entries[id];
        entry.background = false;
        let origin = &mut self.origins[entry.origin];
        origin.with_side(entry.runtime, |side| {
            side.attempts -= 1;
            side.begun -= 1;
        });
        self.open += 1;
        let before = self.turn(id, kind);
        if let Some(meter) = self.entries[id].meter() {
            meter.opened();
        }
        before
    }

    /// The timer of a runtime, and those that nothing needs any more.
    pub(super) fn timer(&mut self, runtime: &Handle) -> (Arc<Timer>, Vec<Arc<Timer>>) {
        if let Some(timer) = self.timers.iter().find(|timer| timer.id() == runtime.id()) {
            return (Arc::clone(timer), Vec::new());
        }
        let unused = |timer: &mut Arc<Timer>| Arc::strong_count(timer) == 1;
        let gone = self.timers.extract_if(.., unused).collect();
        let timer = Arc::new(Timer::new(runtime.clone()));
        self.timers.push(Arc::clone(&timer));
        (timer, gone)
    }

    /// What live connections have done that no tally has yet.
    pub(super) fn counts(&self, which: impl Fn(&Entry) -> bool) -> Counts {
        let entries = self.entries.iter().map(|(_, entry)| entry);
        let meters = entries
            .filter(|entry| which(entry))
            .filter_map(Entry::meter);
        meters.fold(Counts::default(), |counts, meter| {
            counts.plus(meter.counts())
        })
    }

    pub(super) fn connecting(&self) -> usize {
        self.entries.len() - self.open
    }
}
