//! The kernels, compiled as C++, against the CPU renderer: the same bytes, whatever the plan. The tolerance is 0 levels
//! for every operation, alone and in a row.

use crate::support::{
    Random, Stored, by_kernels, by_renderer, byte, crop_only, difference, drawn_box,
    drawn_orientation, drawn_plan,
};
use smog_cuda::kernels::oracle::{self, Launch, Task};
use smog_cuda::kernels::{Normalize, PixelKind};
use smog_pipeline::augment::{CropBox, JitterOp, JitterPlan, ViewPlan};
use smog_pipeline::codec::Orientation;

/// Views that both renderers make, and how far they are apart. Largest difference allowed and found: 0.
#[derive(Default)]
struct Comparison {
    views: usize,
    failures: Vec<String>,
}

impl Comparison {
    fn compare(&mut self, stored: &Stored, orientation: Orientation, plan: &ViewPlan) {
        let expected = by_renderer(stored, orientation, plan);
        let (largest, mean) = difference(&by_kernels(stored, orientation, plan), &expected);
        self.views += 1;
        if largest > 0 {
            let (width, height) = (stored.pixels.width, stored.pixels.height);
            self.failures.push(format!(
                "max {largest} mean {mean:.4}: {width} x {height} {orientation:?} {plan:?}"
            ));
        }
    }

    fn finish(self, what: &str) {
        let (views, failures) = (self.views, self.failures);
        println!("{what:<12} {views} views, {} differ", failures.len());
        assert!(failures.is_empty(), "{what}: {} of {views}: {:#?}", failures.len(), failures[0]);
    }
}

/// An image up to 640 pixels a side and a plan with a side of 8 to 224 that only crops.
fn drawn(random: &mut Random) -> (Stored, Orientation, ViewPlan) {
    let (width, height) = (random.whole(1, 640), random.whole(1, 640));
    let orientation = drawn_orientation(random);
    let stored = Stored::drawn(random, width, height);
    let (shown_width, shown_height) = orientation.size(width, height);
    let crop = drawn_box(random, shown_width, shown_height);
    // Small views more often than their share: they cost less.
    let most = if random.coin() { 64 } else { 224 };
    (stored, orientation, crop_only(random.whole(8, most), crop))
}

/// Jitter with one operation; the factors of the others are 1.
fn only(op: JitterOp, value: f32) -> JitterPlan {
    // The other places are filled with an operation that leaves bytes as they are.
    let filler = if op == JitterOp::Brightness { JitterOp::Hue } else { JitterOp::Brightness };
    let order = [filler, filler, filler, op];
    let mut jitter =
        JitterPlan { order, brightness: 1.0, contrast: 1.0, saturation: 1.0, hue: 0.0 };
    match op {
        JitterOp::Brightness => jitter.brightness = value,
        JitterOp::Contrast => jitter.contrast = value,
        JitterOp::Saturation => jitter.saturation = value,
        JitterOp::Hue => jitter.hue = value,
    }
    jitter
}

fn compare_with(what: &str, seed: u64, change: impl Fn(&mut Random, &mut ViewPlan)) {
    let mut random = Random(seed);
    let mut comparison = Comparison::default();
    for _ in 0..40 {
        let (stored, orientation, mut plan) = drawn(&mut random);
        change(&mut random, &mut plan);
        comparison.compare(&stored, orientation, &plan);
    }
    comparison.finish(what);
}

fn factor(random: &mut Random) -> f32 {
    let high = if random.coin() { 2.0 } else { 11.0 };
    random.real(0.0, high) as f32
}

#[test]
fn crop_and_resize_give_the_bytes_of_the_renderer() {
    compare_with("crop", 1, |_, _| ());
    compare_with("flip", 2, |_, plan| plan.flip = true);
}

