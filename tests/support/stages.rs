//! An in-memory network that holds the first request at one stage of its way, and then lets it fare
//! as it is told.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, pending};
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_session::{BoxConnector, BoxError};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream};
use tokio::select;
use tokio::time::sleep;
use tower_service::Service;

use super::connectors::{Memory, Pipe, read_head, write};
use super::gate::Gate;

/// How long what is [`Fate::Slow`] takes: less than every limit.
pub const SLOW: Duration = Duration::from_millis(500);

/// More than what is read off a dropped body to save its connection.
pub(super) const LARGE: usize = 200_000;

/// How many bytes of a request are taken before [`Stage::WriteBody`].
const TAKEN: usize = 10_000;

/// Where a request is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before there is a connection.
    Resolve,
    /// The connection is there, and not handed out yet.
    Connect,
    /// In the handshake, after its first message.
    Tls,
    /// Not a byte of the request is taken.
    WriteHead,
    /// A part of the request is taken.
    WriteBody,
    /// The request is read, and not answered.
    Head,
    /// The answer's head and the first part of a large body have been sent.
    LargeBody,
    /// The same, of a small body of unknown length.
    SmallBody,
    /// The connection's end is not taken.
    Shutdown,
    /// Nowhere on the network.
    Elsewhere,
}

/// How it goes on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Ok,
    Error,
    Slow,
    Never,
}

/// The place where one request is held until the test lets it go; all later ones pass.
#[derive(Clone, Debug)]
pub struct Point {
    pub gate: Gate,
    fate: Fate,
    taken: Arc<AtomicBool>,
}

impl Point {
    pub fn new(fate: Fate) -> Self {
        Self {
            gate: Gate::new(),
            fate,
            taken: Arc::default(),
        }
    }

    pub async fn meet(&self) -> io::Result<()> {
        if self.taken.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        self.gate.pass().await;
        match self.fate {
            Fate::Ok => Ok(()),
            Fate::Error => Err(io::ErrorKind::ConnectionReset.into()),
            Fate::Slow => {
                sleep(SLOW).await;
                Ok(())
            }
            Fate::Never => pending().await,
        }
    }

