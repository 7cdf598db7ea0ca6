//! A scripted peer of raw bytes, for faults that no HTTP server would make.

use std::io;
use std::ops::Deref;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::connection::{reset_on_drop, send_fin};
use super::host::{Accepted, Host};
use super::tally::{End, Tally};

type Received = Arc<Mutex<Vec<Vec<u8>>>>;

/// A listener that runs a script for every connection: counts and waits are those of [`Host`].
///
/// Its thread runs all scripts, so they wait by `.await` only. When a script returns, the peer sends
/// FIN and reads on; the connection is live until the client's end was seen, or the script reset it.
/// A panic in a script fails the test.
#[derive(Debug)]
pub struct RawPeer {
    host: Host,
    received: Received,
}

impl RawPeer {
    /// Starts a peer whose script gets the connection and its number, from 0.
    ///
    /// ```text
    /// RawPeer::start(async move |conn, _| {
    ///     conn.read_request().await;
    ///     gate.pass().await;
    ///     conn.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    /// })
    /// ```
    pub fn start<F>(script: F) -> Self
    where
        F: AsyncFn(&mut RawConn, usize) + Send + 'static,
    {
        let received = Received::default();
        let log = Arc::clone(&received);
        let host = Host::start("raw peer", async move |accepted| {
            let mut conn = RawConn::new(accepted, Arc::clone(&log));
            let number = conn.number;
            let script = AssertUnwindSafe(script(&mut conn, number)).catch_unwind();
            if let Err(panic) = script.await {
                conn.tally.panicked(&*panic);
            }
            conn.finish().await;
        });
        Self { host, received }
    }

    /// Starts a peer that answers each request with the same bytes and keeps the connection open.
    pub fn answering(answer: &'static [u8]) -> Self {
        Self::start(async move |conn, _| {
            while !conn.read_request().await.is_empty() {
                conn.write(answer).await;
            }
        })
    }

    /// Starts a peer that accepts and then neither reads, nor answers, nor closes.
    pub fn silent() -> Self {
        Self::start(async |_, _| std::future::pending().await)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr())
    }

    /// All bytes that the script of connection `number` has read so far.
    pub fn received(&self, number: usize) -> Vec<u8> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.get(number).cloned().unwrap_or_default()
    }
}

impl Deref for RawPeer {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

/// One connection of a [`RawPeer`], in the hands of its script.
#[derive(Debug)]
pub struct RawConn {
    /// `None` once it was reset.
    tcp: Option<TcpStream>,
    number: usize,
    tally: Tally,
    received: Received,
    /// Read, but not given out yet.
    ahead: Vec<u8>,
    end: Option<End>,
}

impl RawConn {
    fn new(accepted: Accepted, received: Received) -> Self {
        let Accepted {
            tcp, number, tally, ..
        } = accepted;
        // Some systems refuse that once the client is gone.
        let _ = tcp.set_nodelay(true);
        let mut log = received.lock().unwrap_or_else(PoisonError::into_inner);
        let count = log.len().max(number + 1);
        log.resize_with(count, Vec::new);
        drop(log);
        Self {
            tcp: Some(tcp),
            number,
            tally,
            received,
            ahead: Vec::new(),
            end: None,
        }
    }

    /// Reads a request up to the end of its body (Content-Length or chunked).
    ///
    /// At the client's end it gives what there was: nothing, when none had begun.
    pub async fn read_request(&mut self) -> Vec<u8> {
        let mut request = self.read_head().await;
        let head = String::from_utf8_lossy(&request).to_ascii_lowercase();
        if head.contains("\r\ntransfer-encoding: chunked") {
            request.extend(self.read_until(b"0\r\n\r\n").await);
        } else if let Some((_, rest)) = head.split_once("\r\ncontent-length:") {
            let length = rest
                .lines()
                .next()
                .and_then(|length| length.trim().parse().ok());
            request.extend(
                self.read(length.expect("a content-length is a number"))
                    .await,
            );
        }
        request
    }

    /// Reads a request's head with its empty line, and counts a request.
    pub async fn read_head(&mut self) -> Vec<u8> {
        let head = self.read_until(b"\r\n\r\n").await;
        if head.ends_with(b"\r\n\r\n") {
            self.tally.update(|counts| counts.requests += 1);
        }
        head
    }

    /// Reads `length` bytes, or fewer at the client's end.
    pub async fn read(&mut self, length: usize) -> Vec<u8> {
        while self.ahead.len() < length && self.fill().await {}
        self.take(length)
    }

    /// Reads up to and with a mark, or to the client's end.
    pub async fn read_until(&mut self, mark: &[u8]) -> Vec<u8> {
        let mut searched = 0;
        loop {
            let mut rest = self.ahead[searched..].windows(mark.len());
            if let Some(at) = rest.position(|bytes| bytes == mark) {
                return self.take(searched + at + mark.len());
            }
            searched = (self.ahead.len() + 1).saturating_sub(mark.len());
            if !self.fill().await {
                return self.take(usize::MAX);
            }
        }
    }

    /// Writes the bytes; `false` when the client is gone.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        match self.tcp.as_mut() {
            Some(tcp) => tcp.write_all(bytes.as_ref()).await.is_ok(),
            None => false,
        }
    }

    /// Sends FIN; the client's bytes can still be read.
    pub fn close(&mut self) {
        if let Some(tcp) = &self.tcp {
            self.tally.server_closed(self.number, || send_fin(tcp));
        }
    }

    /// Sends RST: the connection is gone, and what was not read or delivered with it.
    pub fn reset(&mut self) {
        if let Some(tcp) = self.tcp.take() {
            reset_on_drop(&tcp);
            self.tally.server_closed(self.number, || drop(tcp));
        }
    }

    /// Reads up to the client's end and says which it was; of a connection that was reset, `Abrupt`.
    pub async fn wait_eof(&mut self) -> End {
        while self.fill().await {}
        self.end.unwrap_or(End::Abrupt)
    }

    /// Keeps the connection as it is until the signal comes, such as `gate.pass()`.
    pub async fn hold_until(&mut self, signal: impl Future) {
        signal.await;
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let length = length.min(self.ahead.len());
        self.ahead.drain(..length).collect()
    }

    /// Reads once; `false` at the client's end.
    async fn fill(&mut self) -> bool {
        let Some(tcp) = self.tcp.as_mut() else {
            return false;
        };
        if self.end.is_some() {
            return false;
        }
        let mut bytes = [0; 4096];
        let read = tcp.read(&mut bytes).await;
        let count = self.note(&read);
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received[self.number].extend_from_slice(&bytes[..count]);
        self.ahead.extend_from_slice(&bytes[..count]);
        count > 0
    }

    /// Notes the client's end, the first time it is seen.
    fn note(&mut self, read: &io::Result<usize>) -> usize {
        let end = match read {
            Ok(0) => End::Clean,
            Ok(count) => return *count,
            Err(_) => End::Abrupt,
        };
        self.end = Some(end);
        self.tally.client_closed(self.number, end);
        0
    }

    async fn finish(mut self) {
        self.close();
        self.wait_eof().await;
    }
}
