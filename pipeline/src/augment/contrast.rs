//! Contrast: blend with the mean grey level.

use crate::augment::planes::Planes;
use crate::augment::{blend, gray};
use crate::simd::Simd;

/// Moves all values towards or away from the mean of the greyscale image, rounded to a whole level as in
/// PIL's `ImageEnhance.Contrast`.
pub(crate) fn apply(simd: Simd, planes: &mut Planes, factor: f32) {
    let num_pixels = planes.red.len().max(1) as u32;
    let mean = (gray::sum(simd, planes) + num_pixels / 2) / num_pixels;
    for plane in planes.each() {
        blend::with_constant(simd, plane, mean as f32, factor);
    }
}
