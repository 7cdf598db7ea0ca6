//! What the books say of an origin, of a connection and of a request that waits for one.

use std::sync::Arc;
use std::task::Waker;

use slab::Slab;
use tokio::runtime;

use super::age::Age;
use super::attempt::Attempt;
use super::connection::{Connection, Lane, Link};
use super::http1::{self, Http1};
use super::http2::{self, Http2};
use super::key::OwnedKey;
use super::meter::{Meter, Tally};
use super::permit::{Permit, Stamp};
use super::signal::Signal;
use super::socket::Sender;
use super::timer::Timer;
use crate::error::Error;

#[derive(Debug)]
pub(super) struct Origin {
    pub(super) key: OwnedKey,
    pub(super) protocol: Protocol,
    pub(super) tally: Arc<Tally>,
    /// HTTP/1, oldest first. Each holds its permit: one that ends here leaves with it.
    pub(super) idle: Vec<Idle>,
    /// HTTP/2 connections that take new streams, as places in the registry.
    pub(super) shared: Vec<usize>,
    pub(super) sides: Vec<Side>,
    /// Permits for this origin: connections live and in the making.
    pub(super) live: usize,
    /// Waiters and permits that refer to this origin.
    pub(super) users: usize,
}

/// What the requests of one runtime have of an origin.
#[derive(Debug)]
pub(super) struct Side {
    runtime: runtime::Id,
    /// Requests in the queue that have not been served.
    pub(super) waiting: usize,
    /// Of those, how many have not been given a permit.
    pub(super) empty_handed: usize,
    /// Connections in the making. Each will serve one of them, whoever began it.
    pub(super) attempts: usize,
    /// Of those, how many have begun: a request that is not polled begins nothing.
    pub(super) begun: usize,
    /// Connections that take new streams.
    pub(super) shared: usize,
    /// Whether the timer polls an idle one, which will serve one of those who wait.
    pub(super) claimed: bool,
}

/// What an origin speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// The first connection will tell, for all that wait for it.
    Unknown,
    /// Each request needs a connection, as far as is known.
    Http1,
    Http2,
}

#[derive(Debug)]
pub(super) struct Idle {
    pub(super) connection: Box<Http1>,
    /// In milliseconds of the pool's clock.
    pub(super) since: u64,
    /// The same: from then on it may not be used.
    pub(super) until: u64,
    /// Whether the timer has polled it since it was laid to rest.
    pub(super) settled: bool,
    /// Whether the timer is polling it: not to be used until it has, or the timer would poll what a
    /// request gives it, the request's body too.
    pub(super) claimed: bool,
}

/// A live connection, or one being made.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) stamp: Stamp,
    pub(super) origin: usize,
    pub(super) runtime: runtime::Id,
    pub(super) kind: EntryKind,
    /// Nobody's exchange: closed as soon as the session is.
    pub(super) background: bool,
}

#[derive(Debug)]
pub(super) enum EntryKind {
    /// The permit has been given out.
    Permitted,
    Connecting(Arc<Attempt>),
    Open(Arc<http1::Link>),
    Shared(Shared),
}

/// An HTTP/2 connection and its streams.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) link: Arc<http2::Link>,
    /// `None`: it takes no new streams.
    pub(super) connection: Option<Http2>,
    pub(super) streams: Slab<Arc<Signal>>,
    pub(super) age: Age,
    /// Without streams: until when it may be used, or say goodbye.
    pub(super) until: u64,
    /// Without streams: since when.
    pub(super) since: u64,
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) origin: usize,
    pub(super) runtime: runtime::Id,
    /// Wants no HTTP/1 connection that has carried something already.
    pub(super) fresh: bool,
    /// The permit that it was given.
    pub(super) permit: Option<Stamp>,
    pub(super) served: bool,
    pub(super) waker: Option<Waker>,
    pub(super) grant: Option<Grant>,
}

/// What a waiter gets.
#[derive(Debug)]
pub(super) enum Grant {
    Lane(Lane),
    Permit(Permit),
    /// Its connection could not be made, or the one that it was to share.
    Failed(Error),
    Severed,
}

/// What is left to do when the books have been changed: to be woken and dropped without the lock.
#[derive(Debug, Default)]
pub(super) struct Aftermath {
    pub(super) wakers: Vec<Waker>,
    pub(super) unused: Vec<Grant>,
    pub(super) leaving: Vec<Connection>,
    /// Of a connection that rests.
    pub(super) sender: Option<Sender>,
    /// To be driven by a task of the pool's.
    pub(super) adopted: Vec<Arc<Attempt>>,
    /// Who must look at a connection that idles now, and when at the latest.
    pub(super) watch: Option<(Arc<Timer>, u64)>,
}

