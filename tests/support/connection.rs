//! One served connection, from the accepted socket to the end that the client gives it.

use std::convert::Infallible;
use std::future::pending;
use std::net::Shutdown;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::select;
use tokio::sync::{broadcast, mpsc};
use tokio_native_tls::{TlsAcceptor, TlsStream};

use super::body::Body;
use super::host::{Accepted, Order};
use super::tally::Tally;
use super::transport::{Below, Transport, Watched};

/// The number of the connection a request came on, from 0: an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionNumber(pub usize);

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    /// With so many streams at a time.
    Http2 {
        streams: u32,
    },
}

/// Serves a connection and returns when the client's end of it was seen, or when told to reset it.
pub(super) async fn serve<H>(
    accepted: Accepted,
    protocol: Protocol,
    tls: Option<&TlsAcceptor>,
    handler: &H,
) where
    H: AsyncFn(Request<Incoming>) -> Response<Body>,
{
    let Accepted {
        mut tcp,
        number,
        tally,
        orders,
    } = accepted;
    // Small responses in several writes are not to wait for acknowledgements. Some systems refuse
    // that once the client is gone.
    let _ = tcp.set_nodelay(true);
    let exchange = Exchange {
        number,
        protocol,
        tally: &tally,
        handler,
    };
    let reset = match tls {
        None => exchange.run(&mut tcp, orders).await,
        Some(acceptor) => exchange.run_tls(acceptor, &mut tcp, orders).await,
    };
    if reset {
        reset_on_drop(&tcp);
        tally.server_closed(number, || drop(tcp));
    } else {
        // Over TLS, and after a failed handshake, the socket's own end is still to come.
        drain(&mut tcp).await;
    }
}

/// Makes the drop of a socket send RST.
pub(super) fn reset_on_drop(tcp: &TcpStream) {
    // Some systems refuse that once the client is gone.
    let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
}

/// Reads and discards up to the end of the stream.
async fn drain(io: &mut (impl AsyncRead + Unpin)) {
    let mut discarded = [0; 4096];
    while matches!(io.read(&mut discarded).await, Ok(1..)) {}
}

struct Exchange<'a, H> {
    number: usize,
    protocol: Protocol,
    tally: &'a Tally,
    handler: &'a H,
}

