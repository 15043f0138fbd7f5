//! PNG by the crate `png`: palettes and grey to RGB, 16 bits cut to 8, alpha dropped.

use std::io::Cursor;

use ::png::{ColorType, Decoder, Limits, Transformations};

use super::any::reserve;
use super::{CodecError, Pixels, colour};
use crate::sample::ImageMeta;

/// Decodes the image, or the first of an animation.
pub(super) fn decode(
    encoded: &[u8],
    meta: &ImageMeta,
    scratch: &mut Vec<u8>,
    out: &mut Pixels,
) -> Result<(), CodecError> {
    // The largest form it can have, 16-bit RGBA, and room for chunks.
    let bytes = 8 * u64::from(meta.width) * u64::from(meta.height) + (64 << 20);
    let limits = Limits { bytes: usize::try_from(bytes).unwrap_or(usize::MAX) };
    let mut decoder = Decoder::new_with_limits(Cursor::new(encoded), limits);
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(damaged)?;
    // png 0.18.1 panics at it when it expands the palette (found by fuzzing).
    if let Some(palette) = &reader.info().palette
        && palette.len() % 3 != 0
    {
        let what = format!("a PNG palette of {} bytes, no multiple of 3", palette.len());
        return Err(CodecError::Damaged { what });
    }
    let too_large = || CodecError::Damaged { what: "a PNG larger than memory".into() };
    scratch.resize(reader.output_buffer_size().ok_or_else(too_large)?, 0);
    let frame = reader.next_frame(scratch).map_err(damaged)?;
    if (frame.width, frame.height) != (meta.width, meta.height) {
        let what = format!("a frame of {}x{} pixels", frame.width, frame.height);
        return Err(CodecError::Damaged { what });
    }
    reserve(out, meta.width, meta.height, 1);
    match frame.color_type {
        ColorType::Grayscale => colour::gray_to_rgb(scratch, &mut out.data),
        ColorType::GrayscaleAlpha => colour::gray_alpha_to_rgb(scratch, &mut out.data),
        ColorType::Rgb => {
            let num_bytes = out.data.len();
            out.data.copy_from_slice(&scratch[..num_bytes]);
        }
        ColorType::Rgba => colour::drop_alpha(scratch, &mut out.data),
        ColorType::Indexed => {
            return Err(CodecError::Damaged { what: "a palette that was not expanded".into() });
        }
    }
    Ok(())
}

fn damaged(error: ::png::DecodingError) -> CodecError {
    CodecError::Damaged { what: error.to_string() }
}
