//! What frames pass, and which streams are open by them.

use std::collections::BTreeMap;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 1;
const PREFACE: usize = 24;

/// One direction of a connection.
pub struct Frames {
    head: Vec<u8>,
    /// How much comes before the next head.
    skip: usize,
}

/// The streams of a connection, as its client knows them: which of the two sides have ended.
#[derive(Default)]
pub struct Streams(BTreeMap<u32, [bool; 2]>);

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

    /// Takes bytes that pass, and notes what they do to the streams. `side`: whose bytes they are.
    pub fn pass(&mut self, bytes: &[u8], side: usize, streams: &mut Streams) {
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
            if let [a, b, c, kind, flags, id @ ..] = &self.head[..]
                && let Ok(id) = <[u8; 4]>::try_from(id)
            {
                self.skip = u32::from_be_bytes([0, *a, *b, *c]) as usize;
                streams.note(*kind, *flags, u32::from_be_bytes(id), side);
                self.head.clear();
            }
        }
    }
}

impl Streams {
    pub fn open(&self) -> usize {
        self.0.len()
    }

    fn note(&mut self, kind: u8, flags: u8, id: u32, side: usize) {
        if kind == HEADERS && side == 0 {
            self.0.entry(id).or_default();
        }
        let Some(ended) = self.0.get_mut(&id) else {
            return;
        };
        ended[side] |= matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
        if kind == RST_STREAM || *ended == [true; 2] {
            self.0.remove(&id);
        }
    }
}
