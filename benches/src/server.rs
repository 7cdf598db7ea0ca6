//! The servers: each on a thread of its own, with a runtime of its own, on loopback.
//!
//! The one for HTTP/1 is made to be cheap, so that the clients are what is measured. It reads a head
//! up to its empty line, looks at its path and at `content-length`, and writes an answer that is
//! ready made.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, mpsc};
use std::thread;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::runtime::{current_thread, pin_to_one_core};

/// The body of the answer to `/`.
pub const BODY: &[u8] = b"Hello, World!";

/// How many bytes a line of text has.
pub const LINE: usize = 100;

const BUFFER: usize = 256 * 1024;

static ASCII: LazyLock<Vec<u8>> =
    LazyLock::new(|| lines("the quick brown fox jumps over the dog "));
static UTF8: LazyLock<Vec<u8>> =
    LazyLock::new(|| lines("the quick brown füchse jump over the dog "));

/// A buffer of lines that begin with that.
fn lines(start: &str) -> Vec<u8> {
    let line = format!(
        "{start:.<width$}\n",
        width = LINE - 1 - (start.len() - start.chars().count())
    );
    line.bytes().cycle().take(BUFFER).collect()
}

/// An HTTP/1 server, until the process ends.
///
/// | path | answer |
/// |---|---|
/// | `/` | [`BODY`] |
/// | `/ascii/N` | `N` bytes in lines of ASCII |
/// | `/utf8/N` | `N` bytes in lines with a character each that is not ASCII |
/// | `/upload` | [`BODY`], when as many bytes have arrived as `content-length` says |
/// | `/together/N` | [`BODY`], when `N` such requests are there |
#[derive(Debug, Clone)]
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    accepted: AtomicUsize,
    held: AtomicUsize,
    answers: Semaphore,
}

impl Server {
    /// Starts one.
    pub fn start() -> Self {
        Self::start_on(|| ())
    }

    /// Starts one on the core that [`pin_to_one_core`] pins to.
    pub fn start_on_one_core() -> Self {
        Self::start_on(pin_to_one_core)
    }

    fn start_on(prepare: fn()) -> Self {
        let state = Arc::new(State {
            accepted: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            answers: Semaphore::new(0),
        });
        let shared = Arc::clone(&state);
        let address = serve(prepare, async move |stream| {
            shared.accepted.fetch_add(1, Ordering::Relaxed);
            let state = Arc::clone(&shared);
            tokio::spawn(async move {
                // A client that goes away is no news.
                let _ = answer_all(stream, &state).await;
            });
        });
        Self { address, state }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::Relaxed)
    }

    /// How many requests for `/together/N` wait for the others.
    pub fn held(&self) -> usize {
        self.state.held.load(Ordering::Relaxed)
    }
}

/// Starts an HTTP/2 server, by prior knowledge, that answers with [`BODY`] until the process ends.
pub fn start_http2() -> SocketAddr {
    serve(
        || (),
        async |stream| {
            tokio::spawn(async move {
                let answer = |_: Request<_>| async {
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(BODY))))
                };
                let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service_fn(answer))
                    .await;
            });
        },
    )
}

fn serve(prepare: fn(), handle: impl AsyncFn(TcpStream) + Send + 'static) -> SocketAddr {
    let (ready, address) = mpsc::channel();
    thread::spawn(move || {
        prepare();
        current_thread().block_on(async move {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await;
            let listener = listener.expect("a free port");
            let address = listener.local_addr().expect("it is bound");
            ready.send(address).expect("somebody waits");
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                stream.set_nodelay(true).expect("a socket option");
                handle(stream).await;
            }
        });
    });
    address.recv().expect("the server has started")
}

async fn answer_all(mut stream: TcpStream, state: &State) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    let mut filled = 0;
    loop {
        let end = loop {
            let empty_line = buffer[..filled]
                .windows(4)
                .position(|four| four == b"\r\n\r\n");
            if let Some(position) = empty_line {
                break position + 4;
            }
            match stream.read(&mut buffer[filled..]).await? {
                0 => return Ok(()),
                read => filled += read,
            }
        };
        let head = str::from_utf8(&buffer[..end]).expect("the clients send text");
        let path = head.split(' ').nth(1).expect("a request line");
        if path == "/" {
            stream.write_all(&HELLO).await?;
        } else if let Some(count) = path.strip_prefix("/ascii/") {
            let count = count.parse().expect("how many bytes");
            send_text(&mut stream, &ASCII, count).await?;
        } else if let Some(count) = path.strip_prefix("/utf8/") {
            let count = count.parse().expect("how many bytes");
            send_text(&mut stream, &UTF8, count).await?;
        } else if let Some(count) = path.strip_prefix("/together/") {
            state.wait(count.parse().expect("how many requests")).await;
            stream.write_all(&HELLO).await?;
        } else {
            assert_eq!(path, "/upload", "no such path");
            let length = content_length(head).expect("the clients announce the length");
            take_body(&mut stream, length - (filled - end)).await?;
            filled = end;
            stream.write_all(&HELLO).await?;
        }
        buffer.copy_within(end..filled, 0);
        filled -= end;
    }
}

static HELLO: LazyLock<Vec<u8>> = LazyLock::new(|| [&head(BODY.len()), BODY].concat());

fn head(length: usize) -> Vec<u8> {
    let lines = "HTTP/1.1 200 OK\r\nserver: benches\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
        content-type: text/plain; charset=utf-8\r\ncontent-length: ";
    format!("{lines}{length}\r\n\r\n").into_bytes()
}

impl State {
    /// Waits for the others, and lets them go with the last.
    async fn wait(&self, count: usize) {
        if self.held.fetch_add(1, Ordering::Relaxed) + 1 == count {
            self.held.store(0, Ordering::Relaxed);
            self.answers.add_permits(count);
        }
        let answer = self.answers.acquire().await;
        answer.expect("it is never closed").forget();
    }
}

async fn send_text(stream: &mut TcpStream, text: &[u8], count: usize) -> io::Result<()> {
    let head = head(count);
    let first = count.min(BUFFER - head.len());
    stream.write_all(&[&head, &text[..first]].concat()).await?;
    let mut at = first;
    while at < count {
        // Goes on where the last part ended; its lines are all alike.
        let from = at % LINE;
        let part = (count - at).min(BUFFER - from);
        stream.write_all(&text[from..from + part]).await?;
        at += part;
    }
    Ok(())
}

fn content_length(head: &str) -> Option<usize> {
    let mut lines = head.lines();
    lines.find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
}

async fn take_body(stream: &mut TcpStream, length: usize) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut left = length;
    while left > 0 {
        match stream.read(&mut buffer).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => left -= read,
        }
    }
    Ok(())
}
