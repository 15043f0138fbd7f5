//! libjpeg-turbo through its TurboJPEG interface: the reference decoder.

use turbojpeg::{Decompressor, Image, PixelFormat, ScalingFactor};

use super::any::{JpegBackend, MAX_SCANS, reserve};
use super::header::{JpegColour, JpegHeader};
use super::{CodecError, Pixels, colour};

/// What libjpeg says of scans that it decoded in full in spite of an oddity. Everything else that it warns
/// of means missing or made-up pixels. It reports its first warning only, so this one can hide a worse.
const HARMLESS: &str = "extraneous bytes before marker";

/// One decompressor, kept from image to image with its tables and buffers.
pub(super) struct Turbo {
    decompressor: Decompressor,
}

impl Turbo {
    pub(super) fn new() -> Result<Self, CodecError> {
        let mut decompressor = Decompressor::new().map_err(damaged)?;
        decompressor.set_scan_limit(MAX_SCANS as u32).map_err(damaged)?;
        Ok(Self { decompressor })
    }
}

impl JpegBackend for Turbo {
    fn decode(
        &mut self,
        encoded: &[u8],
        header: &JpegHeader,
        max_scale: u32,
        scratch: &mut Vec<u8>,
        out: &mut Pixels,
    ) -> Result<(), CodecError> {
        let factor = ScalingFactor::new(1, max_scale as usize);
        self.decompressor.set_scaling_factor(factor).map_err(damaged)?;
        let width = factor.scale(header.width as usize);
        let height = factor.scale(header.height as usize);
        // A warning here would keep `decompress` from decoding at all and must not be taken for one of its own.
        self.decompressor.read_header(encoded).map_err(damaged)?;
        reserve(out, width as u32, height as u32, max_scale);
        let mut decode = |pixels: &mut [u8], format: PixelFormat| {
            let pitch = width * format.size();
            let image = Image { pixels, width, pitch, height, format };
            match self.decompressor.decompress(encoded, image) {
                Err(turbojpeg::Error::TurboJpegError(what)) if what.contains(HARMLESS) => Ok(()),
                result => result.map_err(damaged),
            }
        };
        if matches!(header.colour, JpegColour::Cmyk | JpegColour::Ycck) {
            scratch.resize(4 * width * height, 0);
            decode(scratch, PixelFormat::CMYK)?;
            colour::cmyk_to_rgb(scratch, &mut out.data);
            Ok(())
        } else {
            decode(&mut out.data, PixelFormat::RGB)
        }
    }
}

fn damaged(error: turbojpeg::Error) -> CodecError {
    let what = match error {
        turbojpeg::Error::TurboJpegError(what) => what,
        other => other.to_string(),
    };
    CodecError::Damaged { what }
}
