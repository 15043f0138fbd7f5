//! Turn of the colour circle.
//!
//! The HSV model, as torchvision has it for tensors. Its path for PIL images rounds hue and saturation to
//! bytes on the way, which costs up to some levels and is not copied.
//!
//! In HSV a colour is V - C f(h), where V is the largest of the three values, C the difference to the
//! smallest, h the hue in sixths of a turn, and f is 0, 1 or a straight line in between. The hue itself has C in
//! its denominator; multiplied by C throughout, everything is a sum, and 16-bit integers with [`FRAC`] bits
//! below the point do.

use crate::augment::planes::Planes;
use crate::simd::{Simd, kernel};

/// Bits below the point: hues times C lie between -4 * 255 and 8 * 255 on the way.
const FRAC: u32 = 4;
/// One level.
const ONE: i16 = 1 << FRAC;
/// Bits below the point of a shift of up to three sixths.
const SHIFT_FRAC: u32 = 13;
/// What chroma is moved up by, so that the high half of its product with the shift has [`FRAC`] bits.
const CHROMA_FRAC: u32 = 16 + FRAC - SHIFT_FRAC;

/// Turns the hue by `turns` (-0.5 to 0.5). Value and saturation stay, so black, white and grey do too.
pub(crate) fn apply(simd: Simd, planes: &mut Planes, turns: f32) {
    let (red, green, blue) = (&mut planes.red, &mut planes.green, &mut planes.blue);
    turn_all(simd, red, green, blue, fixed(turns));
}

/// A shift in sixths of a turn as a multiplier.
pub fn fixed(turns: f32) -> i16 {
    (6.0 * turns * (1 << SHIFT_FRAC) as f32).round() as i16
}

kernel! {
    fn turn_all(red: &mut [u8], green: &mut [u8], blue: &mut [u8], shift: i16) {
        for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
            (*red, *green, *blue) = turn(*red, *green, *blue, shift);
        }
    }
}

/// One pixel. No branches and no table, so that the loop becomes vector code.
#[inline(always)]
fn turn(red: u8, green: u8, blue: u8, shift: i16) -> (u8, u8, u8) {
    let [r, g, b] = [red, green, blue].map(i16::from);
    let value = r.max(g).max(b);
    let chroma = value - r.min(g).min(b);
    // Which channel is largest, and where between its neighbours. Grey has chroma 0: whatever comes out of
    // this is multiplied by it.
    let is_red = r == value;
    let is_green = g == value;
    let base = if is_red {
        0
    } else if is_green {
        2 * chroma
    } else {
        4 * chroma
    };
    let difference = if is_red {
        g - b
    } else if is_green {
        b - r
    } else {
        r - g
    };
    let shifted = ((i32::from(chroma << CHROMA_FRAC) * i32::from(shift)) >> 16) as i16;
    let (turn, sixth) = (6 * ONE * chroma, ONE * chroma);
    let hue = ONE * (base + difference) + shifted;
    let hue = if hue < 0 { hue + turn } else { hue };
    let hue = if hue >= turn { hue - turn } else { hue };
    // A channel is least, V - C, within a sixth of its opposite colour, and grows to V on the next sixth.
    let channel = |opposite: i16| {
        let distance = (hue - opposite * sixth).abs();
        let distance = distance.min(turn - distance);
        let less = (2 * sixth - distance).max(0).min(sixth);
        ((ONE * value - less + ONE / 2) >> FRAC) as u8
    };
    (channel(3), channel(5), channel(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HSV in floating point, as in torchvision's `_rgb2hsv` and `_hsv2rgb`.
    fn exact(pixel: [u8; 3], turns: f64) -> [f64; 3] {
        let [r, g, b] = pixel.map(f64::from);
        let (max, min) = (r.max(g).max(b), r.min(g).min(b));
        let chroma = max - min;
        let hue = match chroma {
            0.0 => 0.0,
            _ if r == max => (g - b) / chroma,
            _ if g == max => 2.0 + (b - r) / chroma,
            _ => 4.0 + (r - g) / chroma,
        };
        let hue = hue + 6.0 * turns;
        [5.0, 3.0, 1.0].map(|n: f64| {
            let k = (n + hue).rem_euclid(6.0);
            max - chroma * k.min(4.0 - k).clamp(0.0, 1.0)
        })
    }

    #[test]
    fn every_colour_is_within_a_level_of_the_exact_one() {
        let mut largest = 0.0f64;
        for turns in [-0.5f32, -0.33, -0.1, -0.013, 0.0, 0.05, 0.1, 0.27, 0.4, 0.5] {
            for red in (0..=255u8).step_by(5) {
                for green in (0..=255u8).step_by(5) {
                    for blue in (0..=255u8).step_by(5) {
                        let (r, g, b) = turn(red, green, blue, fixed(turns));
                        let expected = exact([red, green, blue], f64::from(turns));
                        for (found, expected) in [r, g, b].into_iter().zip(expected) {
                            largest = largest.max((f64::from(found) - expected).abs());
                        }
                    }
                }
            }
        }
        assert!(largest < 0.6, "{largest}");
    }

    #[test]
    fn grey_keeps_its_level_at_every_shift() {
        for level in [0, 1, 128, 254, 255] {
            for turns in [-0.5, -0.1, 0.0, 0.3, 0.5] {
                assert_eq!(turn(level, level, level, fixed(turns)), (level, level, level));
            }
        }
    }

    #[test]
    fn a_third_of_a_turn_moves_every_channel_to_the_next() {
        let third = 1.0 / 3.0;
        for pixel in [(255, 0, 0), (10, 200, 90), (77, 77, 12), (3, 2, 1)] {
            let (red, green, blue) = pixel;
            assert_eq!(turn(red, green, blue, fixed(third)), (blue, red, green));
            assert_eq!(turn(red, green, blue, fixed(-third)), (green, blue, red));
            assert_eq!(turn(red, green, blue, fixed(0.0)), pixel);
        }
    }
}
