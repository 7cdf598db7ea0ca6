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
use super::permit::Permit;
use super::signal::Signal;
use super::timer::Timer;

#[derive(Debug)]
pub(super) struct Origin {
    pub(super) key: OwnedKey,
    pub(super) protocol: Protocol,
    /// HTTP/1, oldest first. Each holds its permit: one that ends here leaves with it.
    pub(super) idle: Vec<Idle>,
    /// HTTP/2 connections that take new streams, as places in the registry.
    pub(super) shared: Vec<usize>,
    /// Permits for this origin: connections live and in the making.
    pub(super) live: usize,
    /// Waiters and permits that refer to this origin.
    pub(super) users: usize,
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
    /// Without streams: until when it may be used.
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
    pub(super) permitted: bool,
    pub(super) waker: Option<Waker>,
    pub(super) grant: Option<Grant>,
}

/// What a waiter gets.
#[derive(Debug)]
pub(super) enum Grant {
    Lane(Lane),
    Permit(Permit),
    Severed,
}

/// What is left to do when the books have been changed: to be woken and dropped without the lock.
#[derive(Debug, Default)]
pub(super) struct Aftermath {
    pub(super) wakers: Vec<Waker>,
    pub(super) unused: Vec<Grant>,
    pub(super) leaving: Vec<Connection>,
    /// Who must look at a connection that idles now, and when at the latest.
    pub(super) watch: Option<(Arc<Timer>, u64)>,
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

    pub(super) fn is_open(&self) -> bool {
        matches!(self.kind, EntryKind::Open(_) | EntryKind::Shared(_))
    }

    /// Whether it serves others of its origin and runtime as well, or may turn out to.
    pub(super) fn may_be_shared(&self) -> bool {
        match &self.kind {
            EntryKind::Permitted | EntryKind::Connecting(_) => true,
            EntryKind::Shared(shared) => shared.connection.is_some(),
            EntryKind::Open(_) => false,
        }
    }

    /// The HTTP/2 connection that has no streams and takes new ones.
    pub(super) fn idle_shared(&self) -> Option<&Shared> {
        match &self.kind {
            EntryKind::Shared(shared) if shared.is_idle() => Some(shared),
            _ => None,
        }
    }

    /// Whether an HTTP/2 connection is saying goodbye.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(&self.kind, EntryKind::Shared(shared)
            if shared.connection.is_none() && shared.streams.is_empty())
    }
}

impl Shared {
    pub(super) fn is_idle(&self) -> bool {
        self.connection.is_some() && self.streams.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.connection.is_some() && self.streams.len() < self.link.limit()
    }
}

impl Waiter {
    /// Whether it wants an HTTP/1 connection of this kind that has come back.
    pub(super) fn takes(&self, origin: usize, runtime: runtime::Id) -> bool {
        !self.fresh && self.takes_stream(origin, runtime)
    }

    pub(super) fn takes_stream(&self, origin: usize, runtime: runtime::Id) -> bool {
        let same = self.origin == origin && self.runtime == runtime;
        same && matches!(self.grant, None | Some(Grant::Permit(_)))
    }

    pub(super) fn is_waiting_for_a_place(&self) -> bool {
        !self.permitted && self.grant.is_none()
    }

    /// Gives it what it waits for. What it had got before and not fetched is left over.
    pub(super) fn serve(&mut self, grant: Grant, aftermath: &mut Aftermath) {
        aftermath.unused.extend(self.grant.replace(grant));
        aftermath.wakers.extend(self.waker.take());
    }
}

impl Aftermath {
    /// Wakes and closes. What must be watched is left to the caller.
    pub(super) fn settle(self) {
        self.wakers.into_iter().for_each(Waker::wake);
        self.leaving.into_iter().for_each(Connection::shut_down);
    }
}
