use super::*;
use crate::draw::{Domain, Draw};

/// Noise, the hardest case for a filter.
fn noise(width: u32, height: u32) -> Pixels {
    let mut draw = Draw::new(7, Domain::Synthetic, [width, height, 0, 0, 0]);
    let data = (0..3 * width * height).map(|_| draw.bits32() as u8).collect();
    Pixels { width, height, data, scale: 1, ..Pixels::default() }
}

fn planes_of(
    simd: Simd,
    image: &Pixels,
    crop: [f64; 4],
    size: u32,
    flip: bool,
) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let [x, y, width, height] = crop;
    let mut planes = Planes::default();
    let crop = CropBox { x, y, width, height };
    CropResize::default().apply(simd, image, &crop, size, flip, &mut planes);
    (planes.red, planes.green, planes.blue)
}

/// The filter as its definition has it, in floating point, for one channel.
fn exact(image: &Pixels, crop: [u32; 4], size: u32, channel: usize) -> Vec<f64> {
    let [left, top, width, height] = crop;
    let weights = |length: u32, at: u32| {
        let step = f64::from(length) / f64::from(size);
        let support = step.max(1.0);
        let centre = (f64::from(at) + 0.5) * step;
        let weight =
            move |pixel: u32| (1.0 - (f64::from(pixel) + 0.5 - centre).abs() / support).max(0.0);
        let sum: f64 = (0..length).map(weight).sum();
        (0..length).map(move |pixel| (pixel, weight(pixel) / sum)).filter(|pair| pair.1 > 0.0)
    };
    let mut out = Vec::new();
    for y in 0..size {
        for x in 0..size {
            let mut sum = 0.0;
            for (row, down) in weights(height, y) {
                for (column, across) in weights(width, x) {
                    let at = (top + row) * image.width + left + column;
                    sum += down * across * f64::from(image.data[3 * at as usize + channel]);
                }
            }
            out.push(sum);
        }
    }
    out
}

#[test]
fn every_pixel_is_that_of_the_exact_filter_to_within_rounding() {
    let image = noise(150, 120);
    for (crop, size) in [
        ([0, 0, 150, 120], 16),
        ([10, 20, 100, 60], 33),
        ([10, 20, 100, 60], 96),
        ([149, 119, 1, 1], 8),
        ([0, 0, 150, 1], 24),
        ([5, 5, 40, 40], 40),
    ] {
        let found = planes_of(Simd::best(), &image, crop.map(f64::from), size, false);
        for (channel, found) in [found.0, found.1, found.2].iter().enumerate() {
            for (index, exact) in exact(&image, crop, size, channel).into_iter().enumerate() {
                let difference = (f64::from(found[index]) - exact).abs();
                assert!(difference < 0.55, "{crop:?} to {size}, {index}: {difference}");
            }
        }
    }
}

#[test]
fn instruction_sets_agree_to_the_last_bit() {
    let image = noise(301, 203);
    let mut draw = Draw::new(1, Domain::Synthetic, [0; 5]);
    for case in 0..120 {
        let size = 8 + draw.below(60);
        let side = |draw: &mut Draw, limit: u32| {
            let length = 1 + draw.below(limit);
            let start = draw.below(limit - length + 1);
            // Every third box lies between pixels.
            let part = if case % 3 == 0 { 0.37 } else { 0.0 };
            [f64::from(start) + part, f64::from(length) - part]
        };
        let ([x, width], [y, height]) = (side(&mut draw, 301), side(&mut draw, 203));
        let (crop, flip) = ([x, y, width, height], case % 2 == 0);
        let best = planes_of(Simd::best(), &image, crop, size, flip);
        let baseline = planes_of(Simd::BASELINE, &image, crop, size, flip);
        assert!(best == baseline, "{crop:?} to {size}");
    }
}

#[test]
fn flip_mirrors_the_view() {
    let image = noise(80, 60);
    let crop = [3.0, 4.0, 70.0, 50.0];
    let plain = planes_of(Simd::best(), &image, crop, 31, false).1;
    let flipped = planes_of(Simd::best(), &image, crop, 31, true).1;
    for (plain, flipped) in plain.chunks_exact(31).zip(flipped.chunks_exact(31)) {
        assert!(plain.iter().eq(flipped.iter().rev()));
    }
}

#[test]
fn a_box_as_large_as_the_view_is_copied_and_even_colours_stay() {
    let image = noise(64, 64);
    let copied = planes_of(Simd::best(), &image, [20.0, 10.0, 32.0, 32.0], 32, false).0;
    let expected = (0..32 * 32).map(|at| image.data[3 * ((10 + at / 32) * 64 + 20 + at % 32)]);
    assert!(copied.into_iter().eq(expected));
    for level in [0, 1, 77, 254, 255] {
        let even = Pixels { data: vec![level; 3 * 64 * 64], ..image.clone() };
        for (length, size) in [(64.0, 9), (64.0, 100), (50.5, 31), (1.0, 8)] {
            let view = planes_of(Simd::best(), &even, [0.0, 0.0, length, length], size, false);
            assert!(view.0.iter().all(|&value| value == level), "{level}: {length} to {size}");
        }
    }
}

#[test]
fn a_very_long_filter_does_not_overflow() {
    let white = Pixels { data: vec![255; 3 * 4000 * 3000], ..noise(1, 1) };
    let image = Pixels { width: 4000, height: 3000, ..white };
    for simd in [Simd::BASELINE, Simd::best()] {
        let view = planes_of(simd, &image, [0.0, 0.0, 4000.0, 3000.0], 8, false);
        assert!(view.2.iter().all(|&value| value == 255));
    }
}

#[test]
fn a_part_of_an_image_gives_the_same_view_as_the_whole() {
    let image = noise(100, 90);
    let (left, top, width, height) = (16, 8, 70, 60);
    let rows = (top..top + height).flat_map(|y| {
        image.data[3 * (y * 100 + left) as usize..][..3 * width as usize].iter().copied()
    });
    let data = rows.collect();
    let part = Pixels { width, height, data, scale: 1, left, top };
    for crop in [[20.0, 12.0, 60.0, 50.0], [25.5, 20.25, 40.5, 30.0]] {
        let whole = planes_of(Simd::best(), &image, crop, 24, false);
        assert!(whole == planes_of(Simd::best(), &part, crop, 24, false), "{crop:?}");
    }
}
