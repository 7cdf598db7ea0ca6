//! One coding of a body.

use bytes::{Buf, Bytes, BytesMut};

use super::coding::Coding;
use super::decoder::Decoder;
use crate::error::{Error, ErrorKind, Result};

/// The sizes of the parts that are given, in bytes.
const LEAST: usize = 4 * 1024;
const MOST: usize = 64 * 1024;

/// A decoder with what it has been given and what it has made of it.
pub(super) struct Layer {
    coding: &'static Coding,
    decoder: Box<dyn Decoder>,
    input: Bytes,
    output: BytesMut,
    /// How much has been given.
    pub(super) given: u64,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first byte.
    Start,
    Within,
    /// The output was used up: there may be more without any more input.
    WithinFull,
    /// At the end of a stream.
    End,
}

impl Layer {
    pub(super) fn new(coding: &'static Coding) -> Self {
        Self {
            coding,
            decoder: (coding.decoder)(),
            input: Bytes::new(),
            output: BytesMut::new(),
            given: 0,
            place: Place::Start,
        }
    }

    /// Takes the next part. The one before has been used up.
    pub(super) fn push(&mut self, input: Bytes) {
        debug_assert!(self.input.is_empty(), "a layer is fed when it is hungry");
        self.input = input;
    }

    /// Gives the next part of what it means. `None`: nothing more without more input.
    pub(super) fn pull(&mut self) -> Result<Option<Bytes>> {
        while !self.input.is_empty() || self.place == Place::WithinFull {
            if self.place == Place::End {
                let padding = self.decoder.padding(&self.input);
                self.input.advance(padding);
                if self.input.is_empty() {
                    return Ok(None);
                }
                if !self.decoder.restart() {
                    return Err(self.error("goes on after the end of its"));
                }
            }
            self.make_room();
            let decoded = self.decoder.decode(&self.input, &mut self.output);
            let step =
                decoded.map_err(|source| self.error("cannot be decoded as").with_source(source))?;
            self.input.advance(step.read);
            self.place = match step.ended {
                true => Place::End,
                false if step.written == self.output.len() => Place::WithinFull,
                false => Place::Within,
            };
            if step.written > 0 {
                self.given += step.written as u64;
                return Ok(Some(self.output.split_to(step.written).freeze()));
            }
            if step.read == 0 && !self.input.is_empty() {
                return Err(self.error("cannot be decoded as"));
            }
        }
        Ok(None)
    }

    /// Takes the end of the input. An empty body is not missed: nothing was coded.
    pub(super) fn finish(&self) -> Result<()> {
        match self.place {
            Place::Start | Place::End => Ok(()),
            Place::Within | Place::WithinFull => Err(self.error("ended amid its")),
        }
    }

    /// Small bodies get a small buffer; where those who were given the parts have dropped them, its
    /// memory is used again.
    fn make_room(&mut self) {
        if self.output.len() < LEAST {
            let given = usize::try_from(self.given).unwrap_or(MOST);
            self.output.resize(given.clamp(LEAST, MOST), 0);
        }
    }

    fn error(&self, what: &str) -> Error {
        let name = self.coding.name;
        Error::new(ErrorKind::Decode).with_message(format!("the body {what} {name}"))
    }
}
