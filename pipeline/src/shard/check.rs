//! One file: read, looked at, accepted or refused.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::ShardError;
use super::listing::SplitListing;
use super::options::{Check, ShardOptions};
use super::ordered::Gate;
use crate::codec::{CodecError, DecodeRequest, ImageDecoder, Pixels, decoder, probe};
use crate::sample::{ImageFlags, ImageMeta};

/// Buffers larger than this are given back after use: one giant image must not stay for the whole run.
const KEPT_BUFFER_BYTES: usize = 32 << 20;

/// Why a file is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) kind: &'static str,
    pub(super) reason: String,
}

impl From<CodecError> for Refusal {
    fn from(error: CodecError) -> Self {
        Self { kind: error.kind(), reason: error.to_string() }
    }
}

/// Why a file does not become a row.
#[derive(Debug)]
pub(super) enum Rejection {
    /// It is left out, and the run goes on.
    Refused(Refusal),
    /// It may well be a good image, but it cannot be read: the run ends.
    Failed(Box<ShardError>),
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ShardError> for Rejection {
    fn from(error: ShardError) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// A worker's tools for looking at files.
pub(super) struct Checker<'a> {
    options: &'a ShardOptions,
    gate: &'a Gate,
    decoder: Box<dyn ImageDecoder>,
    pixels: Pixels,
}

impl<'a> Checker<'a> {
    /// Decodes of all workers together stay within `gate`.
    pub(super) fn new(options: &'a ShardOptions, gate: &'a Gate) -> Self {
        let decoder = decoder(options.decoder, options.limits);
        Self { options, gate, decoder, pixels: Pixels::default() }
    }

    /// Reads and checks a file; its bytes are given back untouched with what was found in them.
    pub(super) fn file(
        &mut self,
        listing: &SplitListing,
        file: u32,
    ) -> Result<(Vec<u8>, ImageMeta), Rejection> {
        let bytes = listing.read(file as usize, self.options.max_file_bytes)?;
        // A fault in a decoder costs the file that laid it open, not the run.
        let result = catch_unwind(AssertUnwindSafe(|| self.image(&bytes)));
        let meta = result.unwrap_or_else(|panic| {
            self.decoder = decoder(self.options.decoder, self.options.limits);
            self.pixels = Pixels::default();
            let reason = format!("the decoder panicked: {}", panic_message(panic.as_ref()));
            Err(Refusal { kind: "panic", reason })
        })?;
        Ok((bytes, meta))
    }

    fn image(&mut self, bytes: &[u8]) -> Result<ImageMeta, Refusal> {
        let mut meta = probe(bytes)?;
        let limits = self.options.limits;
        if u64::from(meta.width) * u64::from(meta.height) > limits.max_pixels {
            let (width, height) = (meta.width, meta.height);
            return Err(
                CodecError::TooLarge { width, height, max_pixels: limits.max_pixels }.into()
            );
        }
        match self.options.check {
            Check::Header => meta.flags = meta.flags.with(ImageFlags::UNCHECKED),
            Check::Decode => {
                let needed = self.options.decoder.decode_bytes(&meta);
                if needed > self.options.decode_bytes {
                    let reason = format!(
                        "decoding {}x{} pixels{} takes about {} MB, the limit is {} MB",
                        meta.width,
                        meta.height,
                        if meta.progressive { " (progressive)" } else { "" },
                        needed >> 20,
                        self.options.decode_bytes >> 20
                    );
                    return Err(Refusal { kind: "too_large", reason });
                }
                let (decoder, pixels) = (&mut self.decoder, &mut self.pixels);
                self.gate.with(needed, || {
                    let result = decoder.decode(bytes, &meta, &DecodeRequest::WHOLE, pixels);
                    if pixels.data.capacity() > KEPT_BUFFER_BYTES {
                        *pixels = Pixels::default();
                    }
                    result
                })?;
                if decoder.damage().is_some() {
                    meta.flags = meta.flags.with(ImageFlags::DAMAGED);
                }
            }
        }
        Ok(meta)
    }
}

/// What a panic said.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or("no message".to_owned())
}
