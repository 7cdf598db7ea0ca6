//! An HTTP/1 connection that is polled by whoever has a use for it.

use std::future::poll_fn;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::Future;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::task::coop::unconstrained;

use super::age::Age;
use super::line::Line;
use super::meter::{End, Meter};
use super::permit::{Io, Permit};
use super::place::Place;
use super::severable::Severable;
use super::socket::{Sender, Socket};
use super::timings::Made;
use crate::body::Body;
use crate::config::HttpConfig;
use crate::connect::{BoxConnection, Traffic};
use crate::error::{Error, ErrorKind, Result};

/// One connection with its sending side. Dropping it closes the socket at once.
#[derive(Debug)]
pub(super) struct Http1 {
    /// `None` once hung up, and while it rests.
    sender: Option<Sender>,
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
    socket: Severable<Socket>,
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
        let (sender, socket) = Socket::speak(io, config)
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
            socket: Severable::new(socket),
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
        self.is_reusable() && sender.is_some_and(Sender::is_ready)
    }

    /// Hands a request to hyper. The answer comes while the link is driven.
    pub(super) fn send(
        &mut self,
        message: Request<Body>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Body>>>> + use<> {
        self.link.meter.sent();
        let sender = self.sender.as_mut();
        let sender = sender.expect("who is checked out has been roused, and not hung up");
        sender.try_send_request(message)
    }

    /// Lets go of a request that hyper has not taken yet: its answer is then that it was not sent.
    pub(super) fn hang_up(&mut self) {
        self.sender = None;
    }

    /// Has hyper begin anew on the same socket between two requests, so that the buffers of a large body
    /// are let go: it keeps them as long as it lives.
    #[cold]
    pub(super) fn renew(&mut self, config: &HttpConfig) {
        self.link.rest();
        self.rouse(config);
    }

    /// Takes what gave hyper its requests from a connection that rests, to be dropped.
    pub(super) fn take_sender(&mut self) -> Option<Sender> {
        self.sender.take()
    }

    /// Has hyper speak on it again, if it rests. `false`: it has ended.
    #[cold]
    fn rouse(&mut self, config: &HttpConfig) -> bool {
        let sender = &mut self.sender;
        self.link.socket.replace(|socket| {
            let (fresh, socket) = socket.rouse(config)?;
            if fresh.is_some() {
                *sender = fresh;
            }
            Some(socket)
        });
        sender.is_some()
    }

    /// Whether an idle connection can carry a request: it still stands, if that is to be looked at, and
    /// hyper speaks on it.
    pub(super) fn is_fit(&mut self, look: bool, config: &HttpConfig) -> bool {
        (!look || self.is_alive()) && (self.sender.is_some() || self.rouse(config))
    }

    /// Whether it may carry another request after its present one.
    pub(super) fn is_reusable(&self) -> bool {
        let write_dead = self.link.write_dead.as_ref();
        self.reusable && !write_dead.is_some_and(|dead| dead.load(Ordering::Relaxed))
    }

    /// Whether an idle connection still stands, by a poll and a look at the raw socket.
    fn is_alive(&self) -> bool {
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
        self.into_leaving().drive_at_rest();
    }

    /// Says goodbye and waits until it is said.
    pub(super) async fn shut_down_fully(self) {
        let link = self.into_leaving();
        poll_fn(|cx| link.poll_as(cx)).await;
    }

    fn into_leaving(self) -> OwnedLink {
        // Hyper as well says goodbye once it has no sender.
        drop(self.sender);
        self.link.between_requests(Socket::leave);
        self.link
    }
}

impl Link {
    /// Polls the connection: the only place that does. `false`: it has ended and is closed.
    ///
    /// A connection that has said `Ready` must be dropped there and then: its sender still calls
    /// itself ready, and a request given to it would hang.
    pub(super) fn drive(&self, cx: &mut Context<'_>) -> bool {
        self.socket.poll(cx).is_pending()
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

    /// Takes the socket from hyper, whose buffers are let go, until the next request. `false`: not now.
    pub(super) fn rest(&self) -> bool {
        self.between_requests(Socket::rest)
    }

    /// Not while hyper holds some of the last request, which would be lost: the peer may answer before it
    /// has read that.
    fn between_requests(&self, act: impl FnOnce(Socket) -> Option<Socket>) -> bool {
        let may = !self.line.signal.is_behind();
        if may {
            self.socket.replace(act);
        }
        may
    }

    /// Closes the socket now, whoever is using it.
    pub(super) fn close(&self) {
        self.socket.close();
    }

    /// Cuts the connection from outside its exchange, and tells the exchange.
    pub(super) fn sever(&self) {
        self.socket.sever();
        self.line.waker.wake_by_ref();
    }

    /// Whether the connection was cut by us.
    pub(super) fn was_severed(&self) -> bool {
        self.socket.was_severed()
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