#[test]
fn each_operation_of_jitter_gives_the_bytes_of_the_renderer() {
    for (seed, op) in [
        (3, JitterOp::Brightness),
        (4, JitterOp::Contrast),
        (5, JitterOp::Saturation),
        (6, JitterOp::Hue),
    ] {
        compare_with(&format!("{op:?}"), seed, |random, plan| {
            let value = match op {
                JitterOp::Hue => random.real(-0.5, 0.5) as f32,
                _ => factor(random),
            };
            plan.jitter = Some(only(op, value));
        });
    }
}

#[test]
fn greyscale_blur_and_solarisation_give_the_bytes_of_the_renderer() {
    compare_with("grey", 7, |_, plan| plan.gray = true);
    compare_with("blur", 8, |random, plan| plan.blur = Some(random.real(0.01, 3.0) as f32));
    compare_with("wide blur", 9, |random, plan| {
        plan.blur = Some(random.real(3.0, 32.0) as f32);
        plan.size = plan.size.min(60);
    });
    compare_with("solarise", 10, |random, plan| plan.solarize = Some(random.bits() as u8));
}

#[test]
fn whole_plans_give_the_bytes_of_the_renderer() {
    let mut random = Random(11);
    let mut comparison = Comparison::default();
    for _ in 0..200 {
        let (stored, orientation, plan) = drawn(&mut random);
        let plan = drawn_plan(&mut random, plan.size, plan.crop);
        comparison.compare(&stored, orientation, &plan);
    }
    comparison.finish("composed");
}

/// Column passes of their own, and sums of 33 rows and more, which are rounded otherwise.
#[test]
fn large_images_give_the_bytes_of_the_renderer() {
    let mut random = Random(12);
    let mut comparison = Comparison::default();
    for (width, height, size) in [
        (3000, 2000, 224),
        (4000, 3000, 96),
        (2500, 260, 8),
        (260, 2500, 9),
        (263, 265, 8),
        (65_535, 3, 24),
        (2, 65_535, 24),
    ] {
        let stored = Stored::drawn(&mut random, width, height);
        for orientation in [Orientation::AsStored, drawn_orientation(&mut random)] {
            let (width, height) = orientation.size(width, height);
            let whole = CropBox { x: 0.0, y: 0.0, width: width.into(), height: height.into() };
            comparison.compare(&stored, orientation, &drawn_plan(&mut random, size, whole));
            let part = drawn_box(&mut random, width, height);
            comparison.compare(&stored, orientation, &drawn_plan(&mut random, size, part));
        }
    }
    comparison.finish("large");
}

/// What a grid looks like, how much scratch memory there is (hence how many groups a batch becomes, and whether lines
/// find room), and what else is in the batch change nothing.
#[test]
fn a_batch_is_its_views_however_it_is_launched() {
    let mut random = Random(13);
    let views: Vec<_> = (0..24)
        .map(|_| {
            let (stored, orientation, plan) = drawn(&mut random);
            let size = plan.size.min(90);
            (stored, orientation, drawn_plan(&mut random, size, plan.crop))
        })
        .collect();
    let tasks: Vec<_> = views
        .iter()
        .map(|(stored, orientation, plan)| Task {
            image: stored.image(),
            orientation: *orientation,
            plan: *plan,
        })
        .collect();
    for (blocks, threads, extra_scratch) in
        [(1, 1, 64 << 20), (7, 32, 64 << 20), (500, 3, 0), (2, 256, 100_000)]
    {
        let launch = Launch { blocks, threads, extra_scratch };
        let rendered =
            oracle::render_batch(&tasks, PixelKind::F32, Normalize::NONE, launch).unwrap();
        assert_eq!(rendered.len(), views.len());
        for (values, (stored, orientation, plan)) in rendered.into_iter().zip(&views) {
            let bytes: Vec<u8> = values.into_iter().map(byte).collect();
            assert!(bytes == by_renderer(stored, *orientation, plan), "{launch:?} {plan:?}");
        }
    }
}

