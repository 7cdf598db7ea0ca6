//! Zstandard (RFC 8878).

use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use super::decoder::{Decoder, Step};
use crate::error::BoxError;

/// 8 MiB: what a decoder for HTTP has to support, and not more (RFC 9659 §3).
const WINDOW_LOG: u32 = 23;

/// Any number of frames, one after the other.
pub(super) struct Zstd(DCtx<'static>);

impl Zstd {
    pub(super) fn boxed() -> Box<dyn Decoder> {
        let mut context = DCtx::create();
        context
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG))
            .expect("a window of 8 MiB is within the bounds of zstd");
        Box::new(Self(context))
    }
}

impl Decoder for Zstd {
    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, BoxError> {
        let mut input = InBuffer::around(input);
        let mut output = OutBuffer::around(output);
        let left = self.0.decompress_stream(&mut output, &mut input);
        Ok(Step {
            ended: left.map_err(get_error_name)? == 0,
            read: input.pos(),
            written: output.pos(),
        })
    }

    fn restart(&mut self) -> bool {
        // The context begins the next frame by itself.
        true
    }
}
