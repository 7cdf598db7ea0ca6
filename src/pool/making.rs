//! Connections in the making: by the request that needs one, or by a task for all who wait.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Waker;

use http::uri::PathAndQuery;
use http::{HeaderValue, Uri};
use tokio::time::timeout;

use super::age::Age;
use super::attempt::{Adopted, Attempt, OwnedAttempt};
use super::connection::{Connection, Lane, Link};
use super::entry::{Aftermath, EntryKind};
use super::meter::Tallies;
use super::permit::{Books, Permit};
use super::place::Place;
use super::shared::Pool;
use super::wants::Wants;
use crate::connect::watched;
use crate::error::{Error, ErrorKind, Result, TimeoutPhase};

impl Pool {
    /// Begins to connect.
    pub(super) fn connect(
        self: &Arc<Self>,
        permit: Permit,
        wants: Wants<'_>,
    ) -> Result<OwnedAttempt> {
        let host = HeaderValue::from_str(wants.key.authority).map_err(|error| {
            Error::url_invalid("the URL's host is no valid Host header").with_source(error)
        })?;
        let id = permit.id();
        let now = self.clock.now();
        let place = {
            let mut state = self.lock();
            let (timer, unused) = state.timer(wants.runtime);
            let origin = state.entries[id].origin;
            let tallies = Tallies {
                origin: Arc::clone(&state.origins[origin].tally),
                all: Arc::clone(&state.tally),
            };
            drop(state);
            drop(unused);
            Place {
                origin,
                host,
                timer,
                age: Age::new(&self.config, now),
                tasks: self.tasks.clone(),
                tallies,
            }
        };
        let connecting = watched(self.dial.dial(origin_of(wants.uri)));
        let limit = wants.timeouts.connect;
        let http = self.config.http;
        let timer = Arc::clone(&place.timer);
        let making = async move {
            // Declared before all that it covers, and so dropped after it.
            let permit = permit;
            let (made, phases) = connecting.await;
            Connection::handshake(made?, phases, permit, place, http).await
        };
        let connecting = Box::pin(async move {
            match limit {
                Some(limit) => timeout(limit, making)
                    .await
                    .unwrap_or_else(|_| Err(Error::timeout(TimeoutPhase::Connect))),
                None => making.await,
            }
        });
        let attempt = OwnedAttempt(Arc::new(Attempt::new(connecting, now, timer)));
        let severed = {
            let mut state = self.lock();
            state.begun(id, &attempt);
            state.severed
        };
        // From here on it is found by whoever severs; until here it was not.
        if severed {
            return Err(closed_while_waiting());
        }
        Ok(attempt)
    }

    /// Has a connection made all the same that lost its race: the next in the queue may need it.
    ///
    /// `of`: the request in the queue that is told if it fails.
    pub(super) fn go_on(self: &Arc<Self>, attempt: Arc<Attempt>, of: Option<u64>) {
        let runtime = attempt.timer.runtime.clone();
        let attempt = Adopted(attempt);
        let mut maker = Maker {
            pool: Arc::clone(self),
            of,
        };
        self.tasks.spawn(&runtime, async move {
            let made = poll_fn(|cx| attempt.poll(cx)).await;
            maker.hand_over(made);
        });
    }

    /// Tells the one for whom a connection was to be made; those who waited to share it go on without.
    pub(super) fn could_not_connect(self: &Arc<Self>, ticket: u64, error: Error) {
        let books = Arc::clone(self) as Arc<dyn Books>;
        let aftermath = self.lock().could_not_connect(ticket, error, &books);
        self.settle(aftermath, self.clock.now());
    }

