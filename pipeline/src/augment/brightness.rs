//! Brightness: blend with black.

use crate::augment::blend;
use crate::augment::planes::Planes;
use crate::simd::Simd;

/// Multiplies all values by `factor`.
pub(crate) fn apply(simd: Simd, planes: &mut Planes, factor: f32) {
    for plane in planes.each() {
        blend::with_constant(simd, plane, 0.0, factor);
    }
}
