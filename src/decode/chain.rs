//! All codings of a body.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};

use super::coding;
use super::layer::Layer;
use crate::error::{Error, ErrorKind, Result};

/// The codings of a body, one upon the other. The first is the next to the wire.
#[derive(Default)]
pub(crate) struct Chain(Vec<Layer>);

/// How much longer than its meaning a coded body may be, in bytes.
const OVERHEAD: u64 = 1024 * 1024;

/// What one step of decoding has come to.
#[derive(Debug)]
pub(crate) enum Progress {
    /// A part of what the body means.
    Part(Bytes),
    /// A part went from one coding to the next.
    Moved,
    /// Nothing more without more input.
    Hungry,
}

impl Chain {
    /// The codings that the headers of a response name. They are taken out of the headers then,
    /// and the length with them, as it is that of the coded body.
    ///
    /// `None`: nothing is to be decoded, or something that is not built in.
    pub(crate) fn take(headers: &mut HeaderMap) -> Option<Self> {
        let codings = coding::of(headers)?;
        headers.remove(CONTENT_ENCODING);
        headers.remove(CONTENT_LENGTH);
        Some(Self(codings.into_iter().rev().map(Layer::new).collect()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the next part of the coded body.
    pub(crate) fn push(&mut self, part: Bytes) {
        if let Some(first) = self.0.first_mut() {
            first.push(part);
        }
    }

    /// Decodes a little more, to `limit` bytes at most.
    pub(crate) fn step(&mut self, limit: u64) -> Result<Progress> {
        for index in (0..self.0.len()).rev() {
            let layer = &mut self.0[index];
            let Some(part) = layer.pull()? else {
                continue;
            };
            let given = layer.given;
            let next = self.0.get_mut(index + 1);
            // What is itself coded is bounded as well: it may mean nothing, for ever.
            let overhead = next.as_ref().map_or(0, |_| OVERHEAD);
            if given > limit.saturating_add(overhead) {
                return Err(too_large(limit, given));
            }
            let Some(next) = next else {
                return Ok(Progress::Part(part));
            };
            next.push(part);
            return Ok(Progress::Moved);
        }
        Ok(Progress::Hungry)
    }

    /// Takes the end of the coded body, once all of it has been used up.
    pub(crate) fn finish(&self) -> Result<()> {
        self.0.iter().try_for_each(Layer::finish)
    }
}

/// The error for a body of which more has been seen than is allowed.
pub(crate) fn too_large(limit: u64, seen: u64) -> Error {
    Error::new(ErrorKind::BodyTooLarge).with_message(format!(
        "the response's body is longer than max_body allows: {seen} bytes so far, the limit is {limit}"
    ))
}
