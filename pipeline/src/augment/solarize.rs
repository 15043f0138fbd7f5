//! Solarisation.

use crate::augment::planes::Planes;

/// Inverts values of at least `threshold`, as PIL's `ImageOps.solarize`.
pub(crate) fn apply(planes: &mut Planes, threshold: u8) {
    for plane in planes.each() {
        for value in plane {
            *value = if *value < threshold { *value } else { 255 - *value };
        }
    }
}
