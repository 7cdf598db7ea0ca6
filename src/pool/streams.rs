//! The books of HTTP/2 connections: who has a stream, and who gets the next one.

use std::sync::Arc;
use std::time::Duration;

use slab::Slab;
use tokio::runtime;

use super::age::Age;
use super::connection::{Connection, Lane};
use super::entry::{Aftermath, Entry, EntryKind, Grant, Protocol, Shared, Waiter};
use super::http2::{Http2, Stream};
use super::line::Line;
use super::meter::End;
use super::permit::{Books, Stamp};
use super::queue::Next;
use super::state::{Gate, State};
use super::timer::millis;

/// How long a connection may take to say goodbye.
pub(super) const GOODBYE: Duration = Duration::from_secs(1);

impl State {
    /// A stream of a connection that has room for one; connections past their age go to `leaving`.
    pub(super) fn take_stream(
        &mut self,
        origin: usize,
        runtime: runtime::Id,
        now: u64,
        leaving: &mut Vec<Connection>,
    ) -> Option<Box<Stream>> {
        let mut place = 0;
        while let Some(&id) = self.origins[origin].shared.get(place) {
            let own = self.entries[id].runtime == runtime;
            let Some(shared) = self.shared(id).filter(|shared| own && shared.has_room()) else {
                place += 1;
                continue;
            };
            let expired = shared.is_idle() && shared.until <= now;
            if expired || shared.age.idles_until(now).is_none() {
                let why = shared.age.why(now);
                leaving.extend(self.withdraw(id, why));
            } else if self.must_drain(origin, runtime) {
                leaving.extend(self.withdraw(id, End::Evicted));
                return None;
            } else {
                return self.begin_stream(id, true);
            }
        }
        None
    }

    /// Enters a connection that has been made, with its first stream for the request that made it.
    pub(super) fn opened_shared(
        &mut self,
        connection: Http2,
        age: Age,
        of: Option<u64>,
        now: u64,
        books: &Arc<dyn Books>,
        aftermath: &mut Aftermath,
    ) -> (Option<Box<Stream>>, EntryKind) {
        let link = Arc::clone(connection.link());
        let (id, origin) = (link.stamp().id, link.origin());
        let shared = Shared {
            link,
            connection: Some(connection),
            streams: Slab::new(),
            age,
            since: now,
            until: now,
        };
        let before = self.opened(id, EntryKind::Shared(shared));
        let runtime = self.entries[id].runtime;
        let own = &mut self.origins[origin];
        own.protocol = Protocol::Http2;
        own.shared.push(id);
        own.with_side(runtime, |side| side.shared += 1);
        self.idle += 1;
        aftermath.wakers.extend(self.end_of_making(origin, runtime));
        let stream = of.and_then(|ticket| {
            self.note_served(ticket);
            self.begin_stream(id, false)
        });
        // Made by a task, it serves the first at once: also one that may not idle, or is to make way.
        if of.is_none()
            && let Some(ticket) = self.first_that_takes(origin, runtime)
            && let Some(stream) = self.begin_stream(id, false)
        {
            self.serve(ticket, Grant::Lane(Lane::Http2(stream)), aftermath);
        }
        self.share_out(id, now, books, aftermath);
        // There may be more than one, if the protocol was not known before.
        let left = self.limits.shared_per_origin - 1;
        aftermath.wakers.extend(self.pass_on_all(books));
        aftermath.leaving.extend(self.make_room(origin, left));
        (stream, before)
    }

    fn shared(&mut self, id: usize) -> Option<&mut Shared> {
        match &mut self.entries.get_mut(id)?.kind {
            EntryKind::Shared(shared) => Some(shared),
            _ => None,
        }
    }

    /// The connection of that stamp, if it is still open.
    fn shared_of(&mut self, of: Stamp) -> Option<&mut Shared> {
        self.shared(of.id)
            .filter(|shared| shared.link.stamp() == of)
    }

    fn begin_stream(&mut self, id: usize, pooled: bool) -> Option<Box<Stream>> {
        let shared = self.shared(id)?;
        let connection = shared.connection.as_ref()?;
        let was_idle = shared.streams.is_empty();
        let line = Line::new(Arc::clone(shared.link.timer()));
        let place = shared.streams.insert(Arc::clone(&line.signal));
        let stream = connection.stream(line, place, pooled);
        shared.age.count();
        shared.link.set_full(!shared.has_room());
        self.idle -= usize::from(was_idle);
        Some(Box::new(stream))
    }

