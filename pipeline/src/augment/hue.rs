//! Turn of the colour circle.
//!
//! The HSV model in floating point, as torchvision does for tensors. Its path for PIL images rounds hue and
//! saturation to bytes on the way, which costs up to some levels and is not copied.

use crate::augment::planes::Planes;

/// Turns the hue by `turns` (-0.5 to 0.5). Value and saturation stay, so black, white and grey do too.
pub(crate) fn apply(planes: &mut Planes, turns: f32) {
    let shift = 6.0 * turns;
    let pixels = planes.red.iter_mut().zip(&mut planes.green).zip(&mut planes.blue);
    for ((red, green), blue) in pixels {
        (*red, *green, *blue) = turn(*red, *green, *blue, shift);
    }
}

/// One pixel; `shift` in sixths of a turn. No branches and no table, so that the loop becomes vector code.
#[inline(always)]
fn turn(red: u8, green: u8, blue: u8, shift: f32) -> (u8, u8, u8) {
    let max = red.max(green).max(blue);
    let min = red.min(green).min(blue);
    let [r, g, b] = [red, green, blue].map(f32::from);
    let value = f32::from(max);
    let chroma = value - f32::from(min);
    // Hue in sixths: which channel is largest, and where between its neighbours. Grey has chroma 0 and a
    // difference of 0, and the hue that comes out does not matter.
    let (base, difference) = if r == value {
        (0.0, g - b)
    } else if g == value {
        (2.0, b - r)
    } else {
        (4.0, r - g)
    };
    let hue = base + difference / chroma.max(1.0) + shift;
    let hue = if hue < 0.0 { hue + 6.0 } else { hue };
    let hue = if hue >= 6.0 { hue - 6.0 } else { hue };
    // f(n) = V - C * max(0, min(k, 4 - k, 1)), k = (n + hue) mod 6, with n = 5, 3, 1.
    let channel = |n: f32| {
        let k = n + hue;
        let k = if k >= 6.0 { k - 6.0 } else { k };
        byte(value - chroma * k.min(4.0 - k).clamp(0.0, 1.0))
    };
    (channel(5.0), channel(3.0), channel(1.0))
}

/// Rounds a value in 0..=255. Adding 2^23 leaves the rounded number in the low bits of the float; a cast
/// would have to care for NaN and overflow.
#[inline(always)]
fn byte(value: f32) -> u8 {
    (value + 8_388_608.0).to_bits() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_keeps_its_level_at_every_shift() {
        for level in [0, 1, 128, 254, 255] {
            for shift in [-3.0, -0.6, 0.0, 1.7, 3.0] {
                assert_eq!(turn(level, level, level, shift), (level, level, level));
            }
        }
    }

    #[test]
    fn a_third_of_a_turn_moves_every_channel_to_the_next() {
        for pixel in [(255, 0, 0), (10, 200, 90), (77, 77, 12), (3, 2, 1)] {
            let (red, green, blue) = pixel;
            assert_eq!(turn(red, green, blue, 2.0), (blue, red, green));
            assert_eq!(turn(red, green, blue, -2.0), (green, blue, red));
            assert_eq!(turn(red, green, blue, 0.0), pixel);
        }
    }
}
