//! One decoder for all formats: tells the format, checks limits, and hands on.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::header::{self, JpegHeader};
use super::turbo::Turbo;
use super::{CodecError, DecodeLimits, DecoderKind, ImageDecoder, Pixels};
use crate::sample::{ImageFormat, ImageMeta};

/// More scans than any encoder writes (libjpeg's default script has 10). Each scan walks the whole image,
/// so a small file with thousands of them would keep a worker busy for hours.
pub(super) const MAX_SCANS: usize = 100;
/// Limit on scans times pixels, for the same reason: 40 scans of the largest image.
const MAX_SCAN_PIXELS: u64 = 4_000_000_000;
/// A JPEG holds at most about 700 pixels a byte (a flat grey one). What claims far more is cut off or
/// hostile, and is refused before a buffer of its size is made.
const MAX_PIXELS_PER_BYTE: u64 = 4096;

/// A JPEG library. The header was read and the limits checked.
pub(super) trait JpegBackend: Send {
    /// Decodes to RGB8 in `out`, reduced by up to `max_scale` (1, 2, 4 or 8).
    fn decode(
        &mut self,
        encoded: &[u8],
        header: &JpegHeader,
        max_scale: u32,
        scratch: &mut Vec<u8>,
        out: &mut Pixels,
    ) -> Result<(), CodecError>;
}

/// A decoder for JPEG, PNG and WebP; `kind` chooses the library for JPEG.
pub fn decoder(kind: DecoderKind, limits: DecodeLimits) -> Box<dyn ImageDecoder> {
    Box::new(AnyDecoder { kind, limits, jpeg: None, scratch: Vec::new() })
}

struct AnyDecoder {
    kind: DecoderKind,
    limits: DecodeLimits,
    /// Made at the first JPEG, and again after a panic inside it.
    jpeg: Option<Box<dyn JpegBackend>>,
    /// Pixels before the conversion to RGB.
    scratch: Vec<u8>,
}

impl ImageDecoder for AnyDecoder {
    fn name(&self) -> &'static str {
        self.kind.as_str()
    }

    fn decode(
        &mut self,
        encoded: &[u8],
        meta: &ImageMeta,
        max_scale: u32,
        out: &mut Pixels,
    ) -> Result<(), CodecError> {
        let format = header::format(encoded)?;
        match format {
            ImageFormat::Jpeg => {
                let header = JpegHeader::parse(encoded)?;
                self.check_size(header.width, header.height, meta)?;
                check_scans(encoded, &header)?;
                let backend = match self.jpeg.take() {
                    Some(backend) => backend,
                    None => self.new_backend()?,
                };
                let scratch = &mut self.scratch;
                let (backend, result) = guard(backend, |backend| {
                    backend.decode(encoded, &header, max_scale, scratch, out)
                });
                self.jpeg = backend;
                result
            }
            ImageFormat::Png | ImageFormat::WebP => {
                Err(CodecError::Unsupported { what: "PNG and WebP".into() })
            }
        }
    }
}

impl AnyDecoder {
    fn new_backend(&self) -> Result<Box<dyn JpegBackend>, CodecError> {
        Ok(Box::new(Turbo::new()?))
    }

    fn check_size(&self, width: u32, height: u32, meta: &ImageMeta) -> Result<(), CodecError> {
        let max_pixels = self.limits.max_pixels;
        if u64::from(width) * u64::from(height) > max_pixels {
            return Err(CodecError::TooLarge { width, height, max_pixels });
        }
        // Crops were drawn for the size in the manifest.
        if (width, height) != (meta.width, meta.height) {
            let (expected, by) = (meta.width, meta.height);
            let what = format!("the header says {width}x{height}, the manifest {expected}x{by}");
            return Err(CodecError::Damaged { what });
        }
        Ok(())
    }
}

/// Runs a library's code; a panic in it is a damaged image and the end of that instance.
fn guard<T>(
    mut state: T,
    run: impl FnOnce(&mut T) -> Result<(), CodecError>,
) -> (Option<T>, Result<(), CodecError>) {
    // What the closure leaves half done is dropped here, or is a buffer that the next decode overwrites.
    match catch_unwind(AssertUnwindSafe(|| run(&mut state))) {
        Ok(result) => (Some(state), result),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            let what = format!("the decoder panicked: {}", text.unwrap_or_default());
            (None, Err(CodecError::Damaged { what }))
        }
    }
}

/// Refuses what no decoder should begin: files that end too early or would take too long.
fn check_scans(encoded: &[u8], header: &JpegHeader) -> Result<(), CodecError> {
    let damaged = |what: String| Err(CodecError::Damaged { what });
    let pixels = u64::from(header.width) * u64::from(header.height);
    if pixels > MAX_PIXELS_PER_BYTE * encoded.len() as u64 {
        let (width, height, bytes) = (header.width, header.height, encoded.len());
        return damaged(format!("{bytes} bytes cannot hold {width}x{height} pixels"));
    }
    let scans = &encoded[header.first_scan..];
    // Within entropy-coded data a marker cannot appear by chance: 0xFF is always followed by 0 there.
    if !scans.windows(2).rev().any(|pair| pair == [0xFF, 0xD9]) {
        return damaged("the file is cut off: it has no end marker".into());
    }
    if header.progressive {
        let num_scans = scans.windows(2).filter(|pair| *pair == [0xFF, 0xDA]).count();
        if num_scans > MAX_SCANS || num_scans as u64 * pixels > MAX_SCAN_PIXELS {
            return damaged(format!("{num_scans} scans"));
        }
    }
    Ok(())
}

/// Sets the size of `out` and makes room; the content is whatever was there.
pub(super) fn reserve(out: &mut Pixels, width: u32, height: u32, scale: u32) {
    (out.width, out.height, out.scale) = (width, height, scale);
    out.data.resize(3 * width as usize * height as usize, 0);
}
