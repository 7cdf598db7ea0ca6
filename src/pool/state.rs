//! The pool's books: origins, idle connections, waiters, permits, counters.
//!
//! Everything here runs under the pool's one lock: it updates and answers, and never drops a
//! connection, wakes a task or calls anything else. What must be dropped or woken is handed out.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use hashbrown::HashMap;
use slab::Slab;
use tokio::runtime::{self, Handle};

use super::attempt::Attempt;
use super::connection::{Connection, Lane};
use super::entry::{Aftermath, Entry, EntryKind, Grant, Idle, Origin, Protocol, Waiter};
use super::http1::{Http1, Link};
use super::key::{Key, OwnedKey};
use super::meter::{Counts, End, Tally};
use super::permit::{Books, Permit, Stamp};
use super::timer::Timer;
use crate::config::{PoolConfig, Protocols};
use crate::error::Error;

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

/// What is told apart of the bytes that connections have received: less makes no buffer grow.
const STREAMED: u64 = 64 * 1024;

/// Where an idle connection is found.
enum Spot {
    /// Of which origin, and where in its list.
    Alone(usize, usize),
    /// In the registry.
    Shared(usize),
}

/// What is left over when a permit comes back, to be dropped and woken without the lock.
#[derive(Debug)]
pub(super) struct Released {
    pub(super) wakers: Vec<Waker>,
    /// The connection, if it has ended while it idled.
    _dead: Option<Connection>,
    _entry: Entry,
}

/// What became of a connection that was offered to the waiters and the idle.
#[derive(Debug)]
pub(super) enum Offer {
    /// By a waiter, who must be woken.
    Taken(Aftermath),
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
    /// HTTP/2 connections to one origin, of each runtime.
    shared_per_origin: usize,
}

#[derive(Debug)]
pub(super) struct State {
    limits: Limits,
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
    next_ticket: u64,
    /// The number of the next permit.
    next_number: u64,
    pub(super) timers: Vec<Arc<Timer>>,
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

