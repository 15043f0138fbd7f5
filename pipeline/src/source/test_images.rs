//! Images for the tests of sources.

use jpeg_encoder::{ColorType, Encoder};

/// A square JPEG; another `seed` makes other bytes.
pub(super) fn jpeg(side: u16, seed: u8) -> Vec<u8> {
    let pixels: Vec<u8> = (0..usize::from(side) * usize::from(side) * 3)
        .map(|byte| (byte as u8).wrapping_mul(seed | 1).wrapping_add(seed))
        .collect();
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes, 90).encode(&pixels, side, side, ColorType::Rgb).unwrap();
    bytes
}
