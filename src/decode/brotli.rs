//! Brotli (RFC 7932).

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::decoder::{Decoder, Step};
use crate::error::BoxError;

/// One stream.
pub(super) struct Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>);

impl Brotli {
    pub(super) fn boxed() -> Box<dyn Decoder> {
        let alloc = StandardAlloc::default;
        // Strict: no windows of more than 16 MiB, which RFC 7932 does not have.
        Box::new(Self(Box::new(BrotliState::new_strict(
            alloc(),
            alloc(),
            alloc(),
        ))))
    }
}

impl Decoder for Brotli {
    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, BoxError> {
        let (mut read, mut written) = (0, 0);
        let result = BrotliDecompressStream(
            &mut input.len(),
            &mut read,
            input,
            &mut output.len(),
            &mut written,
            output,
            &mut 0,
            &mut self.0,
        );
        if let BrotliResult::ResultFailure = result {
            return Err(format!("{:?}", self.0.error_code).into());
        }
        Ok(Step {
            read,
            written,
            ended: matches!(result, BrotliResult::ResultSuccess),
        })
    }

    fn restart(&mut self) -> bool {
        false
    }
}
