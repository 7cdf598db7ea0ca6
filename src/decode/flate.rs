//! gzip (RFC 1952) and deflate (RFC 1950, RFC 1951).

use flate2::{Decompress, FlushDecompress, Status};

use super::decoder::{Decoder, Step};
use crate::error::BoxError;

/// Any number of members, one after the other.
#[cfg(feature = "gzip")]
pub(super) struct Gzip(Decompress);

#[cfg(feature = "gzip")]
impl Gzip {
    pub(super) fn boxed() -> Box<dyn Decoder> {
        Box::new(Self::new())
    }

    fn new() -> Self {
        /// 32 KiB, the largest that there is.
        const WINDOW_BITS: u8 = 15;
        Self(Decompress::new_gzip(WINDOW_BITS))
    }
}

#[cfg(feature = "gzip")]
impl Decoder for Gzip {
    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, BoxError> {
        inflate(&mut self.0, input, output)
    }

    /// Zeros, as the format's own tool allows them: writers of whole blocks leave them behind.
    fn padding(&self, input: &[u8]) -> usize {
        let is_padding = |byte: &&u8| **byte == 0;
        input.iter().take_while(is_padding).count()
    }

    fn restart(&mut self) -> bool {
        // A reset would go back to raw deflate.
        *self = Self::new();
        true
    }
}

/// The zlib format, or raw deflate, which some servers send all the same (RFC 9110 §8.4.1.2).
#[cfg(feature = "deflate")]
pub(super) struct Deflate(Option<Decompress>);

#[cfg(feature = "deflate")]
impl Deflate {
    pub(super) fn boxed() -> Box<dyn Decoder> {
        Box::new(Self(None))
    }
}

#[cfg(feature = "deflate")]
impl Decoder for Deflate {
    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, BoxError> {
        let decompress = self.0.get_or_insert_with(|| {
            // Method 8 of RFC 1950. Raw deflate would begin so with a stored block whose padding is
            // not zero, which no encoder makes.
            let zlib = input.first().is_some_and(|byte| byte & 0x0f == 8);
            Decompress::new(zlib)
        });
        inflate(decompress, input, output)
    }

    fn restart(&mut self) -> bool {
        false
    }
}

fn inflate(decompress: &mut Decompress, input: &[u8], output: &mut [u8]) -> Result<Step, BoxError> {
    let (read, written) = (decompress.total_in(), decompress.total_out());
    let status = decompress.decompress(input, output, FlushDecompress::None)?;
    // No more than the slices are long.
    let since = |total: u64, before: u64| usize::try_from(total - before).unwrap_or(usize::MAX);
    Ok(Step {
        read: since(decompress.total_in(), read),
        written: since(decompress.total_out(), written),
        ended: status == Status::StreamEnd,
    })
}