    fn origin_of(&mut self, key: Key<'_>) -> usize {
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
        expired: &mut Vec<Connection>,
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
            let why = found.connection.age.why(now);
            expired.push(Connection::Http1(found.connection.because(why)));
        }
    }

    /// Joins the queue; a permit comes at once if there is one to be had.
    pub(super) fn enqueue(
        &mut self,
        key: Key<'_>,
        runtime: runtime::Id,
        fresh: bool,
        books: &Arc<dyn Books>,
        aftermath: &mut Aftermath,
    ) -> u64 {
        let origin = self.origin_of(key);
        self.origins[origin].users += 1;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        // One that is free is wanted by nobody who came before: each that comes back goes to the first.
        self.origins[origin].with_side(runtime, |side| {
            side.waiting += 1;
            side.empty_handed += 1;
        });
        let waiter = Waiter {
            origin,
            runtime,
            fresh,
            permit: None,
            served: false,
            waker: None,
            grant: None,
        };
        // A place that is free is wanted by nobody of another origin: each that comes back goes to the
        // first who does. Of this one, some may count on a connection that is being made already.
        let may_connect = self.may_connect(&waiter);
        let alone = self.origins[origin].has_one_empty_handed(runtime);
        self.waiters.insert(ticket, waiter);
        if may_connect && alone {
            self.grant_permit(ticket, books);
        } else if may_connect {
            self.pass_on(books, &mut aftermath.wakers);
        }
        ticket
    }

    /// Whether one in the queue may open a connection.
    fn may_connect(&self, waiter: &Waiter) -> bool {
        self.wants_to_connect(waiter)
            && self.entries.len() < self.limits.total
            && !self.is_full(waiter.origin)
    }

    fn wants_to_connect(&self, waiter: &Waiter) -> bool {
        let most_shared = self.limits.shared_per_origin;
        waiter.is_waiting_for_a_place()
            && self.origins[waiter.origin].wants_another(waiter.runtime, most_shared)
    }

    /// Whether an origin has as many connections as it may.
    fn is_full(&self, origin: usize) -> bool {
        self.origins[origin].live >= self.limits.per_origin
    }

    /// Whether the place of a connection of `origin` is one that the waiter waits for.
    pub(super) fn is_helped_by(&self, waiter: &Waiter, origin: usize) -> bool {
        self.wants_to_connect(waiter)
            && !self.may_connect(waiter)
            && (waiter.origin == origin || !self.is_full(waiter.origin))
    }

    /// Gives a permit to one in the queue, and hands out how to wake it.
    fn grant_permit(&mut self, ticket: u64, books: &Arc<dyn Books>) -> Option<Waker> {
        let waiter = self.waiters.get_mut(&ticket)?;
        let origin = &mut self.origins[waiter.origin];
        origin.users += 1;
        origin.live += 1;
        origin.with_side(waiter.runtime, |side| {
            side.attempts += 1;
            side.empty_handed -= 1;
        });
        let place = self.entries.vacant_entry();
        let stamp = Stamp {
            id: place.key(),
            number: self.next_number,
        };
        self.next_number += 1;
        place.insert(Entry {
            stamp,
            origin: waiter.origin,
            runtime: waiter.runtime,
            kind: EntryKind::Permitted,
            background: false,
        });
        waiter.permit = Some(stamp);
        waiter.grant = Some(Grant::Permit(Permit::new(stamp, Arc::clone(books))));
        waiter.waker.take()
    }

    /// Gives one in the queue what it waits for. What it had got before and not fetched is left over;
    /// a connection that it is making goes on for the next, also if it is not polled for a while.
    pub(super) fn serve(&mut self, ticket: u64, grant: Grant, aftermath: &mut Aftermath) {
        self.is_served(ticket);
        let waiter = self.waiters.get_mut(&ticket);
        let waiter = waiter.expect("it was found in the queue a moment ago");
        let permit = waiter.permit;
        if let Grant::Lane(Lane::Http1(_)) = grant
            && let Some(entry) = permit.and_then(|stamp| self.entries.get_mut(stamp.id))
            && Some(entry.stamp) == permit
            && let EntryKind::Connecting(attempt) = &entry.kind
            && attempt.adopt()
        {
            entry.background = true;
            aftermath.adopted.push(Arc::clone(attempt));
        }
        let before = waiter.grant.replace(grant);
        aftermath.unused.extend(before);
        aftermath.wakers.extend(waiter.waker.take());
    }

    /// Notes that one in the queue has what it waited for.
    pub(super) fn is_served(&mut self, ticket: u64) {
        if let Some(waiter) = self.waiters.get_mut(&ticket)
            && !std::mem::replace(&mut waiter.served, true)
        {
            let was_empty_handed = waiter.permit.is_none();
            self.origins[waiter.origin].with_side(waiter.runtime, |side| {
                side.waiting -= 1;
                side.empty_handed -= usize::from(was_empty_handed);
            });
        }
    }

    /// Whether requests of this runtime wait for a connection to an origin.
    pub(super) fn is_awaited(&self, origin: usize, runtime: runtime::Id) -> bool {
        let origin = self.origins.get(origin);
        origin.is_some_and(|origin| origin.has_waiting(runtime))
    }

    /// Whether what a permit pays for may be shared by all who wait.
    pub(super) fn may_be_shared(&self, id: usize) -> bool {
        let origin = self.entries[id].origin;
        self.origins[origin].protocol != Protocol::Http1
    }

    /// Leaves the queue, with what was granted and not fetched.
    pub(super) fn leave(&mut self, ticket: u64) -> Option<Waiter> {
        let waiter = self.waiters.remove(&ticket)?;
        if !waiter.served {
            self.origins[waiter.origin].with_side(waiter.runtime, |side| {
                side.waiting -= 1;
                side.empty_handed -= usize::from(waiter.permit.is_none());
            });
        }
        self.leave_origin(waiter.origin);
        Some(waiter)
    }

    /// Idle connections that make room for those in the queue for `origin`, `most` at the most, who
    /// had a connection of others to wait for until now.
    pub(super) fn make_room(&mut self, origin: usize, most: usize) -> Vec<Connection> {
        if self.idle == 0 {
            return Vec::new();
        }
        let waiting = self.waiters.iter();
        let waiting = waiting
            .filter(|(_, waiter)| waiter.origin == origin && self.is_helped_by(waiter, origin));
        let tickets: Vec<_> = waiting.map(|(&ticket, _)| ticket).take(most).collect();
        let room = tickets.into_iter().map_while(|ticket| self.evict(ticket));
        room.collect()
    }

    /// An idle connection that makes room at a limit for one in the queue: one of another runtime rather than one of its own, then the one that has streamed most, whose buffers have
    /// grown, then the one that has idled longest.
    pub(super) fn evict(&mut self, ticket: u64) -> Option<Connection> {
        if self.idle == 0 {
            return None;
        }
        let waiter = self.waiters.get(&ticket)?;
        let alone = self.origins.iter().flat_map(|(id, origin)| {
            let idle = origin.idle.iter().enumerate();
            idle.map(move |(place, idle)| {
                let link = &idle.connection.link;
                let runtime = link.line.timer.id();
                let streamed = link.meter.received() / STREAMED;
                (runtime, streamed, idle.since, id, Spot::Alone(id, place))
            })
        });
        let shared = self.entries.iter().filter_map(|(id, entry)| {
            let shared = entry.idle_shared()?;
            let streamed = shared.link.meter().received() / STREAMED;
            let spot = Spot::Shared(id);
            Some((entry.runtime, streamed, shared.since, entry.origin, spot))
        });
        let (.., spot) = alone
            .chain(shared)
            .filter(|(.., origin, _)| self.is_helped_by(waiter, *origin))
            .min_by_key(|(runtime, streamed, since, ..)| {
                (*runtime == waiter.runtime, Reverse(*streamed), *since)
            })?;
        match spot {
            Spot::Alone(origin, place) => {
                self.idle -= 1;
                let idle = self.origins[origin].idle.remove(place);
                Some(Connection::Http1(idle.connection.because(End::Evicted)))
            }
            Spot::Shared(id) => self.withdraw(id, End::Evicted),
        }
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
            return Offer::Refused(connection.because(End::Closed));
        }
        let Some(until) = connection.age.idles_until(now) else {
            let why = connection.age.why(now);
            return Offer::Refused(connection.because(why));
        };
        let Some(entry) = self.entry_of(&connection.link) else {
            return Offer::Refused(connection.because(End::Peer));
        };
        entry.background = false;
        let (origin, runtime) = (connection.link.origin, connection.link.line.timer.id());
        let is_new = !connection.link.meter.has_served();
        let served = self.waiters.iter().find_map(|(&ticket, waiter)| {
            if waiter.takes(origin, runtime, is_new) {
                return Some(Some(ticket));
            }
            self.is_helped_by(waiter, origin).then_some(None)
        });
        match served {
            Some(Some(ticket)) => {
                let mut aftermath = Aftermath::default();
                let grant = Grant::Lane(Lane::Http1(connection));
                self.serve(ticket, grant, &mut aftermath);
                return Offer::Taken(aftermath);
            }
            Some(None) => return Offer::Refused(connection.because(End::Evicted)),
            None if self.origins[origin].idle.len() >= self.limits.idle_per_origin => {
                return Offer::Refused(connection.because(End::Evicted));
            }
            None => {}
        }
        if self.gate != Gate::Open {
            return Offer::Refused(connection.because(End::Closed));
        }
        let mut connection = connection;
        connection.pooled = true;
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
    pub(super) fn release(&mut self, id: usize, books: &Arc<dyn Books>) -> Released {
        let dead = self.take_dead(id);
        let entry = self.entries.remove(id);
        self.origins[entry.origin].live -= 1;
        if let Some(meter) = entry.meter() {
            meter.hand_in();
            self.open -= 1;
        } else {
            let origin = &mut self.origins[entry.origin];
            origin.with_side(entry.runtime, |side| side.attempts -= 1);
        }
        self.leave_origin(entry.origin);
        let mut wakers = Vec::new();
        self.pass_on(books, &mut wakers);
        Released {
            wakers,
            _dead: dead,
            _entry: entry,
        }
    }

    /// A connection that has ended while it idled, or while it could be shared.
    fn take_dead(&mut self, id: usize) -> Option<Connection> {
        let entry = &self.entries[id];
        if matches!(entry.kind, EntryKind::Shared(_)) {
            return self.withdraw(id, End::Peer);
        }
        let idle = &mut self.origins[entry.origin].idle;
        let place = idle.iter().position(|idle| idle.connection.link.id == id)?;
        self.idle -= 1;
        let dead = idle.remove(place).connection;
        Some(Connection::Http1(dead.because(End::Peer)))
    }

    /// Gives a permit to the first waiter that may have one. `false`: there is none.
    fn pass_on(&mut self, books: &Arc<dyn Books>, wakers: &mut Vec<Waker>) -> bool {
        let mut waiters = self.waiters.iter();
        let Some((&ticket, _)) = waiters.find(|(_, waiter)| self.may_connect(waiter)) else {
            return false;
        };
        wakers.extend(self.grant_permit(ticket, books));
        true
    }

    /// Gives permits to all waiters that may have one now.
    pub(super) fn pass_on_all(&mut self, books: &Arc<dyn Books>) -> Vec<Waker> {
        let mut wakers = Vec::new();
        while self.pass_on(books, &mut wakers) {}
        wakers
    }

    /// Notes that nobody needs to wait for another's connection to this origin any more: it turned
    /// out not to be shared, or could not be made.
    pub(super) fn each_for_itself(
        &mut self,
        origin: usize,
        books: &Arc<dyn Books>,
        aftermath: &mut Aftermath,
    ) {
        let protocol = &mut self.origins[origin].protocol;
        if std::mem::replace(protocol, Protocol::Http1) != Protocol::Http1 {
            aftermath.wakers.extend(self.pass_on_all(books));
            aftermath.leaving.extend(self.make_room(origin, usize::MAX));
        }
    }

    /// Tells one in the queue that its connection could not be made, if it has not been served
    /// meanwhile. Those who counted on it go on without it.
    pub(super) fn could_not_connect(
        &mut self,
        ticket: u64,
        error: Option<Error>,
        books: &Arc<dyn Books>,
    ) -> Aftermath {
        let mut aftermath = Aftermath::default();
        let Some(waiter) = self.waiters.get(&ticket) else {
            return aftermath;
        };
        let (origin, served) = (waiter.origin, waiter.served);
        if self.origins[origin].shared.is_empty() {
            self.each_for_itself(origin, books, &mut aftermath);
        }
        if let Some(error) = error.filter(|_| !served) {
            self.serve(ticket, Grant::Failed(error), &mut aftermath);
        }
        aftermath
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

    /// Enters a connection that has been made.
    pub(super) fn opened(&mut self, id: usize, kind: EntryKind) -> EntryKind {
        let entry = &mut self.entries[id];
        entry.background = false;
        let origin = &mut self.origins[entry.origin];
        origin.with_side(entry.runtime, |side| side.attempts -= 1);
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
