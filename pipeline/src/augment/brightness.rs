//! Brightness: blend with black.

use crate::augment::blend;
use crate::augment::planes::Planes;

/// Multiplies all values by `factor`.
pub(crate) fn apply(planes: &mut Planes, factor: f32) {
    for plane in planes.each() {
        blend::with_constant(plane, 0.0, factor);
    }
}
