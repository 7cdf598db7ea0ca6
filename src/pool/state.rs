//! The pool's books: origins, idle connections, waiters, permits, counters.
//!
//! Everything here runs under the pool's one lock: it updates and answers, and never drops a
//! connection, wakes a task or calls anything else. What must be dropped or woken is handed out.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::task::Waker;

use hashbrown::{Equivalent, HashMap};
use slab::Slab;
use tokio::runtime::{self, Handle};

use super::attempt::Attempt;
use super::http1::{Http1, Link};
use super::permit::{Permit, PermitSource};
use super::timer::Timer;
use crate::config::PoolConfig;

/// What makes two connections interchangeable.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) https: bool,
    /// Host and port, as the URL has them: lower-case, the scheme's default port left out.
    pub(super) authority: &'a str,
}

#[derive(Debug, PartialEq, Eq)]
struct OwnedKey {
    https: bool,
    authority: Box<str>,
}

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

#[derive(Debug)]
pub(super) struct Origin {
    key: OwnedKey,
    /// Oldest first. Each holds its permit: one that ends here leaves with it.
    pub(super) idle: Vec<Idle>,
    /// Permits for this origin: connections live and in the making.
    live: usize,
    /// Waiters and permits that refer to this origin.
    users: usize,
}

#[derive(Debug)]
pub(super) struct Idle {
    pub(super) connection: Http1,
    /// In milliseconds of the pool's clock.
    pub(super) since: u64,
    /// The same: from then on it may not be used.
    pub(super) until: u64,
    /// Whether the timer has polled it since it was laid to rest.
    pub(super) settled: bool,
}

/// A live connection, or one being made.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) origin: usize,
    pub(super) kind: EntryKind,
    /// Nobody's exchange: closed as soon as the session is.
    pub(super) background: bool,
}

#[derive(Debug)]
pub(super) enum EntryKind {
    /// The permit has been given out.
    Permitted,
    Connecting(Arc<Attempt>),
    Open(Arc<Link>),
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) origin: usize,
    runtime: runtime::Id,
    /// Wants a connection that has carried nothing yet.
    fresh: bool,
    permitted: bool,
    pub(super) waker: Option<Waker>,
    pub(super) grant: Option<Grant>,
}

/// What a waiter gets.
#[derive(Debug)]
pub(super) enum Grant {
    Connection(Http1),
    Permit(Permit),
    Severed,
}

/// What is left over when a permit comes back, to be dropped and woken without the lock.
#[derive(Debug)]
pub(super) struct Released {
    pub(super) next: Option<Waker>,
    /// The connection, if it has ended while it idled.
    _dead: Option<Http1>,
    _entry: Entry,
}

/// What became of a connection that was offered to the waiters and the idle.
#[derive(Debug)]
pub(super) enum Offer {
    /// By a waiter, who must be woken, in place of a permit that it had not used yet.
    Taken(Option<Waker>, Option<Grant>),
    Idling {
        until: u64,
    },
    /// Its place is needed for another origin or runtime, or the pool is shut.
    Refused(Http1),
}

/// What a deadline found and did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    pub(super) severed: usize,
    pub(super) leases: usize,
}

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
struct Limits {
    total: usize,
    per_origin: usize,
    idle_per_origin: usize,
}

#[derive(Debug)]
pub(super) struct State {
    limits: Limits,
    pub(super) gate: Gate,
    /// Everything is being cut.
    pub(super) severed: bool,
    /// How many connections were cut, once all are; exchanges that remain are empty shells.
    pub(super) cut: Option<Cut>,
    pub(super) origins: Slab<Origin>,
    index: HashMap<OwnedKey, usize>,
    pub(super) entries: Slab<Entry>,
    pub(super) waiters: BTreeMap<u64, Waiter>,
    next_ticket: u64,
    pub(super) timers: Vec<Arc<Timer>>,
    pub(super) closers: usize,
    pub(super) exchanges: usize,
    pub(super) idle: usize,
    pub(super) open: usize,
    pub(super) opened: u64,
    pub(super) reused: u64,
    pub(super) closed: u64,
}

impl Waiter {
    /// Whether it wants a connection of this kind that has come back.
    fn takes(&self, origin: usize, runtime: runtime::Id) -> bool {
        let same = self.origin == origin && self.runtime == runtime;
        same && !self.fresh && matches!(self.grant, None | Some(Grant::Permit(_)))
    }

    fn is_waiting_for_a_place(&self) -> bool {
        !self.permitted && self.grant.is_none()
    }
}

impl Limits {
    fn of(config: &PoolConfig) -> Self {
        Self {
            total: config.max_connections,
            per_origin: config.max_per_origin.unwrap_or(usize::MAX),
            idle_per_origin: config.max_idle_per_origin.unwrap_or(usize::MAX),
        }
    }
}

