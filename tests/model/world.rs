//! The model: what the client, the network and the servers have done so far, and what was wrong
//! with it.
//!
//! Whatever is found wrong is written down rather than panicked about: many of those who find it
//! run in tasks of the pool.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper_session::{Error, ErrorKind, Session, Stats, TimeoutPhase};
use tokio::time::Instant;

use super::books::{Books, Network, Phase, Socket};
use super::event::{End, Event, RequestId, SocketId};
use super::plan::{Ask, Fate, Reply};
use super::request::Request;
use super::settings::{Limits, Settings};

/// A cheap clone of one shared thing.
#[derive(Clone, Debug)]
pub struct World {
    books: Arc<Mutex<Books>>,
    /// The session whose numbers can be compared at any time, where there is only one.
    watched: Arc<Mutex<Option<Session>>>,
}

/// What goes on at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sockets {
    pub connecting: usize,
    pub live: usize,
    pub opened: u64,
}

impl World {
    pub fn new(settings: Settings) -> Self {
        Self {
            books: Arc::new(Mutex::new(Books::new(settings))),
            watched: Arc::default(),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the clock, which is the runtime's.
    pub fn begin(&self) {
        self.lock().began = Instant::now();
    }

    /// Has the numbers of a session compared with the model's from now on.
    pub fn watch(&self, session: Option<Session>) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *watched, session);
        drop(watched);
        drop(old);
    }

