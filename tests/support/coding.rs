//! Content codings, from the server's side.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

/// All that there are, by their names in headers.
pub const CODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

/// Codes `plain` in the coding of that name.
pub fn code(coding: &str, plain: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => gzip(plain),
        "deflate" => deflate(plain),
        "br" => brotli(plain),
        "zstd" => zstd(plain),
        other => panic!("{other} is no coding"),
    }
}

pub fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).expect("a Vec takes all");
    encoder.finish().expect("a Vec takes all")
}

/// In the zlib format.
pub fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).expect("a Vec takes all");
    encoder.finish().expect("a Vec takes all")
}

/// Without the zlib format around it.
pub fn raw_deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).expect("a Vec takes all");
    encoder.finish().expect("a Vec takes all")
}

pub fn brotli(plain: &[u8]) -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 1, 18);
    encoder.write_all(plain).expect("a Vec takes all");
    encoder.into_inner()
}

pub fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(plain, 1).expect("a Vec takes all")
}

/// Codes `plain` with a window of 2 to the power of `log` bytes, larger than the standard's as well.
pub fn windowed(coding: &str, log: u32, plain: &[u8]) -> Vec<u8> {
    match coding {
        "zstd" => {
            let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).expect("1 is a level");
            encoder.window_log(log).expect("zstd has such windows");
            encoder.write_all(plain).expect("a Vec takes all");
            encoder.finish().expect("a Vec takes all")
        }
        "br" => {
            let parameters = brotli::enc::BrotliEncoderParams {
                quality: 5,
                lgwin: log.cast_signed(),
                large_window: log > 24,
                ..Default::default()
            };
            let mut coded = Vec::new();
            brotli::BrotliCompress(&mut &*plain, &mut coded, &parameters).expect("a Vec takes all");
            coded
        }
        other => panic!("{other} has no window to be chosen"),
    }
}

/// What expands to a gigabyte of zeros, part by part; none is made before it is asked for.
pub fn bomb(coding: &str) -> impl Iterator<Item = Vec<u8>> + Send + use<> {
    let made = Made::default();
    let sink = made.clone();
    let mut encoder: Box<dyn Write + Send> = match coding {
        "gzip" => Box::new(GzEncoder::new(sink, Compression::fast())),
        "deflate" => Box::new(ZlibEncoder::new(sink, Compression::fast())),
        "br" => Box::new(brotli::CompressorWriter::new(sink, 4096, 1, BOMB_WINDOW)),
        "zstd" => Box::new(zstd::stream::Encoder::new(sink, 1).expect("1 is a level")),
        other => panic!("{other} is no coding"),
    };
    let mebibyte = vec![0; 1024 * 1024];
    (0..1024).map(move |_| {
        encoder.write_all(&mebibyte).expect("the sink takes all");
        encoder.flush().expect("the sink takes all");
        mem::take(&mut *made.lock())
    })
}

/// The window of the bomb in Brotli, as a power of two.
pub const BOMB_WINDOW: u32 = 18;

#[derive(Clone, Default)]
struct Made(Arc<Mutex<Vec<u8>>>);

impl Made {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().expect("no encoder panics")
    }
}

impl Write for Made {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
