//! zune-jpeg: Rust, one thread, full size only.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::any::{JpegBackend, MAX_SCANS, reserve};
use super::header::{JpegColour, JpegHeader};
use super::{CodecError, DecodeRequest, Pixels, colour};

/// Keeps nothing from image to image: the library has no way to reuse its buffers.
pub(super) struct Zune;

impl JpegBackend for Zune {
    fn decode(
        &mut self,
        encoded: &[u8],
        header: &JpegHeader,
        _request: &DecodeRequest,
        scratch: &mut Vec<u8>,
        out: &mut Pixels,
    ) -> Result<bool, CodecError> {
        let damaged = |error| CodecError::Damaged { what: format!("{error:?}") };
        // Strict mode is what makes it report missing data instead of filling in grey.
        let options = DecoderOptions::default()
            .set_strict_mode(true)
            .set_max_width(usize::from(u16::MAX))
            .set_max_height(usize::from(u16::MAX))
            .jpeg_set_max_scans(MAX_SCANS)
            .jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(encoded), options);
        decoder.decode_headers().map_err(damaged)?;
        let stored = decoder.input_colorspace().unwrap_or(ColorSpace::YCbCr);
        reserve(out, header.width, header.height, 1);
        // The library has its own rules for what the components mean. Where they differ from ours, and for
        // four components, it hands out the components as stored and the conversion is done here.
        let four = matches!(header.colour, JpegColour::Cmyk | JpegColour::Ycck);
        let agreed = header.colour == JpegColour::Gray
            || header.colour == JpegColour::YCbCr && stored == ColorSpace::YCbCr;
        if !agreed {
            decoder.set_options(options.jpeg_set_out_colorspace(stored));
        }
        if decoder.output_buffer_size() != Some(out.data.len() / 3 * if four { 4 } else { 3 }) {
            let what = format!("{stored:?} with {} components", header.components);
            return Err(CodecError::Damaged { what });
        }
        if four {
            scratch.resize(out.data.len() / 3 * 4, 0);
            decoder.decode_into(scratch).map_err(damaged)?;
            if header.colour == JpegColour::Ycck {
                colour::ycck_to_cmyk(scratch);
            }
            colour::cmyk_to_rgb(scratch, &mut out.data);
            return Ok(true);
        }
        decoder.decode_into(&mut out.data).map_err(damaged)?;
        if header.colour == JpegColour::YCbCr && !agreed {
            colour::ycbcr_to_rgb(&mut out.data);
        }
        Ok(true)
    }
}