    /// The same, unless the client's end comes first.
    async fn meet_with(&self, end: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        let mut rest = Vec::new();
        select! {
            biased;
            met = self.meet() => met,
            _ = end.read_to_end(&mut rest) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Makes a network of one stage. It answers every request with `ok`, but those at `/held`, if that is
/// the stage, by way of the point.
pub fn network(stage: Stage, point: &Point) -> BoxConnector {
    network_of(stage, point, false)
}

/// The same over HTTP/2, with one stream at a time.
#[cfg(feature = "http2")]
pub fn http2_network(stage: Stage, point: &Point) -> BoxConnector {
    network_of(stage, point, true)
}

fn network_of(stage: Stage, point: &Point, http2: bool) -> BoxConnector {
    let server = Server {
        stage,
        http2,
        point: point.clone(),
    };
    let memory = Memory::scripted(move |end, _| {
        let server = server.clone();
        async move {
            // An error is one of the ways to end a connection.
            let _ = server.serve(end).await;
        }
    });
    let staged = Staged {
        memory,
        stage,
        point: point.clone(),
    };
    if stage == Stage::Tls {
        over_tls(staged, if http2 { &["h2"] } else { &[] })
    } else {
        BoxConnector::new(staged)
    }
}

#[cfg(feature = "native-tls")]
fn over_tls(staged: Staged, protocols: &[&str]) -> BoxConnector {
    let authority = native_tls::Certificate::from_pem(super::tls::ca_pem().as_bytes());
    let connector = native_tls::TlsConnector::builder()
        .add_root_certificate(authority.expect("a certificate in PEM"))
        .request_alpns(protocols)
        .build()
        .expect("the authority is accepted");
    BoxConnector::new(hyper_tls::HttpsConnector::from((staged, connector.into())))
}

#[cfg(not(feature = "native-tls"))]
fn over_tls(_: Staged, _: &[&str]) -> BoxConnector {
    unreachable!("there is no TLS")
}

/// The server's side.
#[derive(Clone)]
struct Server {
    stage: Stage,
    http2: bool,
    point: Point,
}

impl Server {
    async fn serve(&self, mut end: DuplexStream) -> io::Result<()> {
        if self.stage != Stage::Tls {
            return self.answer_all(end).await;
        }
        let mut hello = vec![0; 16 * 1024];
        let length = end.read(&mut hello).await?;
        hello.truncate(length);
        self.point.meet_with(&mut end).await?;
        let (read, write) = tokio::io::split(end);
        let whole = tokio::io::join(io::Cursor::new(hello).chain(read), write);
        let protocols: &[_] = if self.http2 { &["h2"] } else { &[] };
        let secured = super::tls::acceptor(&["localhost"], protocols)
            .accept(whole)
            .await;
        self.answer_all(secured.map_err(io::Error::other)?).await
    }

    async fn answer_all(&self, mut end: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        #[cfg(feature = "http2")]
        if self.http2 {
            return super::stages_http2::answer_all(end, self.stage, &self.point).await;
        }
        loop {
            let head = read_head(&mut end).await;
            if head.is_empty() {
                return Ok(());
            }
            read_body(&mut end, &head).await?;
            let is_staged = head.contains(" /held ");
            match self.stage {
                Stage::Head if is_staged => {
                    self.point.meet_with(&mut end).await?;
                    write(&mut end, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
                Stage::LargeBody if is_staged => {
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\npart");
                    write(&mut end, &head).await;
                    self.point.meet_with(&mut end).await?;
                    write(&mut end, &"x".repeat(LARGE - "part".len())).await;
                }
                Stage::SmallBody if is_staged => {
                    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n";
                    write(&mut end, head).await;
                    self.point.meet_with(&mut end).await?;
                    write(&mut end, "0\r\n\r\n").await;
                }
                _ => write(&mut end, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await,
            }
        }
    }
}

/// Reads the body of a request off, by the length in its head or in chunks.
async fn read_body(end: &mut (impl AsyncRead + Unpin), head: &str) -> io::Result<()> {
    if head.contains("transfer-encoding: chunked") {
        let mut body = Vec::new();
        while !body.ends_with(b"0\r\n\r\n") {
            body.push(end.read_u8().await?);
        }
        return Ok(());
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.parse().expect("a number"));
    end.read_exact(&mut vec![0; length]).await.map(drop)
}

/// The client's side.
#[derive(Clone)]
struct Staged {
    memory: Memory,
    stage: Stage,
    point: Point,
}

impl Service<Uri> for Staged {
    type Response = StagedIo;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<StagedIo, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self {
            mut memory,
            stage,
            point,
        } = self.clone();
        Box::pin(async move {
            if stage == Stage::Resolve {
                point.meet().await?;
            }
            let pipe = memory.call(uri).await?;
            if stage == Stage::Connect {
                point.meet().await?;
            }
            let before_write = match stage {
                Stage::WriteHead => Some(0),
                Stage::WriteBody => Some(TAKEN),
                _ => None,
            };
            Ok(StagedIo {
                pipe,
                before_write,
                before_shutdown: stage == Stage::Shutdown,
                meeting: async move { point.meet().await }.boxed(),
            })
        })
    }
}

/// A connection that takes so many bytes, or all but its end, before it meets the point.
struct StagedIo {
    pipe: Pipe,
    before_write: Option<usize>,
    before_shutdown: bool,
    meeting: BoxFuture<'static, io::Result<()>>,
}

impl Connection for StagedIo {
    fn connected(&self) -> Connected {
        self.pipe.connected()
    }
}

impl Read for StagedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(cx, buf)
    }
}

impl Write for StagedIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.before_write == Some(0) {
            let met = ready!(self.meeting.as_mut().poll(cx));
            self.before_write = None;
            met?;
        }
        if let Some(left) = self.before_write {
            buf = &buf[..buf.len().min(left)];
        }
        let written = ready!(Pin::new(&mut self.pipe).poll_write(cx, buf))?;
        self.before_write = self.before_write.map(|left| left - written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.before_shutdown {
            let met = ready!(self.meeting.as_mut().poll(cx));
            self.before_shutdown = false;
            met?;
        }
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}
