//! WebP by the crate `image-webp`; alpha is dropped.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

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
    let mut decoder = WebPDecoder::new(Cursor::new(encoded)).map_err(damaged)?;
    // Work memory: a few planes beside the output.
    let bytes = 16 * u64::from(meta.width) * u64::from(meta.height) + (64 << 20);
    decoder.set_memory_limit(usize::try_from(bytes).unwrap_or(usize::MAX));
    if decoder.dimensions() != (meta.width, meta.height) {
        let (width, height) = decoder.dimensions();
        let what = format!("an image of {width}x{height} pixels inside");
        return Err(CodecError::Damaged { what });
    }
    reserve(out, meta.width, meta.height, 1);
    if decoder.has_alpha() {
        scratch.resize(out.data.len() / 3 * 4, 0);
        decoder.read_image(scratch).map_err(damaged)?;
        colour::drop_alpha(scratch, &mut out.data);
        Ok(())
    } else {
        decoder.read_image(&mut out.data).map_err(damaged)
    }
}

fn damaged(error: DecodingError) -> CodecError {
    CodecError::Damaged { what: error.to_string() }
}
