//! A server over HTTP/1.1 that closes connections between requests, and under those that come then.

use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::server::{SharedLog, answer_to};
use crate::support::dice::Dice;

/// A connection is closed after one answer in so many.
const CLOSES: usize = 12;

/// When a server closes a connection that has brought an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// At once.
    Answered,
    /// When the next request has come, unread.
    Unread,
    /// When a part of it has been read.
    PartRead,
    /// When all of it has been read.
    Read,
}

#[derive(Debug)]
struct Request {
    is_post: bool,
    path: String,
}

pub(crate) async fn serve(tcp: TcpStream, dice: Dice, log: SharedLog) {
    Connection { tcp, dice, log }.serve().await;
}

/// One connection of the server, light enough for as many requests as these.
struct Connection {
    tcp: TcpStream,
    dice: Dice,
    log: SharedLog,
}

impl Connection {
    async fn serve(mut self) {
        while let Some(request) = self.read_request().await {
            self.log.lock().note(request.is_post, &request.path);
            let body = answer_to(&request.path);
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
            if self.tcp.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            if self.dice.one_in(CLOSES) {
                return self.close().await;
            }
        }
    }

    async fn close(mut self) {
        let moments = [
            Moment::Answered,
            Moment::Unread,
            Moment::PartRead,
            Moment::Read,
        ];
        let moment = moments[self.dice.below(moments.len())];
        let reset = self.dice.one_in(2);
        if moment != Moment::Answered && !self.next_has_come().await {
            return;
        }
        match moment {
            Moment::Answered | Moment::Unread => {}
            Moment::PartRead => {
                let mut part = vec![0; 1 + self.dice.below(30)];
                let _ = self.tcp.read(&mut part).await;
            }
            Moment::Read => {
                if let Some(request) = self.read_request().await {
                    self.log.lock().note(request.is_post, &request.path);
                }
            }
        }
        if reset {
            // An error only says that the client is gone.
            let _ = SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
        }
        self.log.lock().note_close((moment, reset));
    }

    /// Whether the client sends another request, rather than its end. Reads nothing of it.
    async fn next_has_come(&self) -> bool {
        let mut start = [0; 32];
        let Ok(length @ 1..) = self.tcp.peek(&mut start).await else {
            return false;
        };
        let start = String::from_utf8_lossy(&start[..length]);
        let path = start.split(' ').nth(1).map(str::to_owned);
        self.log.lock().met_a_close.extend(path);
        true
    }

    async fn read_request(&mut self) -> Option<Request> {
        let mut bytes = Vec::with_capacity(1024);
        let head = loop {
            if self.tcp.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
            let end = bytes.windows(4).position(|part| part == b"\r\n\r\n");
            if let Some(end) = end {
                break end + 4;
            }
        };
        let text = std::str::from_utf8(&bytes[..head]).expect("a head is ASCII");
        let mut words = text.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let request = Request {
            is_post: method == "POST",
            path: path.to_owned(),
        };
        let length = text.split_once("content-length: ").map_or(0, |(_, rest)| {
            let digits = rest.lines().next().expect("a line");
            digits.parse::<usize>().expect("a number")
        });
        while bytes.len() < head + length {
            if self.tcp.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
        assert_eq!(bytes.len(), head + length, "nobody pipelines");
        Some(request)
    }
}
