//! An HTTP/1 connection that is polled by whoever has a use for it.

use std::future::poll_fn;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::{Future, FutureExt};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use tokio::task::coop::unconstrained;

use super::age::Age;
use super::line::Line;
use super::meter::{End, Meter};
use super::permit::{Io, Permit};
use super::place::Place;
use super::severable::Severable;
use super::timings::Made;
use crate::body::Body;
use crate::config::HttpConfig;
use crate::connect::{BoxConnection, Traffic};
use crate::error::{Error, ErrorKind, Result};

/// One connection with its sending side. Dropping it closes the socket at once.
#[derive(Debug)]
pub(super) struct Http1 {
    /// `None` once hung up.
    sender: Option<SendRequest<Body>>,
    pub(super) link: OwnedLink,
    /// Whether it has been in the pool, and so may have died there.
    pub(super) pooled: bool,
    /// Whether its answers are such that it may carry another request.
    pub(super) reusable: bool,
    pub(super) age: Age,
}

/// The owner's handle to its connection: closes the socket when dropped.
#[derive(Debug)]
pub(super) struct OwnedLink(pub(super) Arc<Link>);

/// What others may do to a connection while somebody drives it: look at it, wake it, cut it.
#[derive(Debug)]
pub(super) struct Link {
    /// The place in the pool's registry, and the id of the permit.
    pub(super) id: usize,
    pub(super) origin: usize,
    /// The `Host` header of its origin, made once.
    pub(super) host: HeaderValue,
    pub(super) line: Line,
    pub(super) meter: Meter,
    pub(super) made: Arc<Made>,
    /// Set when what is written goes nowhere.
    pub(super) write_dead: Option<Arc<AtomicBool>>,
    connection: Severable<Connection<Io, Body>>,
}

/// How many bytes hyper reads at once, or gathers for one write: its own default.
const BUFFER: usize = 408 * 1024;

/// Has hyper speak on a socket. Waits for nothing: in HTTP/1 the first bytes are the request's.
fn speak_on(
    io: Io,
    config: &HttpConfig,
) -> impl Future<Output = hyper::Result<(SendRequest<Body>, Connection<Io, Body>)>> + use<> {
    let mut builder = Builder::new();
    builder.max_header_size(config.http1_max_header_size);
    builder.max_buf_size(config.http1_max_header_size.max(BUFFER));
    if let Some(headers) = config.http1_max_headers {
        builder.max_headers(headers);
    }
    builder.handshake(io)
}

impl Http1 {
    pub(super) async fn handshake(
        transport: BoxConnection,
        permit: Permit,
        place: Place,
        made: Arc<Made>,
        traffic: Option<Arc<Traffic>>,
        write_dead: Option<Arc<AtomicBool>>,
        config: &HttpConfig,
    ) -> Result<Self> {
        let own_line = Line::new(place.timer);
        let id = permit.id();
        let io = Io::new(transport, Arc::clone(&own_line.signal), permit);
        let (sender, connection) = speak_on(io, config)
            .await
            .map_err(|error| Error::new(ErrorKind::Connect).with_source(error))?;
        let link = Link {
            id,
            made,
            origin: place.origin,
            host: place.host,
            line: own_line,
            meter: Meter::new(place.tallies, traffic),
            write_dead,
            connection: Severable::new(connection),
        };
        Ok(Self {
            sender: Some(sender),
            link: OwnedLink(Arc::new(link)),
            pooled: false,
            reusable: true,
            age: place.age,
        })
    }

    /// Whether the connection can carry another request now.
    pub(super) fn is_ready(&self) -> bool {
        let sender = self.sender.as_ref();
        self.is_reusable() && sender.is_some_and(SendRequest::is_ready)
    }

