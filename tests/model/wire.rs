//! A server's end of a connection: heads and bodies of requests, as bytes come.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::sleep;

use super::event::RequestId;

pub struct Wire {
    io: DuplexStream,
    buffer: BytesMut,
}

/// A request's head.
#[derive(Clone, Debug)]
pub struct Head {
    pub method: String,
    pub request: RequestId,
    pub host: String,
    pub session: Option<usize>,
    length: Length,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Known(usize),
    Chunked,
}

/// So many bytes of what all bodies of a request and of its answer are made of.
pub fn letters(request: RequestId, length: usize) -> Vec<u8> {
    vec![b"abcdefghijklmnopqrstuvwxyz"[request % 26]; length]
}

impl Wire {
    pub fn new(io: DuplexStream) -> Self {
        Self {
            io,
            buffer: BytesMut::with_capacity(4096),
        }
    }

    pub fn has_more(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Takes what comes next. `false`: the client has closed.
    pub async fn fill(&mut self) -> bool {
        matches!(self.io.read_buf(&mut self.buffer).await, Ok(1..))
    }

    /// `None`: the client has closed.
    pub async fn write(&mut self, bytes: &[u8]) -> Option<()> {
        self.io.write_all(bytes).await.ok()
    }

    pub async fn wait_for_end(&mut self) {
        while self.fill().await {
            self.buffer.clear();
        }
    }

    pub async fn head(&mut self) -> Option<Head> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            if !self.fill().await {
                return None;
            }
        };
        let bytes = self.buffer.split_to(end);
        Some(Head::parse(std::str::from_utf8(&bytes).ok()?))
    }

    /// Reads a body of which every byte is the same, and returns its length; slowly, with a pause
    /// before each read. `None`: the client has closed before its end.
    pub async fn body(&mut self, head: &Head, pause: Duration) -> Option<usize> {
        match head.length {
            Length::Known(length) => {
                self.take(length, head.request, pause).await?;
                Some(length)
            }
            Length::Chunked => {
                let mut all = 0;
                loop {
                    let length = self.chunk_length(pause).await?;
                    self.take(length, head.request, pause).await?;
                    self.line(pause).await?;
                    if length == 0 {
                        return Some(all);
                    }
                    all += length;
                }
            }
        }
    }

    async fn chunk_length(&mut self, pause: Duration) -> Option<usize> {
        let line = self.line(pause).await?;
        let text = std::str::from_utf8(&line).expect("a chunk's length is text");
        Some(usize::from_str_radix(text.trim(), 16).expect("a chunk's length is a number"))
    }

    async fn line(&mut self, pause: Duration) -> Option<BytesMut> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                return Some(self.buffer.split_to(end + 2));
            }
            self.fill_slowly(pause).await?;
        }
    }

    async fn take(&mut self, mut length: usize, id: RequestId, pause: Duration) -> Option<()> {
        while length > 0 {
            if self.buffer.is_empty() {
                self.fill_slowly(pause).await?;
            }
            let here = length.min(self.buffer.len());
            let is_right = self.buffer[..here] == letters(id, here);
            assert!(is_right, "a request's body is its own");
            self.buffer.advance(here);
            length -= here;
        }
        Some(())
    }

    async fn fill_slowly(&mut self, pause: Duration) -> Option<()> {
        if pause > Duration::ZERO {
            sleep(pause).await;
        }
        self.fill().await.then_some(())
    }
}

impl Head {
    fn parse(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let mut start = lines.next().unwrap_or_default().split(' ');
        let mut head = Self {
            method: start.next().unwrap_or_default().to_owned(),
            request: start
                .next()
                .and_then(|path| path.strip_prefix('/')?.parse().ok())
                .expect("a request's path is its number"),
            host: String::new(),
            session: None,
            length: Length::Known(0),
        };
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            match name {
                "host" => value.clone_into(&mut head.host),
                "x-session" => head.session = value.parse().ok(),
                "transfer-encoding" => head.length = Length::Chunked,
                "content-length" => {
                    head.length = Length::Known(value.parse().expect("a length is a number"));
                }
                _ => {}
            }
        }
        head
    }

    pub fn has_body(&self) -> bool {
        self.length != Length::Known(0)
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
