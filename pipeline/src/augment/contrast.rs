//! Contrast: blend with the mean grey level.

use crate::augment::planes::Planes;
use crate::augment::{blend, gray};

/// Moves all values towards or away from the mean of the greyscale image, rounded to a whole level as in
/// PIL's `ImageEnhance.Contrast`.
pub(crate) fn apply(planes: &mut Planes, factor: f32) {
    let sum: u64 = gray::levels(planes).map(u64::from).sum();
    let num_pixels = planes.red.len().max(1) as u64;
    let mean = (sum + num_pixels / 2) / num_pixels;
    for plane in planes.each() {
        blend::with_constant(plane, mean as f32, factor);
    }
}
