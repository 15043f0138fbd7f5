//! The patterns, as functions of a point in texture space where one repeat has the side 1.

use super::angle;
use super::class::Texture;

/// The tone of `texture` at (x, y): 0 is the first colour, 1 the second.
///
/// `salt` keys the patterns that are irregular (blobs).
pub(super) fn tone(texture: Texture, x: f32, y: f32, salt: u32) -> f32 {
    match texture {
        Texture::Stripes => step(wave(x)),
        Texture::Checks => step(square_sign(x) * square_sign(y)),
        Texture::Dots => step(0.3 - hex_distance(x, y)),
        Texture::Rings => step(wave((x * x + y * y).sqrt())),
        Texture::Zigzag => step(wave(x + 0.45 * wave(y * 0.7))),
        Texture::Blobs => step(noise(x * 1.5, y * 1.5, salt) - 0.5),
        Texture::Rays => step(wave(angle::of(x, y) * 12.0)),
        Texture::Bricks => bricks(x, y),
        Texture::Crosses => crosses(x, y),
        Texture::Scales => scales(x, y),
        Texture::Spiral => step(wave(angle::of(x, y) + (x * x + y * y).sqrt())),
        Texture::Lattice => {
            let line = centred(x).abs().min(centred(y).abs());
            step(0.14 - line)
        }
    }
}

/// 1 where `x` is positive.
fn step(x: f32) -> f32 {
    if x > 0.0 { 1.0 } else { 0.0 }
}

/// Distance of `x` from the nearest integer, with its sign: `[-0.5, 0.5]`.
fn centred(x: f32) -> f32 {
    x - (x + 0.5).floor()
}

/// Triangle wave of period 1 in `[-1, 1]`.
fn wave(x: f32) -> f32 {
    4.0 * centred(x).abs() - 1.0
}

fn square_sign(x: f32) -> f32 {
    if centred(x) < 0.0 { -1.0 } else { 1.0 }
}

/// Distance to the nearest centre of a hexagonal lattice.
fn hex_distance(x: f32, y: f32) -> f32 {
    const ROW: f32 = 1.732;
    let to = |x: f32, y: f32| {
        let (dx, dy) = (centred(x), centred(y / ROW) * ROW);
        (dx * dx + dy * dy).sqrt()
    };
    to(x, y).min(to(x + 0.5, y + 0.5 * ROW))
}

/// Rows of stones, every second one shifted by half, with joints.
fn bricks(x: f32, y: f32) -> f32 {
    let row = (y * 1.6).floor();
    let shift = if row % 2.0 == 0.0 { 0.0 } else { 0.5 };
    let joint_y = centred(y * 1.6).abs();
    let joint_x = centred(x * 0.8 + shift).abs();
    step((joint_y - 0.13).min(joint_x - 0.08))
}

/// Plus signs on a square lattice.
fn crosses(x: f32, y: f32) -> f32 {
    let (dx, dy) = (centred(x * 0.9).abs(), centred(y * 0.9).abs());
    let bar = dx.min(dy) - 0.1;
    let length = dx.max(dy) - 0.36;
    step(-bar.max(length))
}

/// Overlapping arcs, as on a fish.
fn scales(x: f32, y: f32) -> f32 {
    let row = (y * 2.0).floor();
    // Of the two rows that can cover the point, the upper one wins inside its circle.
    for above in [0.0, -1.0] {
        let this = row + above;
        let shift = if this % 2.0 == 0.0 { 0.0 } else { 0.5 };
        let (dx, dy) = (centred(x + shift), y - 0.5 * this);
        let radius = (dx * dx + dy * dy).sqrt();
        if radius < 0.5 {
            return step(radius - 0.36);
        }
    }
    1.0
}

/// Smooth noise in `[0, 1]` from hashed lattice values.
pub(super) fn noise(x: f32, y: f32, salt: u32) -> f32 {
    let (x0, y0) = (x.floor(), y.floor());
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let (tx, ty) = (ease(x - x0), ease(y - y0));
    let (ix, iy) = (x0 as i32, y0 as i32);
    let row = |dy: i32| {
        let left = lattice_value(ix, iy.wrapping_add(dy), salt);
        let right = lattice_value(ix.wrapping_add(1), iy.wrapping_add(dy), salt);
        left + (right - left) * tx
    };
    let (top, bottom) = (row(0), row(1));
    top + (bottom - top) * ty
}

fn lattice_value(x: i32, y: i32, salt: u32) -> f32 {
    let mut bits = (x as u32).wrapping_mul(0x9e37_79b1)
        ^ (y as u32).wrapping_mul(0x85eb_ca77)
        ^ salt.wrapping_mul(0xc2b2_ae3d);
    bits ^= bits >> 15;
    bits = bits.wrapping_mul(0x2c1b_3c6d);
    bits ^= bits >> 12;
    bits = bits.wrapping_mul(0x297a_2d39);
    bits ^= bits >> 15;
    (bits >> 8) as f32 / (1u32 << 24) as f32
}

#[cfg(test)]
mod tests {
    use super::super::class::CLASSES;
    use super::*;

    #[test]
    fn every_texture_shows_both_tones_in_fair_shares() {
        for class in CLASSES {
            let mut sum = 0.0;
            for i in 0..10_000u16 {
                let (x, y) = (f32::from(i % 100) * 0.05 - 2.5, f32::from(i / 100) * 0.05 - 2.5);
                sum += tone(class.texture, x, y, 7);
            }
            let share = sum / 10_000.0;
            assert!((0.2..=0.8).contains(&share), "{}: {share}", class.name);
        }
    }

    #[test]
    fn noise_is_smooth_and_within_bounds() {
        let mut last = noise(-3.0, 0.3, 1);
        for step in 1..3000u16 {
            let value = noise(f32::from(step) * 0.002 - 3.0, 0.3, 1);
            assert!((0.0..=1.0).contains(&value));
            assert!((value - last).abs() < 0.02);
            last = value;
        }
    }
}