impl State {
    pub(super) fn new(config: &PoolConfig) -> Self {
        Self {
            limits: Limits::of(config),
            gate: Gate::Open,
            severed: false,
            cut: None,
            origins: Slab::new(),
            index: HashMap::new(),
            entries: Slab::new(),
            waiters: BTreeMap::new(),
            next_ticket: 0,
            timers: Vec::new(),
            closers: 0,
            exchanges: 0,
            idle: 0,
            open: 0,
            opened: 0,
            reused: 0,
            closed: 0,
        }
    }

    pub(super) fn find_origin(&self, key: Key<'_>) -> Option<usize> {
        self.index.get(&key).copied()
    }

    fn origin_of(&mut self, key: Key<'_>) -> usize {
        if let Some(id) = self.find_origin(key) {
            return id;
        }
        let id = self.origins.insert(Origin {
            key: key.to_owned(),
            idle: Vec::new(),
            live: 0,
            users: 0,
        });
        self.index.insert(key.to_owned(), id);
        id
    }

    fn leave_origin(&mut self, id: usize) {
        let origin = &mut self.origins[id];
        origin.users -= 1;
        if origin.users == 0 {
            let origin = self.origins.remove(id);
            self.index.remove(&origin.key);
        }
    }

    /// The newest idle connection that may still be used; those that may not go to `expired`.
    pub(super) fn take_idle(
        &mut self,
        origin: usize,
        runtime: runtime::Id,
        now: u64,
        expired: &mut Vec<Http1>,
    ) -> Option<Idle> {
        let idle = &mut self.origins[origin].idle;
        let fits = |entry: &Idle| entry.connection.link.line.timer.id() == runtime;
        loop {
            let newest = match idle.last() {
                Some(last) if fits(last) => idle.len() - 1,
                _ => idle.iter().rposition(fits)?,
            };
            let found = idle.remove(newest);
            self.idle -= 1;
            if found.until > now {
                return Some(found);
            }
            expired.push(found.connection);
        }
    }

    /// Joins the queue; a permit comes at once if there is one to be had.
    pub(super) fn enqueue(
        &mut self,
        key: Key<'_>,
        runtime: runtime::Id,
        fresh: bool,
        source: &Arc<dyn PermitSource>,
    ) -> u64 {
        let origin = self.origin_of(key);
        self.origins[origin].users += 1;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        // One that is free is wanted by nobody who came before: each that comes back goes to the first.
        let permit = self.has_place(origin).then(|| self.permit(origin, source));
        self.waiters.insert(
            ticket,
            Waiter {
                origin,
                runtime,
                fresh,
                permitted: permit.is_some(),
                waker: None,
                grant: permit.map(Grant::Permit),
            },
        );
        ticket
    }

    fn has_place(&self, origin: usize) -> bool {
        self.entries.len() < self.limits.total && !self.is_full(origin)
    }

    /// Whether an origin has as many connections as it may.
    fn is_full(&self, origin: usize) -> bool {
        self.origins[origin].live >= self.limits.per_origin
    }

    /// Whether the place of a connection of `origin` is one that the waiter waits for.
    fn is_helped_by(&self, waiter: &Waiter, origin: usize) -> bool {
        waiter.is_waiting_for_a_place() && (waiter.origin == origin || !self.is_full(waiter.origin))
    }

    fn permit(&mut self, origin: usize, source: &Arc<dyn PermitSource>) -> Permit {
        self.origins[origin].users += 1;
        self.origins[origin].live += 1;
        let id = self.entries.insert(Entry {
            origin,
            kind: EntryKind::Permitted,
            background: false,
        });
        Permit::new(id, Arc::clone(source))
    }

    /// Leaves the queue, with what was granted and not fetched.
    pub(super) fn leave(&mut self, ticket: u64) -> Option<Waiter> {
        let waiter = self.waiters.remove(&ticket)?;
        self.leave_origin(waiter.origin);
        Some(waiter)
    }

    /// An idle connection that makes room at a limit for the newest in the queue: one of another
    /// runtime rather than one of its own, then the one that has idled longest.
    pub(super) fn evict(&mut self) -> Option<Http1> {
        if self.idle == 0 {
            return None;
        }
        let (_, waiter) = self.waiters.last_key_value()?;
        let places = self.origins.iter().flat_map(|(id, origin)| {
            let idle = origin.idle.iter().enumerate();
            idle.map(move |(place, entry)| (entry, id, place))
        });
        let (_, id, place) = places
            .filter(|(_, id, _)| self.is_helped_by(waiter, *id))
            .min_by_key(|(entry, ..)| {
                let own = entry.connection.link.line.timer.id() == waiter.runtime;
                (own, entry.since)
            })?;
        self.idle -= 1;
        Some(self.origins[id].idle.remove(place).connection)
    }