    /// Ends a stream. A connection that takes no new ones says goodbye by itself after its last; what
    /// has not been sent of requests may keep it from that, and does so for a while only.
    pub(super) fn end_stream(
        &mut self,
        of: Stamp,
        place: usize,
        now: u64,
        books: &Arc<dyn Books>,
    ) -> Aftermath {
        let mut aftermath = Aftermath::default();
        let Some(shared) = self.shared_of(of) else {
            return aftermath;
        };
        shared.streams.try_remove(place);
        shared.link.set_full(!shared.has_room());
        if shared.is_leaving() {
            shared.until = now.saturating_add(millis(GOODBYE));
            aftermath.watch = Some((Arc::clone(shared.link.timer()), shared.until));
        } else if shared.is_idle() {
            shared.since = now;
            self.idle += 1;
        }
        self.share_out(of.id, now, books, &mut aftermath);
        aftermath
    }

    /// Gives the room of a connection to those who wait for it, in the order of the queue; one that
    /// nobody wants idles or makes way.
    fn share_out(
        &mut self,
        id: usize,
        now: u64,
        books: &Arc<dyn Books>,
        aftermath: &mut Aftermath,
    ) {
        let Some(entry) = self.entries.get(id) else {
            return;
        };
        let (origin, runtime) = (entry.origin, entry.runtime);
        loop {
            let in_service = |shared: &&mut Shared| shared.connection.is_some();
            let Some(shared) = self.shared(id).filter(in_service) else {
                return;
            };
            let Some(until) = shared.age.idles_until(now) else {
                let why = shared.age.why(now);
                self.replace(id, why, books, aftermath);
                return;
            };
            if !shared.has_room() && !shared.is_idle() {
                return;
            }
            shared.until = until;
            let (is_idle, has_room) = (shared.is_idle(), shared.has_room());
            let takes = |waiter: &Waiter| has_room && waiter.takes(origin, runtime, true);
            let mut drains_for = self.drains_for(origin, runtime);
            let goes_for = |waiter: &Waiter| is_idle || drains_for(waiter);
            match self.next_for(origin, goes_for, takes) {
                Some(Next::Serve(ticket)) => {
                    let Some(stream) = self.begin_stream(id, true) else {
                        return;
                    };
                    self.serve(ticket, Grant::Lane(Lane::Http2(stream)), aftermath);
                }
                Some(Next::MakeWay) => {
                    aftermath.leaving.extend(self.withdraw(id, End::Evicted));
                    return;
                }
                None if !is_idle => return,
                None if self.gate == Gate::Open => {
                    let timer = self
                        .shared(id)
                        .map(|shared| Arc::clone(shared.link.timer()));
                    aftermath.watch = timer.zip(Some(until));
                    return;
                }
                None => {
                    aftermath.leaving.extend(self.withdraw(id, End::Closed));
                    return;
                }
            }
        }
    }

    /// Takes the pool's handle to a connection, so that no new stream begins on it.
    pub(super) fn withdraw(&mut self, id: usize, why: End) -> Option<Connection> {
        let shared = self.shared(id)?;
        let mut connection = shared.connection.take()?;
        if shared.streams.is_empty() {
            self.idle -= 1;
        } else {
            connection.keep_streams();
        }
        let Entry {
            origin, runtime, ..
        } = self.entries[id];
        let origin = &mut self.origins[origin];
        origin.shared.retain(|own| *own != id);
        origin.with_side(runtime, |side| side.shared -= 1);
        Some(Connection::Http2(connection).because(why))
    }

    /// The same by the connection's stamp; those who waited for its streams may make another.
    pub(super) fn retire(&mut self, which: Stamp, books: &Arc<dyn Books>) -> Aftermath {
        let mut aftermath = Aftermath::default();
        if self.shared_of(which).is_some() {
            self.replace(which.id, End::Peer, books, &mut aftermath);
        }
        aftermath
    }

    /// Withdraws a connection on which streams may go on for long: those who waited for its streams
    /// need not wait for its end.
    fn replace(&mut self, id: usize, why: End, books: &Arc<dyn Books>, aftermath: &mut Aftermath) {
        let origin = self.entries[id].origin;
        aftermath.leaving.extend(self.withdraw(id, why));
        aftermath.wakers.extend(self.pass_on_all(books));
        // One new connection serves them all, if there is a place for it.
        aftermath.leaving.extend(self.make_room(origin, 1));
    }

    pub(super) fn limit_streams(
        &mut self,
        of: Stamp,
        now: u64,
        books: &Arc<dyn Books>,
    ) -> Aftermath {
        let mut aftermath = Aftermath::default();
        if let Some(shared) = self.shared_of(of) {
            shared.link.set_full(!shared.has_room());
            self.share_out(of.id, now, books, &mut aftermath);
        }
        aftermath
    }
}
