//! Text that is gathered part by part.

use simdutf8::basic;

use super::collect::Gather;

/// How much is looked at before it is copied, in bytes: little enough to be still in the cache.
const BLOCK: usize = 4096;

/// What has come of a body that is to be UTF-8.
pub(super) enum Utf8 {
    /// It is so far, but for a character whose end has not come.
    Text { text: String, cut: Vec<u8> },
    /// It is not.
    Malformed(Vec<u8>),
}

impl Utf8 {
    pub(super) fn new() -> Self {
        Self::Text {
            text: String::new(),
            cut: Vec::new(),
        }
    }

    /// Ends it. `Err`: all that has come, which is not UTF-8.
    pub(super) fn finish(mut self) -> Result<String, Vec<u8>> {
        if let Self::Text { cut, .. } = &self
            && !cut.is_empty()
        {
            self.give_up(&[]);
        }
        match self {
            Self::Text { text, .. } => Ok(text),
            Self::Malformed(bytes) => Err(bytes),
        }
    }

    /// Goes on without looking, with what is left of the present part.
    #[cold]
    fn give_up(&mut self, left: &[u8]) {
        if let Self::Text { text, cut } = self {
            let mut bytes = std::mem::take(text).into_bytes();
            bytes.extend_from_slice(cut);
            bytes.extend_from_slice(left);
            *self = Self::Malformed(bytes);
        }
    }
}

impl Gather for Utf8 {
    fn len(&self) -> usize {
        match self {
            Self::Text { text, cut } => text.len() + cut.len(),
            Self::Malformed(bytes) => bytes.len(),
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Text { text, .. } => text.capacity(),
            Self::Malformed(bytes) => bytes.capacity(),
        }
    }

    fn reserve(&mut self, more: usize) {
        match self {
            Self::Text { text, cut } => text.reserve_exact(cut.len() + more),
            Self::Malformed(bytes) => bytes.reserve_exact(more),
        }
    }

    fn push(&mut self, part: &[u8]) {
        let (text, cut) = match self {
            Self::Text { text, cut } => (text, cut),
            Self::Malformed(bytes) => return bytes.extend_from_slice(part),
        };
        let mut left = part;
        if let Some(&first) = cut.first() {
            let missing = (length(first) - cut.len()).min(left.len());
            let (end, rest) = left.split_at(missing);
            cut.extend_from_slice(end);
            left = rest;
            if cut.len() < length(first) {
                return;
            }
            match basic::from_utf8(cut) {
                Ok(character) => text.push_str(character),
                Err(_) => return self.give_up(left),
            }
            cut.clear();
        }
        while !left.is_empty() {
            let block = whole_characters(&left[..left.len().min(BLOCK)]);
            if block.is_empty() {
                return cut.extend_from_slice(left);
            }
            match basic::from_utf8(block) {
                Ok(block) => text.push_str(block),
                Err(_) => return self.give_up(left),
            }
            left = &left[block.len()..];
        }
    }
}

/// Leaves a character out whose end is missing.
fn whole_characters(bytes: &[u8]) -> &[u8] {
    // 10xxxxxx goes on with a character, all else begins one.
    let last = bytes.iter().rposition(|byte| byte.leading_ones() != 1);
    match last {
        Some(at) if at + length(bytes[at]) > bytes.len() => &bytes[..at],
        _ => bytes,
    }
}

/// How many bytes a character has that begins with that one.
fn length(first: u8) -> usize {
    first.leading_ones().max(1) as usize
}
