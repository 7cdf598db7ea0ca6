//! A listener on a thread of its own: what the HTTP server and the raw peer have in common.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::{future, io};

use futures::FutureExt;
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::select;
use tokio::sync::broadcast;
use tokio::task::{LocalSet, spawn_local};

use super::tally::{Counts, Tally};

/// What the test tells the host's thread and its connections to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    RefuseNew,
    CloseIdle,
    CloseAll,
    ResetAll,
    Stop,
}

/// A connection that was just accepted.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) tcp: TcpStream,
    pub(super) number: usize,
    pub(super) tally: Tally,
    pub(super) orders: broadcast::Receiver<Order>,
}

/// The running listener: its address, its counts, and the orders that it takes.
#[derive(Debug)]
pub struct Host {
    addr: SocketAddr,
    tally: Tally,
    orders: broadcast::Sender<Order>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Host {
    /// Listens, and runs `serve` for every connection, which is live until that returns.
    pub(super) fn start<F>(role: &str, serve: F) -> Self
    where
        F: AsyncFn(Accepted) + Send + 'static,
    {
        let (listener, addr) = listen().expect("127.0.0.1 has a free port");
        let name = format!("{}/{role}", thread::current().name().unwrap_or("test"));
        let tally = Tally::new(&name);
        let (orders, _) = broadcast::channel(64);
        let run = {
            let (tally, orders) = (tally.clone(), orders.clone());
            // Subscribed here, so that no order is lost before the thread runs.
            let ordered = orders.subscribe();
            move || run(accept_all(listener, ordered, orders, tally, serve))
        };
        let thread = thread::Builder::new()
            .name(name)
            .spawn(run)
            .expect("a thread can be started");
        Self {
            addr,
            tally,
            orders,
            thread: Mutex::new(Some(thread)),
        }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    pub fn counts(&self) -> Counts {
        self.tally.counts()
    }

    pub fn accepted(&self) -> usize {
        self.counts().accepted
    }

    pub fn live(&self) -> usize {
        self.counts().live
    }

    pub fn peak(&self) -> usize {
        self.counts().peak
    }

    pub fn closed(&self) -> usize {
        self.counts().closed()
    }

    pub fn requests(&self) -> usize {
        self.counts().requests
    }

    pub fn handshakes(&self) -> usize {
        self.counts().handshakes
    }

    pub fn failed_handshakes(&self) -> usize {
        self.counts().failed_handshakes
    }

    pub fn clean_closes(&self) -> usize {
        self.counts().clean_closes
    }

    pub fn abrupt_closes(&self) -> usize {
        self.counts().abrupt_closes
    }

    pub fn server_closes(&self) -> usize {
        self.counts().server_closes
    }

    /// Waits until at least `n` connections were accepted.
    #[track_caller]
    pub fn wait_accepted(&self, n: usize) -> impl Future<Output = ()> {
        self.tally
            .wait(format!("{n} accepted"), move |counts| counts.accepted >= n)
    }

    /// Waits until exactly `n` connections are live.
    #[track_caller]
    pub fn wait_live(&self, n: usize) -> impl Future<Output = ()> {
        self.tally
            .wait(format!("{n} live"), move |counts| counts.live == n)
    }

    /// Waits until the end of at least `n` connections was seen.
    #[track_caller]
    pub fn wait_closed(&self, n: usize) -> impl Future<Output = ()> {
        self.tally
            .wait(format!("{n} closed"), move |counts| counts.closed() >= n)
    }

    /// Waits until at least `n` requests have come in.
    #[track_caller]
    pub fn wait_requests(&self, n: usize) -> impl Future<Output = ()> {
        self.tally
            .wait(format!("{n} requests"), move |counts| counts.requests >= n)
    }

    /// Waits until at least `n` TLS handshakes were completed.
    #[track_caller]
    pub fn wait_handshakes(&self, n: usize) -> impl Future<Output = ()> {
        self.tally.wait(format!("{n} handshakes"), move |counts| {
            counts.handshakes >= n
        })
    }

    /// Waits until the host has closed at least `n` connections of its own accord.
    #[track_caller]
    pub fn wait_server_closes(&self, n: usize) -> impl Future<Output = ()> {
        self.tally
            .wait(format!("{n} closed by the server"), move |counts| {
                counts.server_closes >= n
            })
    }

    /// Closes the listener: new connections are refused once this returns, running ones go on.
    pub async fn refuse_new(&self) {
        self.order(Order::RefuseNew);
        self.tally
            .wait("closed listener".to_owned(), |counts| !counts.listening)
            .await;
    }

    /// Gives every connection an order, and waits until those of now are no longer open.
    pub(super) async fn order_closed(&self, order: Order) {
        let accepted = self.accepted();
        self.order(order);
        let gone = |counts: &Counts| counts.open.range(..accepted).next().is_none();
        self.tally
            .wait(format!("end of {accepted} connections"), gone)
            .await;
    }

    pub(super) fn order(&self, order: Order) {
        // An error only says that the thread has been stopped already.
        let _ = self.orders.send(order);
    }

    /// Stops the thread and drops its listener and all connections as they are.
    pub fn stop(&self) {
        self.order(Order::Stop);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(Err(panic)) = thread.map(JoinHandle::join) {
            self.tally.panicked(&*panic);
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop();
        if !thread::panicking() {
            self.tally.check();
        }
    }
}

fn listen() -> io::Result<(std::net::TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    // More than any test connects at once, or the kernel would drop a SYN and add a second.
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    let listener = std::net::TcpListener::from(socket);
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

fn run(accept_all: impl Future<Output = ()>) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be built");
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, accept_all);
    // The connections go before their runtime does.
    drop(tasks);
}

async fn accept_all<F>(
    listener: std::net::TcpListener,
    mut ordered: broadcast::Receiver<Order>,
    orders: broadcast::Sender<Order>,
    tally: Tally,
    serve: F,
) where
    F: AsyncFn(Accepted) + 'static,
{
    let serve = Rc::new(serve);
    let mut listener = Some(TcpListener::from_std(listener).expect("the listener is nonblocking"));
    loop {
        select! {
            biased;
            order = ordered.recv() => match order.expect("the orders are held here") {
                Order::Stop => break,
                Order::RefuseNew => {
                    listener = None;
                    tally.update(|counts| counts.listening = false);
                }
                Order::CloseIdle | Order::CloseAll | Order::ResetAll => {}
            },
            tcp = accept(listener.as_ref()) => {
                spawn_local(attend(tcp, orders.subscribe(), tally.clone(), Rc::clone(&serve)));
            }
        }
    }
    tally.update(|counts| counts.listening = false);
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else {
        return future::pending().await;
    };
    loop {
        // An error is that of a connection which is gone already.
        if let Ok((tcp, _)) = listener.accept().await {
            return tcp;
        }
    }
}

fn attend<F>(
    tcp: TcpStream,
    orders: broadcast::Receiver<Order>,
    tally: Tally,
    serve: Rc<F>,
) -> impl Future<Output = ()>
where
    F: AsyncFn(Accepted),
{
    // Counted at once, not at the task's first poll; given back after the socket is gone.
    let ticket = tally.admit();
    async move {
        let number = ticket.number;
        let accepted = Accepted {
            tcp,
            number,
            tally: tally.clone(),
            orders,
        };
        if let Err(panic) = AssertUnwindSafe(serve(accepted)).catch_unwind().await {
            tally.panicked(&*panic);
        }
        drop(ticket);
    }
}
