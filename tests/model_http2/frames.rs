//! What frames pass, and which streams are open by them.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const PREFACE: usize = 24;

/// One direction of a connection.
pub struct Frames {
    /// What is known of the next frame: its head, and of a goodbye the last stream that it leaves.
    head: Vec<u8>,
    /// How much comes before it.
    skip: usize,
}

/// A connection by what has passed, as its client knows it.
pub struct Wire {
    pub host: String,
    streams: BTreeMap<u32, Stream>,
    /// Whether the server has said goodbye.
    is_leaving: bool,
}

struct Stream {
    /// Which of the two sides have ended.
    ended: [bool; 2],
    since: Instant,
}

impl Frames {
    pub fn of_client() -> Self {
        Self {
            head: Vec::new(),
            skip: PREFACE,
        }
    }

    pub fn of_server() -> Self {
        Self {
            head: Vec::new(),
            skip: 0,
        }
    }

    /// Takes bytes that pass, and notes what they do to the connection. `side`: whose bytes they are.
    pub fn pass(&mut self, bytes: &[u8], side: usize, wire: &mut Wire) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(rest.len());
                rest = &rest[skipped..];
                self.skip -= skipped;
                continue;
            }
            self.head.push(rest[0]);
            rest = &rest[1..];
            let [a, b, c, kind, flags, id @ ..] = &self.head[..] else {
                continue;
            };
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            let (told, id) = match *kind {
                GOAWAY => (4, id.get(4..)),
                _ => (0, Some(id)),
            };
            if let Some(id) = id
                && let Ok(id) = <[u8; 4]>::try_from(id)
            {
                wire.note(*kind, *flags, u32::from_be_bytes(id), side);
                self.skip = length - told;
                self.head.clear();
            }
        }
    }
}

impl Wire {
    pub fn to(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            streams: BTreeMap::new(),
            is_leaving: false,
        }
    }

    pub fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// How many streams are open.
    pub fn open(&self) -> usize {
        self.streams.len()
    }

    /// How old its open streams are.
    pub fn ages(&self) -> impl Iterator<Item = Duration> {
        self.streams.values().map(|stream| stream.since.elapsed())
    }

    fn note(&mut self, kind: u8, flags: u8, id: u32, side: usize) {
        if kind == GOAWAY && side == 1 {
            self.is_leaving = true;
            // Of those after it there is nothing to be heard (RFC 9113 §6.8).
            self.streams.retain(|&own, _| own <= id);
        }
        if kind == HEADERS && side == 0 {
            self.streams.entry(id).or_insert_with(|| Stream {
                ended: [false; 2],
                since: Instant::now(),
            });
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.ended[side] |= matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
        if kind == RST_STREAM || stream.ended == [true; 2] {
            self.streams.remove(&id);
        }
    }
}
