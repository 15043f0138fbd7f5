//! Greyscale by ITU-R 601, in PIL's fixed point.

use crate::augment::planes::Planes;

/// Grey level of a pixel.
#[inline(always)]
pub(crate) fn level(red: u8, green: u8, blue: u8) -> u8 {
    let sum = 19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue);
    ((sum + 0x8000) >> 16) as u8
}

/// Grey levels of all pixels.
pub(crate) fn levels(planes: &Planes) -> impl Iterator<Item = u8> + '_ {
    let pixels = planes.red.iter().zip(&planes.green).zip(&planes.blue);
    pixels.map(|((&red, &green), &blue)| level(red, green, blue))
}

/// Gives each pixel its grey level in all three planes.
pub(crate) fn apply(planes: &mut Planes) {
    let pixels = planes.red.iter_mut().zip(&mut planes.green).zip(&mut planes.blue);
    for ((red, green), blue) in pixels {
        let level = level(*red, *green, *blue);
        (*red, *green, *blue) = (level, level, level);
    }
}