#[test]
fn values_are_normalised_per_channel_and_rounded_once() {
    // ImageNet's.
    let (mean, deviation) = ([0.485f32, 0.456, 0.406], [0.229f32, 0.224, 0.225]);
    let normalize = Normalize {
        scale: deviation.map(|deviation| 1.0 / (255.0 * deviation)),
        shift: std::array::from_fn(|channel| -mean[channel] / deviation[channel]),
    };
    let mut random = Random(14);
    for _ in 0..30 {
        let (stored, orientation, plan) = drawn(&mut random);
        let plan = drawn_plan(&mut random, plan.size.min(64), plan.crop);
        let bytes = by_renderer(&stored, orientation, &plan);
        let expected = bytes.iter().enumerate().map(|(index, &byte)| {
            f32::from(byte) * normalize.scale[index % 3] + normalize.shift[index % 3]
        });
        let task = Task { image: stored.image(), orientation, plan };
        let single = oracle::render(task, PixelKind::F32, normalize).unwrap();
        let half = oracle::render(task, PixelKind::Bf16, normalize).unwrap();
        assert_eq!((single.len(), half.len()), (bytes.len(), bytes.len()));
        for ((expected, single), half) in expected.zip(single).zip(half) {
            assert_eq!(single, expected);
            assert_eq!(half, nearest_bf16(expected), "of {expected}");
        }
    }
}

/// By its definition: the nearer of the two neighbours, of which one has the upper bits of the value; of two that are
/// as near the one whose last bit is 0.
fn nearest_bf16(value: f32) -> f32 {
    let below = value.to_bits() & 0xffff_0000;
    let above = below.wrapping_add(0x1_0000);
    // Beyond the largest number the next step stands for infinity.
    let position = |bits: u32| match f32::from_bits(bits) {
        number if number.is_infinite() => 2f64.powi(128).copysign(f64::from(number)),
        number => f64::from(number),
    };
    let value = f64::from(value);
    let (to_below, to_above) = ((value - position(below)).abs(), (position(above) - value).abs());
    f32::from_bits(match to_below.total_cmp(&to_above) {
        std::cmp::Ordering::Less => below,
        std::cmp::Ordering::Greater => above,
        std::cmp::Ordering::Equal => [below, above][usize::from(below & 0x1_0000 != 0)],
    })
}

#[test]
fn bfloat16_is_the_nearest_with_ties_to_even() {
    let mut random = Random(15);
    let edges = [0u32, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x1_7fff, 0x1_8000, 0x1_8001];
    let exponents = [0u32, 0x3f80_0000, 0x4000_0000, 0x7f7e_0000, 0x0040_0000];
    let edges = exponents.iter().flat_map(|exponent| edges.map(|edge| exponent + edge));
    let drawn: Vec<u32> = (0..100_000).map(|_| random.bits() as u32).collect();
    let mut compared = 0;
    for bits in edges.chain(drawn) {
        for bits in [bits, bits ^ 0x8000_0000] {
            let value = f32::from_bits(bits);
            if value.is_finite() {
                let found = f32::from_bits(u32::from(oracle::bf16(value)) << 16);
                assert_eq!(found.to_bits(), nearest_bf16(value).to_bits(), "{value:e} {bits:#x}");
                compared += 1;
            }
        }
    }
    assert!(compared > 190_000);
    assert_eq!(oracle::bf16(f32::INFINITY), 0x7f80);
    assert_eq!(oracle::bf16(f32::MAX), 0x7f80);
    let nan = f32::from_bits(u32::from(oracle::bf16(f32::from_bits(0x7f80_0001))) << 16);
    assert!(nan.is_nan());
}

#[test]
fn an_image_that_is_smaller_than_it_says_is_refused() {
    let mut random = Random(16);
    let stored = Stored::drawn(&mut random, 10, 10);
    let plan = crop_only(8, CropBox { x: 0.0, y: 0.0, width: 10.0, height: 10.0 });
    let mut image = stored.image();
    image.pixels = &image.pixels[..image.pixels.len() / 2];
    let task = Task { image, orientation: Orientation::AsStored, plan };
    let error = oracle::render(task, PixelKind::F32, Normalize::NONE).unwrap_err();
    assert!(error.to_string().contains("10 x 10"), "{error}");
}
