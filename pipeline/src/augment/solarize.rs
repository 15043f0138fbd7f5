//! Solarisation.

use crate::augment::planes::Planes;
use crate::simd::{Simd, kernel};

/// Inverts values of at least `threshold`, as PIL's `ImageOps.solarize`.
pub(crate) fn apply(simd: Simd, planes: &mut Planes, threshold: u8) {
    for plane in planes.each() {
        invert_from(simd, plane, threshold);
    }
}

kernel! {
    fn invert_from(plane: &mut [u8], threshold: u8) {
        for value in plane {
            *value = if *value < threshold { *value } else { 255 - *value };
        }
    }
}