    /// Enters a connection in the books. The request `of` that made it has all of it, or its first
    /// stream; one that was made by a task, or whose request has got another, goes to those who wait.
    /// One to be shared that is made beside as many as there may be is closed again: its request waits
    /// for a stream of those.
    pub(super) fn opened(
        self: &Arc<Self>,
        connection: Connection,
        of: Option<u64>,
    ) -> Option<Lane> {
        let books = Arc::clone(self) as Arc<dyn Books>;
        let now = self.clock.now();
        let mut aftermath = Aftermath::default();
        let mut offer = None;
        let (lane, link, attempt, severed) = {
            let mut state = self.lock();
            let of = of.filter(|&ticket| !state.is_served(ticket));
            let (lane, link, attempt) = match connection {
                Connection::Http1(connection) => {
                    let link = Arc::clone(&connection.link);
                    let attempt = state.opened(link.id, EntryKind::Open(Arc::clone(&link)));
                    // In one step: nobody may think that nothing comes.
                    let lane = if let Some(ticket) = of {
                        state.note_served(ticket);
                        Some(Lane::Http1(connection))
                    } else {
                        offer = Some((state.offer(connection, now), Arc::clone(&link.line.timer)));
                        None
                    };
                    state.each_for_itself(link.origin, &books, &mut aftermath);
                    (lane, Link::Http1(link), attempt)
                }
                Connection::Http2(connection) => {
                    let link = Arc::clone(connection.link());
                    if state.shares_enough(link.stamp().id) {
                        let wakers = state.shares_instead(link.origin(), of, &books);
                        drop(state);
                        // The connection ends here, and its place comes back.
                        wakers.into_iter().for_each(Waker::wake);
                        return None;
                    }
                    let age = Age::new(&self.config, now);
                    let (stream, attempt) =
                        state.opened_shared(connection, age, of, now, &books, &mut aftermath);
                    (stream.map(Lane::Http2), Link::Http2(link), attempt)
                }
            };
            (lane, link, attempt, state.severed)
        };
        drop(attempt);
        link.start();
        self.settle(aftermath, now);
        if let Some((offer, timer)) = offer {
            self.offered(offer, &timer, now);
        }
        if severed {
            link.sever();
        }
        lane
    }
}

/// A task that makes a connection for all who wait, and one of them above all.
struct Maker {
    pool: Arc<Pool>,
    of: Option<u64>,
}

impl Maker {
    fn hand_over(&mut self, made: Result<Connection>) {
        let connection = match made.and_then(polled_once) {
            Ok(connection) => connection,
            Err(error) => return self.fail(error),
        };
        self.pool.opened(connection, None);
        if let Some(ticket) = self.of.take() {
            let books = Arc::clone(&self.pool) as Arc<dyn Books>;
            let wakers = self.pool.lock().waits_again(ticket, &books);
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    fn fail(&mut self, error: Error) {
        if let Some(ticket) = self.of.take() {
            self.pool.could_not_connect(ticket, error);
        }
    }
}

/// A first poll, so that hyper asks for a request and sees the peer close.
fn polled_once(connection: Connection) -> Result<Connection> {
    if let Connection::Http1(connection) = &connection {
        if !connection.link.drive_at_rest() {
            return Err(Error::new(ErrorKind::Connect)
                .with_message("the peer closed the connection as soon as it was made"));
        }
        connection.link.line.signal.rest();
    }
    Ok(connection)
}

impl Drop for Maker {
    /// Ended with its runtime, it has to tell.
    fn drop(&mut self) {
        if self.of.is_some() {
            self.fail(
                Error::new(ErrorKind::Connect)
                    .with_message("the task that made the connection has ended"),
            );
        }
    }
}

pub(super) fn closed_while_waiting() -> Error {
    Error::closed("the session was closed while the request waited for a connection")
}

/// The `scheme://authority/` that a connector is asked for.
fn origin_of(uri: &Uri) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.scheme = uri.scheme().cloned();
    parts.authority = uri.authority().cloned();
    parts.path_and_query = Some(PathAndQuery::from_static("/"));
    Uri::from_parts(parts).expect("scheme and authority come from a URI that has both")
}
