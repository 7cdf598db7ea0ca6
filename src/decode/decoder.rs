//! What all decoders are.

use crate::error::BoxError;

/// Decodes one coding, step by step.
pub(super) trait Decoder: Send + Sync {
    /// Decodes from `input` into `output` until one of them is used up, or the stream ends.
    ///
    /// Called without input, it gives what did not fit the last output.
    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, BoxError>;

    /// How many bytes mean nothing that follow the end of a stream.
    fn padding(&self, _: &[u8]) -> usize {
        0
    }

    /// Makes ready for another stream after one that has ended. `false`: the coding has only one.
    fn restart(&mut self) -> bool;
}

/// How far one step has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// Bytes of the input that are used up.
    pub(super) read: usize,
    /// Bytes of the output that are there.
    pub(super) written: usize,
    /// Whether that was the end of the stream.
    pub(super) ended: bool,
}