    pub fn watched_stats(&self) -> Option<Stats> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.as_ref().map(Session::stats)
    }

    pub fn note(&self, event: Event) {
        self.lock().note(event);
    }

    pub fn violation(&self, what: impl Into<String>) {
        self.lock().violation(what.into());
    }

    pub fn expect(&self, is_so: bool, what: impl FnOnce() -> String) {
        if !is_so {
            self.violation(what());
        }
    }

    /// Ends the record. What is left is dropped in an order of no interest.
    pub fn take_events(&self) -> (Vec<(u64, Event)>, usize) {
        let mut books = self.lock();
        books.over = true;
        (std::mem::take(&mut books.events), books.violations)
    }

    pub fn own_tasks(&self) -> usize {
        self.lock().own_tasks
    }

    /// Counts a task of the simulation's own until the guard is dropped.
    pub fn count_task(&self) -> OwnTask {
        self.lock().own_tasks += 1;
        OwnTask(self.clone())
    }

    /// Says that sessions are closed from now on while requests are under way.
    pub fn closes(&self) {
        self.lock().closing = true;
    }

    /// An opening hook refuses.
    pub fn hook_fails(&self) {
        self.lock().hook_has_failed = true;
    }

    /// A client has read something.
    pub fn progresses(&self) {
        let mut books = self.lock();
        books.last_progress = books.now();
    }

    /// How long ago a client had something of its request.
    pub fn since_last_progress(&self) -> Duration {
        let books = self.lock();
        Duration::from_millis(books.now() - books.last_progress)
    }

    pub fn reused(&self) -> u64 {
        self.lock().reused
    }

    /// All sockets of all connectors.
    pub fn sockets(&self) -> Sockets {
        let books = self.lock();
        Sockets {
            connecting: books
                .networks
                .iter()
                .map(|network| network.connecting)
                .sum(),
            live: books.networks.iter().map(|network| network.live).sum(),
            opened: books.opened,
        }
    }

    /// A connector, and the limits of the one session that it serves.
    pub fn add_network(&self, limits: Option<Limits>) -> usize {
        let mut books = self.lock();
        books.networks.push(Network {
            limits,
            connecting: 0,
            live: 0,
            of_origin: [0; 3],
        });
        books.networks.len() - 1
    }

    pub fn add_session(&self, limits: Limits) -> usize {
        let mut books = self.lock();
        let number = books.sessions.len();
        books.sessions.push(limits);
        books.note(Event::Session(number, limits));
        number
    }

    pub fn dials(&self, network: usize, origin: usize, fate: Fate) -> SocketId {
        let mut books = self.lock();
        let socket = books.sockets.len();
        let (by, dialed_at) = (books.polled, books.now());
        books.note(Event::Dials {
            socket,
            origin,
            fate,
            by,
        });
        books.sockets.push(Socket {
            network,
            origin,
            phase: Phase::Connecting,
            dialed_by: by,
            session: None,
            last_request: None,
            dialed_at,
            answers: 0,
            granted: None,
        });
        if let Some(request) = by {
            books.requests[request].dials.push(fate);
        }
        books.networks[network].connecting += 1;
        books.networks[network].of_origin[origin] += 1;
        books.check_limits(network, origin);
        socket
    }

    pub fn opens(&self, socket: SocketId) {
        let mut books = self.lock();
        books.note(Event::Opens(socket));
        books.opened += 1;
        books.sockets[socket].phase = Phase::Live;
        let network = books.sockets[socket].network;
        books.networks[network].connecting -= 1;
        books.networks[network].live += 1;
    }

    /// The client has given up a dial or dropped its end.
    pub fn closed(&self, socket: SocketId) {
        let mut books = self.lock();
        books.note(Event::Closes(socket));
        let Socket {
            network, origin, ..
        } = books.sockets[socket];
        let phase = std::mem::replace(&mut books.sockets[socket].phase, Phase::Gone);
        let network = &mut books.networks[network];
        network.of_origin[origin] -= 1;
        match phase {
            Phase::Connecting => network.connecting -= 1,
            Phase::Live => network.live -= 1,
            Phase::Gone => books.violation(format!("socket {socket} was closed twice")),
        }
    }

    pub fn asks(&self, ask: Ask) -> RequestId {
        let mut books = self.lock();
        let id = books.requests.len();
        books.note(Event::Asks(id, ask));
        let now = books.now();
        books.requests.push(Request::new(ask, now));
        id
    }

    pub fn ask(&self, id: RequestId) -> Option<Ask> {
        self.lock().requests.get(id).map(|request| request.ask)
    }

    /// A server has read a request's head.
    pub fn seen(&self, id: RequestId, socket: SocketId, session: Option<usize>) {
        let mut books = self.lock();
        books.note(Event::PeerSees(id, socket));
        let retry_stale = books.settings.retry_stale;
        let Some(request) = books.requests.get_mut(id) else {
            return books.violation(format!("nobody asked for request {id}"));
        };
        request.seen += 1;
        let allowed = 1 + usize::from(retry_stale && request.ask.can_be_replayed());
        if request.seen > allowed {
            let seen = request.seen;
            books.violation(format!("request {id} has come {seen} times"));
        }
        if books.requests[id].end.is_some_and(End::is_unsent) {
            books.violation(format!("request {id} was said not to have been sent"));
        }
        let before = std::mem::replace(&mut books.sockets[socket].session, session);
        if before.is_some() && before != session {
            books.violation(format!("socket {socket} is used by two sessions"));
        }
        if let (None, Some(session)) = (before, session) {
            books.check_session(session);
        }
    }

    pub fn replies(&self, id: RequestId, reply: Reply) {
        let mut books = self.lock();
        books.note(Event::PeerReplies(id, reply));
        if let Some(request) = books.requests.get_mut(id) {
            request.replies.push(reply);
        }
    }

    /// A response's head has come out of the session.
    pub fn head_came(&self, id: RequestId, status: u16) {
        let mut books = self.lock();
        books.note(Event::HeadCame(id, status));
        books.last_progress = books.now();
        match books.requests[id].written_to {
            None => books.violation(format!("request {id} was answered without being sent")),
            Some(socket) => {
                let hint = books.requests[id].replies.last();
                let max = hint.and_then(|reply| Some(reply.keep_alive?.1));
                let socket = &mut books.sockets[socket];
                let was_used = socket.answers > 0;
                socket.answers += 1;
                let less = socket.granted.map(|granted| granted.saturating_sub(1));
                socket.granted = less.into_iter().chain(max).min();
                books.reused += u64::from(was_used);
            }
        }
    }

    pub fn ends(&self, id: RequestId, end: End) {
        let mut books = self.lock();
        books.note(Event::Ends(id, end));
        books.queue.retain(|queued| queued.request != id);
        books.requests[id].end = Some(end);
        books.last_progress = books.now();
        if end.is_unsent() && books.requests[id].seen > 0 {
            books.violation(format!("request {id} had been sent"));
        }
    }

    /// Ends a request by an error, which the model must know a reason for.
    pub fn fails(&self, id: RequestId, error: &Error) {
        let (kind, sent) = (error.kind(), error.was_sent());
        // Before the lock of the books: the pool's own comes first.
        let stats = self.watched_stats();
        self.ends(id, End::Failed { kind, sent });
        let mut books = self.lock();
        let now = books.now();
        let request = &books.requests[id];
        let explained = match kind {
            ErrorKind::Closed => books.closing,
            ErrorKind::Hook => books.hook_has_failed,
            _ => request.explains(kind, &books.settings, now),
        };
        if !explained {
            books.violation(format!("request {id} has no reason to fail: {error:?}"));
        }
        let origin = books.requests[id].ask.origin;
        if kind == ErrorKind::Timeout(TimeoutPhase::Pool)
            && let Some(stats) = stats
            && !books.has_reason_to_wait(origin, &stats)
        {
            books.violation(format!("request {id} queued in vain: {stats:?}"));
        }
    }

    /// Holds a request until all that are to be held with it are there.
    pub fn gather(&self) {
        self.lock().gathered += 1;
    }

    pub fn gathered(&self) -> usize {
        self.lock().gathered
    }
}

/// A task of the simulation's own.
#[derive(Debug)]
pub struct OwnTask(World);

impl Drop for OwnTask {
    fn drop(&mut self) {
        self.0.lock().own_tasks -= 1;
    }
}
