//! Connectors: an in-memory network, one that counts what another makes, and one that is told how
//! to fare.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};

use futures::future::{BoxFuture, pending};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_session::{BoxError, Connector};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::yield_now;
use tower_service::Service;

use super::body::Body;
use super::gate::Gate;
use super::wire::STREAMS;

/// What fits into an in-memory connection in each direction before its writer waits.
const CAPACITY: usize = 64 * 1024;

type Serve = dyn Fn(DuplexStream, usize) -> BoxFuture<'static, ()> + Send + Sync;

/// Connects to a server in the same process and runtime, over `tokio::io::duplex`: no socket, no
/// reactor, and so at home with paused time.
///
/// The other end of each connection is served by a task of the runtime that asked for it.
#[derive(Clone)]
pub struct Memory {
    serve: Arc<Serve>,
    made: Arc<AtomicUsize>,
}

impl Memory {
    /// Serves every connection by hyper, with a handler.
    pub fn serving<H, F>(handler: H) -> Self
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::scripted(move |end, _| {
            let handler = handler.clone();
            async move {
                let service = service_fn(|request| {
                    let answer = handler(request);
                    async { Ok::<_, Infallible>(answer.await) }
                });
                // An error is one of the ways for a client to end it.
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(end), service)
                    .await;
            }
        })
    }

    /// The same over HTTP/2.
    pub fn serving_http2<H, F>(handler: H) -> Self
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::scripted(move |end, _| {
            let handler = handler.clone();
            async move {
                let service = service_fn(move |request| {
                    let answer = handler(request);
                    async { Ok::<_, Infallible>(answer.await) }
                });
                // An error is one of the ways for a client to end it.
                let _ = http2::Builder::new(TokioExecutor::new())
                    .max_concurrent_streams(STREAMS)
                    .serve_connection(TokioIo::new(end), service)
                    .await;
            }
        })
    }

    /// Hands the other end of every connection to a script, with its number from 0. The connection
    /// is closed when the script drops it.
    pub fn scripted<S, F>(script: S) -> Self
    where
        S: Fn(DuplexStream, usize) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self {
            serve: Arc::new(move |end, number| Box::pin(script(end, number))),
            made: Arc::default(),
        }
    }
}

impl Service<Uri> for Memory {
    type Response = Pipe;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Pipe, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (client, server) = Pipe::new(Negotiated::Nothing);
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        tokio::spawn((self.serve)(server, number));
        std::future::ready(Ok(client))
    }
}

/// The client's end of an in-memory connection.
#[derive(Debug)]
pub struct Pipe {
    io: TokioIo<DuplexStream>,
    negotiated: Negotiated,
}

/// What the ends of a connection have agreed to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Negotiated {
    Nothing,
    Http2,
}

impl Pipe {
    /// Makes a connection: this end and the server's.
    pub fn new(negotiated: Negotiated) -> (Self, DuplexStream) {
        let (client, server) = duplex(CAPACITY);
        let io = TokioIo::new(client);
        (Self { io, negotiated }, server)
    }
}

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        match self.negotiated {
            Negotiated::Nothing => Connected::new(),
            Negotiated::Http2 => Connected::new().negotiated_h2(),
        }
    }
}

/// Reads a request's head; at the client's end, what there was of it.
pub async fn read_head(end: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match end.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).expect("a request's head is ASCII")
}

/// Writes all bytes; an error only says that the client is gone.
pub async fn write(end: &mut (impl AsyncWrite + Unpin), bytes: &str) {
    let _ = end.write_all(bytes.as_bytes()).await;
}

/// How many connections another connector was asked for and has made, and how many there are.
///
/// A cheap clone: one for the session, one for the test.
#[derive(Clone, Debug)]
pub struct Counting<C> {
    inner: C,
    books: Arc<Books>,
}

#[derive(Default)]
struct Books {
    numbers: Mutex<Numbers>,
    on_close: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// Numbers of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Connections asked for so far.
    pub asked: usize,
    /// Connections made so far.
    pub made: usize,
    /// Connections being made.
    pub connecting: usize,
    /// Connections that are there.
    pub live: usize,
    /// The most that were being made and there at any one time.
    pub peak: usize,
}

