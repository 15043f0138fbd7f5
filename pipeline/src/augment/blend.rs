//! Multiplication of bytes by a factor in 16-bit fixed point.

use crate::simd::{Simd, kernel};

/// A factor as a multiplier. Products are 16-bit numbers with `frac` bits below the point, as many as fit.
#[derive(Clone, Copy, Debug)]
pub struct Factor {
    /// The factor with `frac + 8` bits below the point.
    pub multiplier: u16,
    /// Bits below the point of a product with a byte.
    pub frac: u32,
}

impl Factor {
    /// Bits below the point that keep products of a byte with `largest` within 15 bits.
    pub fn frac_for(largest: f32) -> u32 {
        (0..=6).rev().find(|&frac| largest * 255.0 * (1 << frac) as f32 <= 32_700.0).unwrap_or(0)
    }

    /// `factor` from 0 up to the `largest` that `frac` was made for.
    pub fn new(factor: f32, frac: u32) -> Self {
        Self { multiplier: (factor * (1 << (8 + frac)) as f32).round() as u16, frac }
    }

    /// `value * factor` with `frac` bits below the point, rounded down.
    #[inline(always)]
    pub(crate) fn times(self, value: u8) -> i16 {
        // The high half of a 16-bit product: one instruction (pmulhuw).
        let wide = u16::from(value) << 8;
        ((u32::from(wide) * u32::from(self.multiplier)) >> 16) as i16
    }

    /// A sum of products as a byte, rounded down and cut to 0..=255.
    #[inline(always)]
    pub(crate) fn byte(self, sum: i16) -> u8 {
        (sum >> self.frac).clamp(0, 255) as u8
    }
}

/// `factor * value + (1 - factor) * base` for every byte: PIL's `Image.blend` with an even image.
pub(crate) fn with_constant(simd: Simd, plane: &mut [u8], base: f32, factor: f32) {
    let frac = Factor::frac_for(factor.max(1.0));
    let offset = ((1.0 - factor) * base * (1 << frac) as f32).round() as i16;
    scale_and_add(simd, plane, Factor::new(factor, frac), offset);
}

kernel! {
    fn scale_and_add(plane: &mut [u8], scale: Factor, offset: i16) {
        for value in plane {
            *value = scale.byte(scale.times(*value).saturating_add(offset));
        }
    }
}
