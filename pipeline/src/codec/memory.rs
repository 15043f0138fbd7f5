//! How much memory a decode may take, known before it begins.

use super::DecoderKind;
use crate::sample::{ImageFlags, ImageFormat, ImageMeta};

/// Of one component of a pixel.
const COEFFICIENT_BYTES: u64 = 2;

/// Coefficients of the largest image of `pixels` pixels, where nothing else is known of it: in colour, several scans.
pub(crate) fn most_coefficient_bytes(pixels: u64) -> u64 {
    3 * COEFFICIENT_BYTES * pixels
}

impl ImageMeta {
    /// Bytes of the coefficients that a decoder keeps where a JPEG has several scans.
    pub(crate) fn coefficient_bytes(&self) -> u64 {
        let pixels = u64::from(self.width) * u64::from(self.height);
        let kept = u64::from(self.flags.contains(ImageFlags::SCANS));
        (kept * COEFFICIENT_BYTES * u64::from(self.components)).saturating_mul(pixels)
    }
}

impl DecoderKind {
    /// Bytes that decoding the image takes at most beside its encoded bytes: the RGB pixels, what is converted
    /// on the way, and what the library keeps. All of it grows with the pixels alone, so the limit on pixels is
    /// a limit on memory, too; tables and rows of blocks, up to some MiB, come on top.
    pub fn decode_bytes(self, meta: &ImageMeta) -> u64 {
        let pixels = u64::from(meta.width) * u64::from(meta.height);
        let components = u64::from(meta.components);
        let rgb = 3;
        let stored = if components == 4 { 4 } else { 0 };
        let per_pixel = match (meta.format, self) {
            (ImageFormat::Png, _) => rgb + 4,
            // Planes or 32-bit pixels, and the alpha plane.
            (ImageFormat::WebP, _) => rgb + 4 + 4,
            (ImageFormat::Jpeg, Self::Baseline | Self::TurboJpeg | Self::ZuneJpeg) => rgb + stored,
            // Planes and an image of its own.
            (ImageFormat::Jpeg, Self::JpegDecoder) => rgb + 2 * components,
        };
        // A header may claim 2^62 pixels; it is asked before the limit on pixels, too.
        pixels.saturating_mul(per_pixel).saturating_add(meta.coefficient_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Subsampling;

    /// Found by fuzzing the header parser.
    #[test]
    fn the_largest_png_that_a_header_can_claim_does_not_overflow() {
        let side = i32::MAX as u32;
        let meta = ImageMeta {
            format: ImageFormat::Png,
            width: side,
            height: side,
            components: 4,
            subsampling: Subsampling::None,
            orientation: 1,
            progressive: false,
            flags: ImageFlags::PNG,
            bytes: 50,
        };
        for kind in DecoderKind::ALL {
            assert!(kind.decode_bytes(&meta) >= 3 * u64::from(side) * u64::from(side));
        }
    }
}
