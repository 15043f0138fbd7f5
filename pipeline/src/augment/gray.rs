//! Greyscale by ITU-R 601, in PIL's fixed point.

use crate::augment::planes::Planes;
use crate::simd::{Simd, kernel};

/// Grey level of a pixel.
#[inline(always)]
pub(crate) fn level(red: u8, green: u8, blue: u8) -> u8 {
    let sum = 19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue);
    ((sum + 0x8000) >> 16) as u8
}

/// Gives each pixel its grey level in all three planes.
pub(crate) fn apply(simd: Simd, planes: &mut Planes) {
    gray(simd, &mut planes.red, &mut planes.green, &mut planes.blue);
}

/// Sum of all grey levels. The largest view has 2^20 pixels, so 32 bits suffice.
pub(crate) fn sum(simd: Simd, planes: &Planes) -> u32 {
    sum_of_levels(simd, &planes.red, &planes.green, &planes.blue)
}

kernel! {
    fn gray(red: &mut [u8], green: &mut [u8], blue: &mut [u8]) {
        for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
            let level = level(*red, *green, *blue);
            (*red, *green, *blue) = (level, level, level);
        }
    }
}

kernel! {
    fn sum_of_levels(red: &[u8], green: &[u8], blue: &[u8]) -> u32 {
        let pixels = red.iter().zip(green).zip(blue);
        pixels.map(|((&red, &green), &blue)| u32::from(level(red, green, blue))).sum()
    }
}