impl<C> Counting<C> {
    pub fn new(inner: C) -> Self {
        Self {
            inner,
            books: Arc::default(),
        }
    }

    /// Takes a snapshot.
    pub fn numbers(&self) -> Numbers {
        *self.books.lock()
    }

    /// Runs this whenever a connection is dropped, once it is closed. Set once.
    pub fn on_close(&self, told: impl Fn() + Send + Sync + 'static) {
        let set = self.books.on_close.set(Box::new(told));
        assert!(set.is_ok(), "set once");
    }
}

impl<C: Connector> Service<Uri> for Counting<C> {
    type Response = Counted<C::Response>;
    type Error = C::Error;
    type Future = BoxFuture<'static, Result<Counted<C::Response>, C::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        // Declared first, and so dropped last, here as in `Counted`.
        let mut slot = Slot::connecting(Arc::clone(&self.books));
        let connecting = self.inner.call(uri);
        Box::pin(async move {
            let io = connecting.await?;
            slot.made();
            Ok(Counted { io, _slot: slot })
        })
    }
}

impl Books {
    fn lock(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().fmt(f)
    }
}

/// One connection or attempt, as long as it is there.
#[derive(Debug)]
struct Slot {
    books: Arc<Books>,
    live: bool,
}

impl Slot {
    fn connecting(books: Arc<Books>) -> Self {
        let slot = Self { books, live: false };
        slot.update(|numbers| {
            numbers.asked += 1;
            numbers.connecting += 1;
            numbers.peak = numbers.peak.max(numbers.connecting + numbers.live);
        });
        slot
    }

    fn made(&mut self) {
        self.live = true;
        self.update(|numbers| {
            numbers.connecting -= 1;
            numbers.made += 1;
            numbers.live += 1;
        });
    }

    fn update(&self, change: impl FnOnce(&mut Numbers)) {
        change(&mut self.books.lock());
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let live = self.live;
        if let Some(told) = self.books.on_close.get().filter(|_| live) {
            told();
        }
        self.update(|numbers| {
            let count = if live {
                &mut numbers.live
            } else {
                &mut numbers.connecting
            };
            *count -= 1;
        });
    }
}

/// A connection that is counted until it is dropped.
#[derive(Debug)]
pub struct Counted<T> {
    io: T,
    _slot: Slot,
}

impl<T: Connection> Connection for Counted<T> {
    fn connected(&self) -> Connected {
        self.io.connected()
    }
}

/// What becomes of an attempt to connect.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It goes its way.
    Made,
    /// It fails.
    Refused,
    /// It goes its way after so many turns of the scheduler.
    Later(usize),
    /// It never ends.
    Never,
    /// It goes its way once the gate lets it pass.
    Behind(Gate),
}

/// Lets a function of the attempt's number, from 0, decide what becomes of it.
#[derive(Clone)]
pub struct Fated<C> {
    inner: C,
    fate: Arc<dyn Fn(usize) -> Fate + Send + Sync>,
    asked: Arc<AtomicUsize>,
}

impl<C> Fated<C> {
    pub fn new(inner: C, fate: impl Fn(usize) -> Fate + Send + Sync + 'static) -> Self {
        Self {
            inner,
            fate: Arc::new(fate),
            asked: Arc::default(),
        }
    }
}

impl<C: Connector> Service<Uri> for Fated<C> {
    type Response = C::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<C::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let fate = (self.fate)(self.asked.fetch_add(1, Ordering::SeqCst));
        let connecting = self.inner.call(uri);
        Box::pin(async move {
            match fate {
                Fate::Made => {}
                Fate::Refused => {
                    return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into());
                }
                Fate::Later(turns) => {
                    for _ in 0..turns {
                        yield_now().await;
                    }
                }
                Fate::Never => pending().await,
                Fate::Behind(gate) => gate.pass().await,
            }
            connecting.await.map_err(Into::into)
        })
    }
}

impl Read for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<T: Read + Unpin> Read for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: Write + Unpin> Write for Counted<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for Fated<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fated").finish_non_exhaustive()
    }
}
