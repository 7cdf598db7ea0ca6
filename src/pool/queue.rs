//! The queue: who waits for a connection, who may make one, and who gets the next.

use std::sync::Arc;
use std::task::Waker;

use tokio::runtime;

use super::attempt::Attempt;
use super::connection::Lane;
use super::entry::{Aftermath, Entry, EntryKind, Grant, Protocol, Waiter};
use super::key::Key;
use super::permit::{Books, Permit, Stamp};
use super::state::State;
use crate::error::Error;

/// What the first in the queue wants of a connection.
pub(super) enum Next {
    /// The connection, or a stream of it.
    Serve(u64),
    /// Its place.
    MakeWay,
}

impl State {
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
        let side = self.origins[origin].side(runtime);
        let alone = side.is_some_and(|side| side.empty_handed == 1);
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
        self.note_served(ticket);
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
    pub(super) fn note_served(&mut self, ticket: u64) {
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

    /// Whether one in the queue has got what it waits for, fetched or not.
    pub(super) fn is_served(&self, ticket: u64) -> bool {
        let waiter = self.waiters.get(&ticket);
        waiter.is_none_or(|waiter| waiter.served)
    }

    /// Connections in the making for whoever comes next, since that moment or before, which one in the
    /// queue may be waiting for.
    pub(super) fn left_behind_for(&self, ticket: u64, since: u64) -> Vec<Arc<Attempt>> {
        let Some(waiter) = self.waiters.get(&ticket) else {
            return Vec::new();
        };
        let place = (waiter.origin, waiter.runtime);
        let entries = self.entries.iter().map(|(_, entry)| entry);
        let left =
            entries.filter(|entry| entry.background && (entry.origin, entry.runtime) == place);
        let attempts = left.filter_map(|entry| match &entry.kind {
            EntryKind::Connecting(attempt) if attempt.began <= since => Some(Arc::clone(attempt)),
            _ => None,
        });
        attempts.collect()
    }

    /// Whether requests of this runtime wait for a connection to an origin.
    pub(super) fn is_awaited(&self, origin: usize, runtime: runtime::Id) -> bool {
        let origin = self.origins.get(origin);
        let side = origin.and_then(|origin| origin.side(runtime));
        side.is_some_and(|side| side.waiting > 0)
    }

    /// Leaves the queue, with what was granted and not fetched.
    pub(super) fn leave(&mut self, ticket: u64) -> Option<Waiter> {
        // It waits no more, as one that was served.
        self.note_served(ticket);
        let waiter = self.waiters.remove(&ticket)?;
        self.leave_origin(waiter.origin);
        Some(waiter)
    }

    /// Who is the first in the queue for what has just been made.
    pub(super) fn first_that_takes(&self, origin: usize, runtime: runtime::Id) -> Option<u64> {
        let mut waiters = self.waiters.iter();
        let first = waiters.find(|(_, waiter)| waiter.takes(origin, runtime, true));
        first.map(|(&ticket, _)| ticket)
    }

    /// Who is the first in the queue that a connection of an origin serves: by itself, to one that
    /// `takes` it, or by its place, if it goes for that one.
    pub(super) fn next_for(
        &self,
        origin: usize,
        mut goes_for: impl FnMut(&Waiter) -> bool,
        takes: impl Fn(&Waiter) -> bool,
    ) -> Option<Next> {
        self.waiters.iter().find_map(|(&ticket, waiter)| {
            if takes(waiter) {
                return Some(Next::Serve(ticket));
            }
            (self.is_helped_by(waiter, origin) && goes_for(waiter)).then_some(Next::MakeWay)
        })
    }

    /// For whom in the queue a connection with streams takes no new ones, so that its place comes:
    /// those of other origins and runtimes who are not served by the ones that are leaving already.
    pub(super) fn drains_for(
        &self,
        origin: usize,
        runtime: runtime::Id,
    ) -> impl FnMut(&Waiter) -> bool + use<> {
        let entries = self.entries.iter();
        let mut leaving = entries.filter(|(_, entry)| entry.is_withdrawn()).count();
        move |waiter| {
            if (waiter.origin, waiter.runtime) == (origin, runtime) {
                return false;
            }
            let is_served = leaving > 0;
            leaving -= usize::from(is_served);
            !is_served
        }
    }

    /// Whether one in the queue comes before a request that wants a stream now, as it waits for the
    /// place of the connection.
    pub(super) fn must_drain(&self, origin: usize, runtime: runtime::Id) -> bool {
        if self.waiters.is_empty() {
            return false;
        }
        let goes_for = self.drains_for(origin, runtime);
        let next = self.next_for(origin, goes_for, |_| false);
        next.is_some()
    }

    /// Lets one in the queue wait for a permit again, if what it had one for went to another.
    pub(super) fn waits_again(&mut self, ticket: u64, books: &Arc<dyn Books>) -> Vec<Waker> {
        let Some(waiter) = self.waiters.get_mut(&ticket) else {
            return Vec::new();
        };
        if waiter.served || waiter.grant.is_some() || waiter.permit.take().is_none() {
            return Vec::new();
        }
        let (origin, runtime) = (waiter.origin, waiter.runtime);
        self.origins[origin].with_side(runtime, |side| side.empty_handed += 1);
        self.pass_on_all(books)
    }

    /// Has a request whose own connection is one too many wait for those that there are to share.
    pub(super) fn shares_instead(
        &mut self,
        origin: usize,
        of: Option<u64>,
        books: &Arc<dyn Books>,
    ) -> Vec<Waker> {
        // Others may have found HTTP/1 there since: it would connect again and again.
        self.origins[origin].protocol = Protocol::Http2;
        of.map_or_else(Vec::new, |ticket| self.waits_again(ticket, books))
    }

    /// Gives a permit to the first waiter that may have one. `false`: there is none.
    pub(super) fn pass_on(&mut self, books: &Arc<dyn Books>, wakers: &mut Vec<Waker>) -> bool {
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

    /// Those in the queue who may be waiting for a connection that was to be shared, when none is being
    /// made any more: from now on they queue.
    pub(super) fn end_of_making(
        &mut self,
        origin: usize,
        runtime: runtime::Id,
    ) -> impl Iterator<Item = Waker> {
        let own = &self.origins[origin];
        let is_over = own.protocol != Protocol::Http1 && !own.is_making_one(runtime);
        let waiters = self.waiters.values_mut().filter(move |_| is_over);
        waiters
            .filter(move |waiter| waiter.origin == origin && waiter.runtime == runtime)
            .filter_map(|waiter| waiter.waker.take())
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
            let waiters = self.waiters.values_mut();
            let own = waiters.filter(|waiter| waiter.origin == origin);
            aftermath
                .wakers
                .extend(own.filter_map(|waiter| waiter.waker.take()));
            aftermath.wakers.extend(self.pass_on_all(books));
            aftermath.leaving.extend(self.make_room(origin, usize::MAX));
        }
    }

    /// Tells one in the queue that its connection could not be made, if it has not been served
    /// meanwhile. Those who counted on it go on without it.
    pub(super) fn could_not_connect(
        &mut self,
        ticket: u64,
        error: Error,
        books: &Arc<dyn Books>,
    ) -> Aftermath {
        let mut aftermath = Aftermath::default();
        let failed = Grant::Failed(error);
        let Some(waiter) = self.waiters.get(&ticket) else {
            aftermath.unused.push(failed);
            return aftermath;
        };
        let (origin, served) = (waiter.origin, waiter.served);
        if self.origins[origin].shared.is_empty() {
            self.each_for_itself(origin, books, &mut aftermath);
        }
        if served {
            // Dropped without the lock: it may hold what is a user's.
            aftermath.unused.push(failed);
        } else {
            self.serve(ticket, failed, &mut aftermath);
        }
        aftermath
    }
}