    /// The entry of a connection that still holds its permit: it may have died a moment ago.
    pub(super) fn entry_of(&mut self, link: &Arc<Link>) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(link.id);
        entry.filter(|entry| matches!(&entry.kind, EntryKind::Open(own) if Arc::ptr_eq(own, link)))
    }

    /// Gives a connection that is ready for a request to the first waiter that it can serve, by
    /// itself or by its place; else lays it to rest.
    pub(super) fn offer(&mut self, connection: Http1, now: u64) -> Offer {
        if self.gate != Gate::Open && self.waiters.is_empty() {
            return Offer::Refused(connection);
        }
        let Some(until) = connection.age.idles_until(now) else {
            return Offer::Refused(connection);
        };
        let Some(entry) = self.entry_of(&connection.link) else {
            return Offer::Refused(connection);
        };
        entry.background = false;
        let (origin, runtime) = (connection.link.origin, connection.link.line.timer.id());
        let served = self.waiters.iter().find_map(|(&ticket, waiter)| {
            if waiter.takes(origin, runtime) {
                return Some(Some(ticket));
            }
            self.is_helped_by(waiter, origin).then_some(None)
        });
        match served {
            Some(Some(ticket)) => {
                let waiter = self.waiters.get_mut(&ticket);
                let waiter = waiter.expect("it was found in the queue a line ago");
                let unused = waiter.grant.replace(Grant::Connection(connection));
                return Offer::Taken(waiter.waker.take(), unused);
            }
            Some(None) => return Offer::Refused(connection),
            None if self.origins[origin].idle.len() >= self.limits.idle_per_origin => {
                return Offer::Refused(connection);
            }
            None => {}
        }
        if self.gate != Gate::Open {
            return Offer::Refused(connection);
        }
        self.origins[origin].idle.push(Idle {
            connection,
            since: now,
            until,
            settled: false,
        });
        self.idle += 1;
        Offer::Idling { until }
    }

    /// Takes a permit back and passes it on to the first waiter without one.
    pub(super) fn release(&mut self, id: usize, source: &Arc<dyn PermitSource>) -> Released {
        let entry = self.entries.remove(id);
        self.origins[entry.origin].live -= 1;
        if matches!(entry.kind, EntryKind::Open(_)) {
            self.open -= 1;
            self.closed += 1;
        }
        let idle = &mut self.origins[entry.origin].idle;
        let place = idle.iter().position(|idle| idle.connection.link.id == id);
        let dead = place.map(|place| idle.remove(place).connection);
        self.idle -= usize::from(dead.is_some());
        self.leave_origin(entry.origin);
        Released {
            next: self.pass_on(source),
            _dead: dead,
            _entry: entry,
        }
    }

    /// Gives a permit to the first waiter that may have one.
    fn pass_on(&mut self, source: &Arc<dyn PermitSource>) -> Option<Waker> {
        let (&ticket, waiter) = self
            .waiters
            .iter()
            .find(|(_, waiter)| waiter.is_waiting_for_a_place() && self.has_place(waiter.origin))?;
        let permit = self.permit(waiter.origin, source);
        let waiter = self.waiters.get_mut(&ticket)?;
        waiter.permitted = true;
        waiter.grant = Some(Grant::Permit(permit));
        waiter.waker.take()
    }

    /// Says what a permit is used for, and hands out what it was used for before.
    pub(super) fn turn(&mut self, id: usize, kind: EntryKind) -> EntryKind {
        std::mem::replace(&mut self.entries[id].kind, kind)
    }

    pub(super) fn opened(&mut self, link: &Arc<Link>) -> EntryKind {
        self.entries[link.id].background = false;
        self.open += 1;
        self.opened += 1;
        self.turn(link.id, EntryKind::Open(Arc::clone(link)))
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

    pub(super) fn connecting(&self) -> usize {
        self.entries.len() - self.open
    }
}

impl Key<'_> {
    fn to_owned(self) -> OwnedKey {
        OwnedKey {
            https: self.https,
            authority: self.authority.into(),
        }
    }
}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.https.hash(state);
        self.authority.hash(state);
    }
}

impl Hash for OwnedKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { https, authority } = self;
        Key {
            https: *https,
            authority,
        }
        .hash(state);
    }
}

impl Equivalent<OwnedKey> for Key<'_> {
    fn equivalent(&self, other: &OwnedKey) -> bool {
        self.https == other.https && *self.authority == *other.authority
    }
}
