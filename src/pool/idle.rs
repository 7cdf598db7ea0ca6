//! Connections that idle: how they get there, who takes them, and which make way.

use std::cmp::Reverse;
use std::sync::Arc;
use std::task::Waker;

use tokio::runtime;

use super::connection::{Connection, Lane};
use super::entry::{Aftermath, Entry, EntryKind, Grant, Idle, Waiter};
use super::http1::{Http1, Link};
use super::meter::End;
use super::permit::Books;
use super::queue::Next;
use super::state::{Gate, State};
use super::timer::Timer;

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
    Refused(Box<Http1>),
}

impl State {
    /// The newest idle connection that may still be used; those that may not go to `expired`.
    pub(super) fn take_idle(
        &mut self,
        origin: usize,
        runtime: runtime::Id,
        now: u64,
        expired: &mut Vec<Connection>,
    ) -> Option<Idle> {
        let idle = &mut self.origins[origin].idle;
        let fits =
            |entry: &Idle| !entry.claimed && entry.connection.link.line.timer.id() == runtime;
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

    /// Gives a connection that is ready for a request to the first waiter that it can serve, by
    /// itself or by its place; else lays it to rest.
    pub(super) fn offer(&mut self, connection: Box<Http1>, now: u64) -> Offer {
        if self.gate != Gate::Open && self.waiters.is_empty() {
            return Offer::Refused(connection.because(End::Closed));
        }
        let Some(entry) = self.entry_of(&connection.link) else {
            return Offer::Refused(connection.because(End::Peer));
        };
        entry.background = false;
        let (origin, runtime) = (connection.link.origin, connection.link.line.timer.id());
        let is_new = !connection.link.meter.has_served();
        // One of its own origin has given its permit for it, and gets no other.
        if is_new && let Some(ticket) = self.first_that_takes(origin, runtime) {
            let mut aftermath = Aftermath::default();
            self.serve(ticket, Grant::Lane(Lane::Http1(connection)), &mut aftermath);
            return Offer::Taken(aftermath);
        }
        let Some(until) = connection.age.idles_until(now) else {
            let why = connection.age.why(now);
            return Offer::Refused(connection.because(why));
        };
        self.lay(Idle {
            connection,
            since: now,
            until,
            settled: false,
            claimed: false,
        })
    }

    /// Offers the connection that one in the queue was given, and leaves there, to the next.
    pub(super) fn offer_unfetched(&mut self, ticket: u64, now: u64) -> Option<(Offer, Arc<Timer>)> {
        let grant = &mut self.waiters.get_mut(&ticket)?.grant;
        let is_one = |grant: &mut Grant| matches!(grant, Grant::Lane(Lane::Http1(_)));
        let Some(Grant::Lane(Lane::Http1(connection))) = grant.take_if(is_one) else {
            return None;
        };
        let timer = Arc::clone(&connection.link.line.timer);
        Some((self.offer(connection, now), timer))
    }

    /// Gives a connection to the first waiter that it can serve, by itself or by its place; else lays
    /// it to rest.
    fn lay(&mut self, mut idle: Idle) -> Offer {
        let link = &idle.connection.link;
        let (origin, runtime) = (link.origin, link.line.timer.id());
        let is_new = !link.meter.has_served();
        let takes = |waiter: &Waiter| waiter.takes(origin, runtime, is_new);
        match self.next_for(origin, |_| true, takes) {
            Some(Next::Serve(ticket)) => {
                let mut aftermath = Aftermath::default();
                let grant = Grant::Lane(Lane::Http1(idle.connection));
                self.serve(ticket, grant, &mut aftermath);
                return Offer::Taken(aftermath);
            }
            Some(Next::MakeWay) => return Offer::Refused(idle.connection.because(End::Evicted)),
            None if self.origins[origin].idle.len() >= self.limits.idle_per_origin => {
                return Offer::Refused(idle.connection.because(End::Evicted));
            }
            None => {}
        }
        if self.gate != Gate::Open {
            return Offer::Refused(idle.connection.because(End::Closed));
        }
        let (since, until) = (idle.since, idle.until);
        idle.connection.pooled = true;
        let others = &mut self.origins[origin].idle;
        // Oldest first.
        let younger = others.iter().rev().take_while(|other| other.since > since);
        let place = others.len() - younger.count();
        others.insert(place, idle);
        self.idle += 1;
        Offer::Idling { until }
    }

    /// Keeps a connection that idles `since` then from being used while the timer polls it. `false`: it
    /// idles no more, or is being polled.
    pub(super) fn claim(&mut self, link: &Arc<Link>, since: u64) -> bool {
        let Some(place) = self.find_idle(link, since) else {
            return false;
        };
        let origin = &mut self.origins[link.origin];
        if std::mem::replace(&mut origin.idle[place].claimed, true) {
            return false;
        }
        origin.users += 1;
        origin.with_side(link.line.timer.id(), |side| side.claimed = true);
        true
    }

    /// Lets it be used again, if it is still there: first by those who have come meanwhile. Those whom it
    /// does not serve may make another. `rests`: hyper has let go of it.
    pub(super) fn unclaim(
        &mut self,
        link: &Arc<Link>,
        since: u64,
        rests: bool,
        books: &Arc<dyn Books>,
        aftermath: &mut Aftermath,
    ) -> Option<Offer> {
        let found = self.find_idle(link, since);
        self.origins[link.origin].with_side(link.line.timer.id(), |side| side.claimed = false);
        let offer = found.map(|place| {
            let others = &mut self.origins[link.origin].idle;
            let idle = &mut others[place];
            idle.claimed = false;
            if rests {
                aftermath.sender = idle.connection.take_sender();
            }
            if self.waiters.is_empty() && self.gate == Gate::Open {
                // It stays where it is, among thousands perhaps.
                return Offer::Idling { until: idle.until };
            }
            let idle = others.remove(place);
            self.idle -= 1;
            self.lay(idle)
        });
        aftermath.wakers.extend(self.pass_on_all(books));
        if offer.is_none() {
            // Its place may be another's by now, and one in the queue has counted on it.
            aftermath.leaving.extend(self.make_room(link.origin, 1));
        }
        self.leave_origin(link.origin);
        offer
    }

    fn find_idle(&self, link: &Arc<Link>, since: u64) -> Option<usize> {
        let idle = &self.origins.get(link.origin)?.idle;
        // Oldest first.
        let first = idle.partition_point(|idle| idle.since < since);
        let mut same = idle[first..].iter().take_while(|idle| idle.since == since);
        let place = same.position(|idle| Arc::ptr_eq(&idle.connection.link, link))?;
        Some(first + place)
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

    /// An idle connection that makes room at a limit for one in the queue: one of another runtime rather
    /// than one of its own, then the one that has streamed most, whose buffers have grown, then the one
    /// that has idled longest.
    pub(super) fn evict(&mut self, ticket: u64) -> Option<Connection> {
        if self.idle == 0 {
            return None;
        }
        let waiter = self.waiters.get(&ticket)?;
        let alone = self.origins.iter().flat_map(|(id, origin)| {
            let idle = origin.idle.iter().enumerate();
            // One that the timer polls is offered to those who wait right after.
            let free = idle.filter(|(_, idle)| !idle.claimed);
            free.map(move |(place, idle)| {
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

    /// Takes a permit back and passes it on to the first waiter without one.
    pub(super) fn release(&mut self, id: usize, books: &Arc<dyn Books>) -> Released {
        let dead = self.take_dead(id);
        let entry = self.entries.remove(id);
        self.origins[entry.origin].live -= 1;
        let mut wakers = Vec::new();
        if let Some(meter) = entry.meter() {
            meter.hand_in();
            self.open -= 1;
        } else {
            let origin = &mut self.origins[entry.origin];
            let has_begun = matches!(entry.kind, EntryKind::Connecting(_));
            origin.with_side(entry.runtime, |side| {
                side.attempts -= 1;
                side.begun -= usize::from(has_begun);
            });
            wakers.extend(self.end_of_making(entry.origin, entry.runtime));
        }
        self.leave_origin(entry.origin);
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
}
