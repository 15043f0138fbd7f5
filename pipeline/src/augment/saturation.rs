//! Saturation: blend with the greyscale image.

use crate::augment::blend::Factor;
use crate::augment::gray;
use crate::augment::planes::Planes;
use crate::simd::{Simd, kernel};

/// `factor * value + (1 - factor) * grey level` for every pixel, as PIL's `ImageEnhance.Color`.
pub(crate) fn apply(simd: Simd, planes: &mut Planes, factor: f32) {
    let frac = Factor::frac_for(factor.max(1.0));
    let scale = Factor::new(factor, frac);
    let rest = Factor::new((1.0 - factor).abs(), frac);
    let (red, green, blue) = (&mut planes.red, &mut planes.green, &mut planes.blue);
    // Two kernels, so that the sign is not tested for every pixel.
    if factor <= 1.0 {
        towards_gray(simd, red, green, blue, scale, rest);
    } else {
        away_from_gray(simd, red, green, blue, scale, rest);
    }
}

kernel! {
    fn towards_gray(red: &mut [u8], green: &mut [u8], blue: &mut [u8], scale: Factor, rest: Factor) {
        blend(red, green, blue, |value, gray| {
            scale.byte(scale.times(value).saturating_add(rest.times(gray)))
        });
    }
}

kernel! {
    fn away_from_gray(red: &mut [u8], green: &mut [u8], blue: &mut [u8], scale: Factor, rest: Factor) {
        blend(red, green, blue, |value, gray| {
            scale.byte(scale.times(value).saturating_sub(rest.times(gray)))
        });
    }
}

#[inline(always)]
fn blend(red: &mut [u8], green: &mut [u8], blue: &mut [u8], mix: impl Fn(u8, u8) -> u8) {
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        let gray = gray::level(*red, *green, *blue);
        (*red, *green, *blue) = (mix(*red, gray), mix(*green, gray), mix(*blue, gray));
    }
}