    /// Hands a request to hyper. The answer comes while the link is driven.
    pub(super) fn send(
        &mut self,
        message: Request<Body>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Body>>>> + use<> {
        self.link.meter.sent();
        let sender = self.sender.as_mut();
        let sender = sender.expect("a connection that was hung up is not checked out again");
        sender.try_send_request(message)
    }

    /// Lets go of a request that hyper has not taken yet: its answer is then that it was not sent.
    pub(super) fn hang_up(&mut self) {
        self.sender = None;
    }

    /// Has hyper begin anew on the same socket between two requests, so that the buffers of a large body
    /// are let go: it keeps them as long as it lives. Not while it holds some of the last request, which
    /// would be lost: the peer may answer before it has read that.
    #[cold]
    pub(super) fn renew(&mut self, config: &HttpConfig) {
        let (link, sender) = (&self.link, &mut self.sender);
        if link.line.signal.is_behind() {
            return;
        }
        link.connection.replace(|connection| {
            let parts = connection.into_parts();
            if !parts.read_buf.is_empty() {
                // Nobody has asked for that.
                link.meter.end(End::Error);
                return None;
            }
            let (fresh, connection) = speak_on(parts.io, config).now_or_never()?.ok()?;
            *sender = Some(fresh);
            Some(connection)
        });
    }

    /// Whether it may carry another request after its present one.
    pub(super) fn is_reusable(&self) -> bool {
        let write_dead = self.link.write_dead.as_ref();
        self.reusable && !write_dead.is_some_and(|dead| dead.load(Ordering::Relaxed))
    }

    /// Whether an idle connection still stands, by a poll and a look at the raw socket.
    pub(super) fn is_alive(&self) -> bool {
        self.link.line.signal.ask_for_look();
        let lives = self.link.drive_at_rest();
        if !lives {
            self.link.meter.end(End::Peer);
        }
        lives
    }

    /// Says why the connection is being closed. The first word counts.
    #[allow(clippy::unnecessary_box_returns, reason = "it comes in its box")]
    pub(super) fn because(self: Box<Self>, why: End) -> Box<Self> {
        self.link.meter.end(why);
        self
    }

    /// Says goodbye to an idle connection: FIN, under TLS `close_notify` first. Never waits.
    pub(super) fn shut_down(self) {
        let Self { sender, link, .. } = self;
        drop(sender);
        link.drive_at_rest();
    }

    /// Says goodbye and waits until it is said.
    pub(super) async fn shut_down_fully(self) {
        let Self { sender, link, .. } = self;
        drop(sender);
        poll_fn(|cx| link.poll_as(cx)).await;
    }
}

impl Link {
    /// Polls the connection: the only place that does. `false`: it has ended and is closed.
    ///
    /// A connection that has said `Ready` must be dropped there and then: its sender still calls
    /// itself ready, and a request given to it would hang.
    pub(super) fn drive(&self, cx: &mut Context<'_>) -> bool {
        self.connection.poll(cx).is_pending()
    }

    /// Polls the connection while no task drives it. A spent cooperation budget of the caller's
    /// task would make a dead connection look alive, so it does not count here.
    pub(super) fn drive_at_rest(&self) -> bool {
        let mut driving = pin!(unconstrained(poll_fn(|cx| Poll::Ready(self.drive(cx)))));
        match driving
            .as_mut()
            .poll(&mut Context::from_waker(&self.line.waker))
        {
            Poll::Ready(running) => running,
            Poll::Pending => true,
        }
    }

    /// Polls the connection for a task that has nothing else to do with it. `Ready`: it has ended.
    pub(super) fn poll_as(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.line.signal.begin(cx.waker());
        if !self.drive(&mut Context::from_waker(&self.line.waker)) {
            return Poll::Ready(());
        }
        self.line.pend(cx)
    }

    /// Closes the socket now, whoever is using it.
    pub(super) fn close(&self) {
        self.connection.close();
    }

    /// Cuts the connection from outside its exchange, and tells the exchange.
    pub(super) fn sever(&self) {
        self.connection.sever();
        self.line.waker.wake_by_ref();
    }

    /// Whether the connection was cut by us.
    pub(super) fn was_severed(&self) -> bool {
        self.connection.was_severed()
    }
}

impl Deref for OwnedLink {
    type Target = Arc<Link>;

    fn deref(&self) -> &Arc<Link> {
        &self.0
    }
}

impl Drop for OwnedLink {
    fn drop(&mut self) {
        // Whoever had another reason has given it.
        self.0.meter.end(End::Cancelled);
        self.0.close();
    }
}
