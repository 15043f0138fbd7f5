//! Gaussian blur: a true Gaussian, rows then columns, mirrored at the edges without repeating the edge pixel,
//! as torchvision's `gaussian_blur` with a large kernel.
//!
//! 16-bit fixed point. Between the passes values have [`FRAC`] bits below the point; a product with a
//! weight is the high half of a 16-bit product, so eight pixels are done at once even with SSE2. Each
//! product is rounded down, which is made up for in the last rounding.

use crate::augment::planes::Planes;
use crate::simd::{Simd, kernel};

/// Bits below the point: the sum of two values, 2 * 255 * 64, still fits 15 bits.
const FRAC: u32 = 6;
/// Weights are cut off at this many standard deviations; what is left out weighs 0.3%.
const CUT: f32 = 3.0;
/// Values that are made together. Lines are as long as a multiple of it, since the compiler does what is left over one by
/// one, and that takes as long as all the others.
const LANES: usize = 32;
/// Up to this radius (a standard deviation of 2) the loops over weights are unrolled.
const UNROLLED: usize = 6;

/// Scratch memory.
#[derive(Default)]
pub(crate) struct Blur {
    /// `weights[k]` is for the two pixels at distance `k`, in 1/65536.
    weights: Vec<u16>,
    /// One row with its mirrored edges.
    padded: Vec<u16>,
    /// The plane after the row pass.
    rows: Vec<u16>,
}

impl Blur {
    /// Blurs all planes with standard deviation `sigma` in pixels.
    pub(crate) fn apply(&mut self, simd: Simd, planes: &mut Planes, sigma: f32) {
        let side = planes.side;
        weights_into(sigma, side, &mut self.weights);
        let Self { weights, padded, rows } = self;
        let radius = weights.len() - 1;
        if radius == 0 {
            return;
        }
        let stride = side.next_multiple_of(LANES);
        padded.resize(stride + 2 * radius, 0);
        rows.resize(stride * side, 0);
        for plane in planes.each() {
            blur_plane(simd, plane, side, weights, padded, rows);
        }
    }
}

/// Puts into `weights` those of a view of `side` pixels: entry `k` is for the two pixels at distance `k`, in 1/65536.
/// They sum to one: what rounding leaves over goes to the middle.
pub fn weights_into(sigma: f32, side: usize, weights: &mut Vec<u16>) {
    // A radius as long as the view has no mirror image.
    let radius = ((CUT * sigma).ceil() as usize).min(side - 1);
    let weight = |k: usize| (-0.5 * (k as f32 / sigma).powi(2)).exp();
    let sum = 1.0 + 2.0 * (1..=radius).map(weight).sum::<f32>();
    weights.clear();
    weights.extend((0..=radius).map(|k| (weight(k) / sum * 65_536.0).round().min(65_535.0) as u16));
    let others: u32 = weights[1..].iter().map(|&weight| 2 * u32::from(weight)).sum();
    weights[0] = 65_536u32.saturating_sub(others).min(65_535) as u16;
}

kernel! {
    fn blur_plane(
        plane: &mut [u8],
        side: usize,
        weights: &[u16],
        padded: &mut [u16],
        rows: &mut [u16],
    ) {
        match weights.len() - 1 {
            1 => both_passes::<1>(plane, side, weights, padded, rows),
            2 => both_passes::<2>(plane, side, weights, padded, rows),
            3 => both_passes::<3>(plane, side, weights, padded, rows),
            4 => both_passes::<4>(plane, side, weights, padded, rows),
            5 => both_passes::<5>(plane, side, weights, padded, rows),
            UNROLLED => both_passes::<UNROLLED>(plane, side, weights, padded, rows),
            _ => both_passes::<0>(plane, side, weights, padded, rows),
        }
    }
}

/// `RADIUS` is the radius where it is known to the compiler, 0 where it is not.
#[inline(always)]
fn both_passes<const RADIUS: usize>(
    plane: &mut [u8],
    side: usize,
    weights: &[u16],
    padded: &mut [u16],
    rows: &mut [u16],
) {
    let radius = weights.len() - 1;
    // What lies between `side` and `stride` is made of whatever is there, and not read.
    let stride = side.next_multiple_of(LANES);
    for (row, out) in plane.chunks_exact(side).zip(rows.chunks_exact_mut(stride)) {
        for (value, &byte) in padded[radius..radius + side].iter_mut().zip(row) {
            *value = u16::from(byte) << FRAC;
        }
        for k in 1..=radius {
            padded[radius - k] = padded[radius + k];
            padded[radius + side - 1 + k] = padded[radius + side - 1 - k];
        }
        let shifted = |offset: usize| &padded[offset..offset + stride];
        weigh::<RADIUS>(weights, out, |k| (shifted(radius - k), shifted(radius + k)));
    }
    // Each of the 2 * (radius + 1) products lost half a unit on average.
    let rounding = (1 << (FRAC - 1)) + radius as u16 + 1;
    let line = &mut padded[..stride];
    for (y, out) in plane.chunks_exact_mut(side).enumerate() {
        let row = |y: usize| &rows[y * stride..][..stride];
        weigh::<RADIUS>(weights, line, |k| {
            let below = if y + k < side { y + k } else { 2 * (side - 1) - (y + k) };
            (row(y.abs_diff(k)), row(below))
        });
        for (byte, &value) in out.iter_mut().zip(&*line) {
            *byte = ((value + rounding) >> FRAC).min(255) as u8;
        }
    }
}