impl<H> Exchange<'_, H>
where
    H: AsyncFn(Request<Incoming>) -> Response<Body>,
{
    /// Says whether the socket is to be reset.
    async fn run_tls(
        &self,
        acceptor: &TlsAcceptor,
        tcp: &mut TcpStream,
        mut orders: broadcast::Receiver<Order>,
    ) -> bool {
        let failed = match handshake(acceptor, tcp, &mut orders).await {
            Ok(stream) => {
                self.tally.update(|counts| counts.handshakes += 1);
                return self.run(stream, orders).await;
            }
            Err(failed) => failed,
        };
        match failed {
            Unshaken::Reset => return true,
            Unshaken::Closed => {
                self.tally.server_closed(self.number, || send_fin(tcp));
            }
            Unshaken::Failed => {
                self.tally.handshake_failed(self.number, || send_fin(tcp));
            }
        }
        false
    }

    /// Says whether the socket is to be reset.
    async fn run(&self, io: impl Transport, mut orders: broadcast::Receiver<Order>) -> bool {
        let mut io = Watched::new(io);
        if self.http(&mut io, &mut orders).await {
            return true;
        }
        self.finish(&mut io, &mut orders).await
    }

    async fn http(
        &self,
        io: &mut Watched<impl Transport>,
        orders: &mut broadcast::Receiver<Order>,
    ) -> bool {
        let service = service_fn(|mut request: Request<Incoming>| {
            self.tally.update(|counts| counts.requests += 1);
            request
                .extensions_mut()
                .insert(ConnectionNumber(self.number));
            async { Ok::<_, Infallible>((self.handler)(request).await) }
        });
        let io = TokioIo::new(io);
        match self.protocol {
            Protocol::Http1 => {
                let connection = http1::Builder::new().serve_connection(io, service);
                let graceful = http1::Connection::graceful_shutdown;
                self.drive(pin!(connection), graceful, orders).await
            }
            Protocol::Http2 { streams } => {
                let (executor, tasks) = tasks();
                let mut server = http2::Builder::new(executor);
                server.max_concurrent_streams(streams);
                let connection = pin!(server.serve_connection(io, service));
                let graceful = http2::Connection::graceful_shutdown;
                select! {
                    reset = self.drive(connection, graceful, orders) => reset,
                    never = tasks => never,
                }
            }
        }
    }

    /// Says whether the socket is to be reset.
    async fn drive<C: Future>(
        &self,
        mut connection: Pin<&mut C>,
        graceful: fn(Pin<&mut C>),
        orders: &mut broadcast::Receiver<Order>,
    ) -> bool {
        loop {
            select! {
                served = AssertUnwindSafe(connection.as_mut()).catch_unwind() => {
                    // An error is one of the ways for a client to end it, and seen by `Watched`. A
                    // panic is noted before the client can see its connection end.
                    if let Err(panic) = served {
                        self.tally.panicked(&*panic);
                    }
                    return false;
                }
                order = orders.recv() => match order.expect("the accept loop holds the orders") {
                    Order::CloseIdle => graceful(connection.as_mut()),
                    Order::CloseAll => return false,
                    Order::ResetAll => return true,
                    Order::RefuseNew | Order::Stop => {}
                },
            }
        }
    }

    /// Closes the host's side, then reads up to the client's end.
    async fn finish(
        &self,
        io: &mut Watched<impl Transport>,
        orders: &mut broadcast::Receiver<Order>,
    ) -> bool {
        if io.end.is_none() {
            if !io.shut {
                // Over TLS the close_notify. One attempt: whoever does not read must not hold the
                // FIN up. An error means that the client is gone; what follows sees how.
                let _ = io.shutdown().now_or_never();
            }
            self.tally.server_closed(self.number, || send_fin(io.tcp()));
        }
        while io.end.is_none() {
            select! {
                () = drain(io) => {}
                order = orders.recv() => {
                    if matches!(order, Ok(Order::ResetAll)) {
                        return true;
                    }
                }
            }
        }
        if let Some(end) = io.end {
            self.tally.client_closed(self.number, end);
        }
        false
    }
}

/// Takes the streams of an HTTP/2 connection, to be run beside it.
#[derive(Debug)]
struct Tasks<'a>(mpsc::UnboundedSender<LocalBoxFuture<'a, ()>>);

impl Clone for Tasks<'_> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<'a, F: Future<Output = ()> + 'a> Executor<F> for Tasks<'a> {
    fn execute(&self, task: F) {
        // An error says that the connection is gone, and its streams with it.
        let _ = self.0.send(task.boxed_local());
    }
}

/// An executor, and what runs its tasks, without an end.
fn tasks<'a>() -> (Tasks<'a>, impl Future<Output = bool> + use<'a>) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let run = async move {
        let mut running = FuturesUnordered::new();
        loop {
            select! {
                task = receiver.recv() => match task {
                    Some(task) => running.push(task),
                    None => return pending().await,
                },
                Some(()) = running.next() => {}
            }
        }
    };
    (Tasks(sender), run)
}

pub(super) fn send_fin(tcp: &TcpStream) {
    // Fails only if the connection is gone.
    let _ = SockRef::from(tcp).shutdown(Shutdown::Write);
}

/// Why there is no TLS stream.
enum Unshaken {
    Failed,
    Closed,
    Reset,
}

async fn handshake<'a>(
    acceptor: &TlsAcceptor,
    tcp: &'a mut TcpStream,
    orders: &mut broadcast::Receiver<Order>,
) -> Result<TlsStream<Below<'a>>, Unshaken> {
    let mut handshake = pin!(acceptor.accept(Below::new(tcp)));
    loop {
        select! {
            stream = handshake.as_mut() => return stream.map_err(|_| Unshaken::Failed),
            order = orders.recv() => match order.expect("the accept loop holds the orders") {
                Order::CloseAll | Order::CloseIdle => return Err(Unshaken::Closed),
                Order::ResetAll => return Err(Unshaken::Reset),
                Order::RefuseNew | Order::Stop => {}
            },
        }
    }
}