impl Origin {
    /// Changes the numbers of a runtime.
    pub(super) fn with_side(&mut self, runtime: runtime::Id, change: impl FnOnce(&mut Side)) {
        let place = self.sides.iter().position(|side| side.runtime == runtime);
        let place = place.unwrap_or_else(|| {
            self.sides.push(Side {
                runtime,
                waiting: 0,
                empty_handed: 0,
                attempts: 0,
                begun: 0,
                shared: 0,
                claimed: false,
            });
            self.sides.len() - 1
        });
        let side = &mut self.sides[place];
        change(side);
        if side.waiting + side.attempts + side.shared == 0 && !side.claimed {
            self.sides.swap_remove(place);
        }
    }

    /// The numbers of a runtime, if it has any part in this.
    pub(super) fn side(&self, runtime: runtime::Id) -> Option<&Side> {
        self.sides.iter().find(|side| side.runtime == runtime)
    }

    /// Whether a connection is being made that requests of this runtime are to share.
    pub(super) fn is_making_one(&self, runtime: runtime::Id) -> bool {
        let side = self.side(runtime);
        self.protocol != Protocol::Http1 && side.is_some_and(|side| side.begun > 0)
    }

    /// Whether a connection more would serve a request of this runtime that no other will: not while
    /// as many are being made as requests wait, nor while they are to share those that there are.
    pub(super) fn wants_another(&self, runtime: runtime::Id, most_shared: usize) -> bool {
        let most = match self.protocol {
            Protocol::Http1 => usize::MAX,
            Protocol::Unknown => 1,
            Protocol::Http2 => most_shared,
        };
        let side = self.side(runtime);
        side.is_some_and(|side| side.coming() < side.waiting && side.attempts + side.shared < most)
    }

    /// Whether a request of this runtime may be waiting for what comes of others.
    pub(super) fn has_coming(&self, runtime: runtime::Id) -> bool {
        self.side(runtime).is_some_and(|side| side.coming() > 0)
    }

    /// Whether each request of this runtime that waits will have one of those that come, and none waits
    /// for a place: they are to share one, or there are as many.
    pub(super) fn has_enough_coming(&self, runtime: runtime::Id) -> bool {
        let side = self.side(runtime);
        self.is_making_one(runtime) || side.is_some_and(|side| side.coming() >= side.waiting)
    }
}

impl Side {
    /// Connections that will serve one each of those who wait, whoever began them.
    fn coming(&self) -> usize {
        self.attempts + usize::from(self.claimed)
    }
}

impl Entry {
    /// By what it is cut, once it is open.
    pub(super) fn link(&self) -> Option<Link> {
        match &self.kind {
            EntryKind::Open(link) => Some(Link::Http1(Arc::clone(link))),
            EntryKind::Shared(shared) => Some(Link::Http2(Arc::clone(&shared.link))),
            EntryKind::Permitted | EntryKind::Connecting(_) => None,
        }
    }

    /// What it has done, once it is open.
    pub(super) fn meter(&self) -> Option<&Meter> {
        match &self.kind {
            EntryKind::Open(link) => Some(&link.meter),
            EntryKind::Shared(shared) => Some(shared.link.meter()),
            EntryKind::Permitted | EntryKind::Connecting(_) => None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.kind, EntryKind::Open(_) | EntryKind::Shared(_))
    }

    /// The HTTP/2 connection that has no streams and takes new ones.
    pub(super) fn idle_shared(&self) -> Option<&Shared> {
        match &self.kind {
            EntryKind::Shared(shared) if shared.is_idle() => Some(shared),
            _ => None,
        }
    }

    /// Whether an HTTP/2 connection takes no new streams.
    pub(super) fn is_withdrawn(&self) -> bool {
        matches!(&self.kind, EntryKind::Shared(shared) if shared.connection.is_none())
    }

    /// Whether an HTTP/2 connection is saying goodbye.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(&self.kind, EntryKind::Shared(shared) if shared.is_leaving())
    }
}

impl Shared {
    pub(super) fn is_idle(&self) -> bool {
        self.connection.is_some() && self.streams.is_empty()
    }

    /// Whether it is saying goodbye.
    pub(super) fn is_leaving(&self) -> bool {
        self.connection.is_none() && self.streams.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.connection.is_some() && self.streams.len() < self.link.limit()
    }
}

impl Waiter {
    /// Whether it wants what there is of an origin on a runtime: a connection that has come back, if
    /// it has been made just now where only such a one will do, or a stream.
    pub(super) fn takes(&self, origin: usize, runtime: runtime::Id, is_new: bool) -> bool {
        let same = self.origin == origin && self.runtime == runtime;
        let open = matches!(self.grant, None | Some(Grant::Permit(_)));
        same && open && !self.served && (is_new || !self.fresh)
    }

    pub(super) fn is_waiting_for_a_place(&self) -> bool {
        self.permit.is_none() && !self.served && self.grant.is_none()
    }
}
