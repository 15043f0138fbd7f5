//! Contrast: blend with the mean grey level.

use crate::augment::planes::Planes;
use crate::augment::{blend, gray};

/// Moves all values towards or away from the mean of the greyscale image, rounded to a whole level as in
/// PIL's `ImageEnhance.Contrast`.
pub(crate) fn apply(planes: &mut Planes, factor: f32) {
    let mean = mean_level(planes) as f32;
    for plane in planes.each() {
        blend::with_constant(plane, mean, factor);
    }
}

/// Mean grey level, rounded. The largest view has 2^20 pixels, so the sum fits 32 bits.
fn mean_level(planes: &Planes) -> u32 {
    let sum: u32 = gray::levels(planes).map(u32::from).sum();
    let num_pixels = planes.red.len().max(1) as u32;
    (sum + num_pixels / 2) / num_pixels
}