/// Weighted sum of a line and its neighbours at distances up to the radius; `pair` gives the two lines at a
/// distance.
#[inline(always)]
fn weigh<'a, const RADIUS: usize>(
    weights: &[u16],
    out: &mut [u16],
    pair: impl Fn(usize) -> (&'a [u16], &'a [u16]),
) {
    let (middle, _) = pair(0);
    if RADIUS == 0 {
        for (out, &value) in out.iter_mut().zip(middle) {
            *out = times(value, weights[0]);
        }
        for (k, &weight) in weights.iter().enumerate().skip(1) {
            let (one, other) = pair(k);
            for ((out, &one), &other) in out.iter_mut().zip(one).zip(other) {
                *out += times(one + other, weight);
            }
        }
        return;
    }
    let lines: [_; RADIUS] = std::array::from_fn(|index| {
        let (one, other) = pair(index + 1);
        (chunks(one), chunks(other))
    });
    let weight: [u16; RADIUS] = std::array::from_fn(|index| weights[index + 1]);
    let (middle, first) = (chunks(middle), weights[0]);
    for (chunk, out) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let middle = &middle[chunk];
        let lines: [_; RADIUS] =
            std::array::from_fn(|index| (&lines[index].0[chunk], &lines[index].1[chunk]));
        let mut sums = [0; LANES];
        for x in 0..LANES {
            let mut sum = times(middle[x], first);
            for k in 0..RADIUS {
                sum += times(lines[k].0[x] + lines[k].1[x], weight[k]);
            }
            sums[x] = sum;
        }
        *out = sums;
    }
}

#[inline(always)]
fn chunks(line: &[u16]) -> &[[u16; LANES]] {
    line.as_chunks().0
}

/// The high half of the product.
#[inline(always)]
fn times(value: u16, weight: u16) -> u16 {
    ((u32::from(value) * u32::from(weight)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blurred(plane: &[u8], side: usize, sigma: f32) -> Vec<u8> {
        let copy = || plane.to_vec();
        let mut planes = Planes { side, red: copy(), green: copy(), blue: copy() };
        Blur::default().apply(Simd::best(), &mut planes, sigma);
        assert_eq!(planes.red, planes.blue);
        planes.red
    }

    #[test]
    fn even_planes_stay_as_they_are_at_every_width() {
        for level in [0, 1, 100, 254, 255] {
            for sigma in [0.1, 0.34, 1.0, 2.0, 5.0, 32.0] {
                let plane = vec![level; 17 * 17];
                assert_eq!(blurred(&plane, 17, sigma), plane, "level {level}, sigma {sigma}");
            }
        }
    }

    #[test]
    fn unrolled_and_general_loops_agree() {
        let plane: Vec<u8> = (0..32 * 32).map(|index| (index * 37 % 251) as u8).collect();
        for sigma in [0.2f32, 0.5, 0.9, 1.2, 1.6, 2.0] {
            let mut general = plane.clone();
            let mut blur = Blur::default();
            weights_into(sigma, 32, &mut blur.weights);
            let Blur { weights, padded, rows } = &mut blur;
            padded.resize(32 + 2 * (weights.len() - 1), 0);
            rows.resize(32 * 32, 0);
            both_passes::<0>(&mut general, 32, weights, padded, rows);
            assert_eq!(blurred(&plane, 32, sigma), general, "sigma {sigma}");
        }
    }

    #[test]
    fn a_dot_becomes_a_symmetric_hill() {
        let mut plane = vec![0; 15 * 15];
        plane[7 * 15 + 7] = 255;
        let hill = blurred(&plane, 15, 1.0);
        for y in 0..15 {
            for x in 0..15 {
                assert_eq!(hill[y * 15 + x], hill[x * 15 + y]);
                assert_eq!(hill[y * 15 + x], hill[(14 - y) * 15 + x]);
            }
        }
        assert_eq!(hill[7 * 15 + 7], 41); // 255 / (2 pi), 40.6
    }
}
