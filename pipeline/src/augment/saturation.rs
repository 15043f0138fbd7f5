//! Saturation: blend with the greyscale image.

use crate::augment::blend::Factor;
use crate::augment::gray;
use crate::augment::planes::Planes;

/// `factor * value + (1 - factor) * grey level` for every pixel, as PIL's `ImageEnhance.Color`.
pub(crate) fn apply(planes: &mut Planes, factor: f32) {
    let frac = Factor::frac_for(factor.max(1.0));
    let scale = Factor::new(factor, frac);
    let rest = Factor::new((1.0 - factor).abs(), frac);
    // Two loops, so that the sign is not tested for every pixel.
    if factor <= 1.0 {
        blend(planes, |value, gray| {
            scale.byte(scale.times(value).saturating_add(rest.times(gray)))
        });
    } else {
        blend(planes, |value, gray| {
            scale.byte(scale.times(value).saturating_sub(rest.times(gray)))
        });
    }
}

#[inline(always)]
fn blend(planes: &mut Planes, mix: impl Fn(u8, u8) -> u8) {
    let pixels = planes.red.iter_mut().zip(&mut planes.green).zip(&mut planes.blue);
    for ((red, green), blue) in pixels {
        let gray = gray::level(*red, *green, *blue);
        (*red, *green, *blue) = (mix(*red, gray), mix(*green, gray), mix(*blue, gray));
    }
}
