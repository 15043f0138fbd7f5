//! What the tests of the kernels share: images, random plans, and a view by each of the two renderers.

use smog_cuda::kernels::oracle::{self, Image, Task};
use smog_cuda::kernels::{Normalize, PixelKind};
use smog_pipeline::augment::{CropBox, JitterOp, JitterPlan, ViewKernels, ViewPlan};
use smog_pipeline::codec::{Orientation, Pixels};

/// A small generator with a fixed seed (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number from `low` to `high`.
    pub(crate) fn whole(&mut self, low: u32, high: u32) -> u32 {
        low + (self.bits() % u64::from(high - low + 1)) as u32
    }

    pub(crate) fn real(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.bits() & 1 == 1
    }
}

/// An image with room at the end of each line.
pub(crate) struct Stored {
    pub(crate) pixels: Pixels,
    padded: Vec<u8>,
    pitch: u32,
}

impl Stored {
    pub(crate) fn image(&self) -> Image<'_> {
        let Pixels { width, height, .. } = self.pixels;
        Image { pixels: &self.padded, width, height, pitch: self.pitch }
    }

    /// Pixels as they are, in lines with up to 17 bytes behind them.
    pub(crate) fn new(random: &mut Random, pixels: Pixels) -> Self {
        let line = 3 * pixels.width;
        let pitch = line + random.whole(0, 17);
        let mut padded = vec![0xee; (pitch * pixels.height) as usize];
        let lines = padded.chunks_exact_mut(pitch as usize);
        for (to, from) in lines.zip(pixels.data.chunks_exact(line as usize)) {
            to[..line as usize].copy_from_slice(from);
        }
        Self { pixels, padded, pitch }
    }

    /// Noise, slopes or two levels: the hardest, the usual, and the one at the ends of the range.
    pub(crate) fn drawn(random: &mut Random, width: u32, height: u32) -> Self {
        let kind = random.whole(0, 2);
        let slope = [random.real(0.1, 3.0), random.real(0.1, 3.0), random.real(-90.0, 90.0)];
        let mut data = Vec::with_capacity((3 * width * height) as usize);
        for y in 0..height {
            for x in 0..width {
                for channel in 0..3u32 {
                    data.push(match kind {
                        0 => random.bits() as u8,
                        1 => {
                            let level = slope[0] * f64::from(x) + slope[1] * f64::from(y);
                            let level = level + slope[2] * f64::from(channel);
                            (level.rem_euclid(256.0)) as u8
                        }
                        _ => 255 * u8::from(random.whole(0, 3) > channel),
                    });
                }
            }
        }
        let pixels = Pixels { width, height, data, scale: 1, ..Pixels::default() };
        Self::new(random, pixels)
    }
}

/// A box inside the image as shown: mostly on whole pixels, sometimes between them.
pub(crate) fn drawn_box(random: &mut Random, width: u32, height: u32) -> CropBox {
    let mut side = |length: u32| {
        let size = random.whole(1, length);
        (random.whole(0, length - size), size)
    };
    let ((x, across), (y, down)) = (side(width), side(height));
    let mut crop = CropBox { x: x.into(), y: y.into(), width: across.into(), height: down.into() };
    if random.whole(0, 3) == 0 {
        crop.x *= random.real(0.0, 1.0);
        crop.y += random.real(0.0, 0.9);
        crop.width *= random.real(0.1, 1.0);
        crop.height *= random.real(0.1, 1.1);
    }
    crop
}

/// A plan that only cuts out and resizes.
pub(crate) fn crop_only(size: u32, crop: CropBox) -> ViewPlan {
    ViewPlan { size, crop, flip: false, jitter: None, gray: false, blur: None, solarize: None }
}

pub(crate) fn drawn_jitter(random: &mut Random) -> JitterPlan {
    let mut order = [JitterOp::Brightness, JitterOp::Contrast, JitterOp::Saturation, JitterOp::Hue];
    for index in (1..4).rev() {
        order.swap(index, random.whole(0, index as u32) as usize);
    }
    // Mostly as recipes have it, sometimes as far as they may go.
    let high = if random.whole(0, 4) == 0 { 11.0 } else { 1.8 };
    let mut factor = || random.real(0.0, high) as f32;
    let (brightness, contrast, saturation) = (factor(), factor(), factor());
    let hue = random.real(-0.5, 0.5) as f32;
    JitterPlan { order, brightness, contrast, saturation, hue }
}

/// Every step with even odds.
pub(crate) fn drawn_plan(random: &mut Random, size: u32, crop: CropBox) -> ViewPlan {
    ViewPlan {
        flip: random.coin(),
        jitter: random.coin().then(|| drawn_jitter(random)),
        gray: random.whole(0, 3) == 0,
        blur: random.coin().then(|| random.real(0.1, 2.5) as f32),
        solarize: (random.whole(0, 2) == 0).then(|| random.bits() as u8),
        ..crop_only(size, crop)
    }
}

pub(crate) fn drawn_orientation(random: &mut Random) -> Orientation {
    Orientation::from_tag(random.whole(1, 8) as u8)
}

/// The view of the CPU renderer.
pub(crate) fn by_renderer(stored: &Stored, orientation: Orientation, plan: &ViewPlan) -> Vec<u8> {
    let mut turned = Pixels::default();
    let shown = orientation.apply(&stored.pixels, &mut turned);
    let mut view = vec![0; 3 * (plan.size as usize).pow(2)];
    ViewKernels::default().render(shown, plan, &mut view);
    view
}

/// The view of the kernels as bytes, which every value is where nothing is normalised.
pub(crate) fn by_kernels(stored: &Stored, orientation: Orientation, plan: &ViewPlan) -> Vec<u8> {
    let task = Task { image: stored.image(), orientation, plan: *plan };
    let values = oracle::render(task, PixelKind::F32, Normalize::NONE).expect("the plan is sound");
    values.into_iter().map(byte).collect()
}

pub(crate) fn byte(value: f32) -> u8 {
    assert!((0.0..=255.0).contains(&value) && value.fract() == 0.0, "{value} is no byte");
    value as u8
}

/// Largest and mean difference.
pub(crate) fn difference(a: &[u8], b: &[u8]) -> (u8, f64) {
    assert_eq!(a.len(), b.len(), "views of different sizes");
    let differences = a.iter().zip(b).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = differences.clone().map(u64::from).sum();
    (differences.max().unwrap_or(0), sum as f64 / a.len().max(1) as f64)
}
