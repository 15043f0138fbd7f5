//! Draws the plan of a sample: a pure function of (seed, key, size of the image).

use crate::augment::{
    CropBox, CropRule, Jitter, JitterOp, JitterPlan, Recipe, SamplePlan, ViewPlan, ViewRecipe,
};
use crate::draw::{Domain, Draw};
use crate::sample::{ImageMeta, SampleKey};

/// Attempts at a random crop before the centre fallback, as torchvision's `RandomResizedCrop`.
const CROP_ATTEMPTS: u32 = 10;

impl Recipe {
    /// Draws all views of the sample `key` into `plan`, whose storage is reused.
    ///
    /// `meta` gives the size of the image as it is shown: with EXIF rotation on, that is the size after
    /// the rotation ([`RenderSettings::displayed`](crate::render::sample::RenderSettings::displayed)).
    /// The draws of a view are keyed by (seed, epoch, sample, view, attempt). All of them are made whether
    /// they are used or not, and those of the crop come last since their number depends on the image: a
    /// changed probability or crop rule moves no other draw.
    pub fn draw(&self, seed: u64, key: &SampleKey, meta: &ImageMeta, plan: &mut SamplePlan) {
        plan.views.clear();
        for (view, recipe) in (0u32..).zip(self.expanded()) {
            let key = [key.epoch, key.sample.0, view, u32::from(key.attempt), 0];
            let mut draw = Draw::new(seed, Domain::View, key);
            plan.views.push(draw_view(recipe, meta.width, meta.height, &mut draw));
        }
    }
}

fn draw_view(recipe: &ViewRecipe, width: u32, height: u32, draw: &mut Draw) -> ViewPlan {
    let flip = draw.chance(recipe.flip);
    let jitter = draw_jitter(recipe.jitter.as_ref(), draw);
    let gray = draw.chance(recipe.gray);
    let (p, sigma) = recipe.blur.map_or((0.0, [0.0; 2]), |blur| (blur.p, blur.sigma));
    let (blurred, sigma) = (draw.chance(p), draw.uniform(sigma[0], sigma[1]) as f32);
    let (p, threshold) =
        recipe.solarize.map_or((0.0, 0), |solarize| (solarize.p, solarize.threshold));
    let solarized = draw.chance(p);
    let crop = match recipe.crop {
        CropRule::RandomResized { scale, ratio } => random_crop(width, height, scale, ratio, draw),
        CropRule::Center { resize } => center_crop(width, height, resize, recipe.size),
    };
    ViewPlan {
        size: recipe.size,
        crop,
        flip,
        jitter,
        gray,
        blur: blurred.then_some(sigma),
        solarize: solarized.then_some(threshold),
    }
}

/// `ColorJitter.get_params`: an order out of 24 and one factor per operation.
fn draw_jitter(jitter: Option<&Jitter>, draw: &mut Draw) -> Option<JitterPlan> {
    const OFF: Jitter =
        Jitter { p: 0.0, brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0 };
    let jitter = jitter.unwrap_or(&OFF);
    let applied = draw.chance(jitter.p);
    let mut order = [JitterOp::Brightness, JitterOp::Contrast, JitterOp::Saturation, JitterOp::Hue];
    draw.shuffle(&mut order);
    let mut factor = |strength: f64| draw.uniform((1.0 - strength).max(0.0), 1.0 + strength) as f32;
    let (brightness, contrast, saturation) =
        (factor(jitter.brightness), factor(jitter.contrast), factor(jitter.saturation));
    let hue = draw.uniform(-jitter.hue, jitter.hue) as f32;
    applied.then_some(JitterPlan { order, brightness, contrast, saturation, hue })
}

/// `RandomResizedCrop.get_params`: area and logarithm of the aspect ratio uniform, ten attempts, then the
/// largest centred box whose ratio is allowed. Rounding is to even, as Python's `round`.
fn random_crop(
    width: u32,
    height: u32,
    scale: [f64; 2],
    ratio: [f64; 2],
    draw: &mut Draw,
) -> CropBox {
    let area = f64::from(width) * f64::from(height);
    let log_ratio = [ratio[0].ln(), ratio[1].ln()];
    for _ in 0..CROP_ATTEMPTS {
        let target = area * draw.uniform(scale[0], scale[1]);
        let aspect = draw.uniform(log_ratio[0], log_ratio[1]).exp();
        let crop_width = (target * aspect).sqrt().round_ties_even() as u32;
        let crop_height = (target / aspect).sqrt().round_ties_even() as u32;
        if (1..=width).contains(&crop_width) && (1..=height).contains(&crop_height) {
            let y = draw.below(height - crop_height + 1);
            let x = draw.below(width - crop_width + 1);
            return whole_box(x, y, crop_width, crop_height);
        }
    }
    let image_ratio = f64::from(width) / f64::from(height);
    let (crop_width, crop_height) = if image_ratio < ratio[0] {
        (width, (f64::from(width) / ratio[0]).round_ties_even() as u32)
    } else if image_ratio > ratio[1] {
        ((f64::from(height) * ratio[1]).round_ties_even() as u32, height)
    } else {
        (width, height)
    };
    let (crop_width, crop_height) = (crop_width.clamp(1, width), crop_height.clamp(1, height));
    whole_box((width - crop_width) / 2, (height - crop_height) / 2, crop_width, crop_height)
}

fn whole_box(x: u32, y: u32, width: u32, height: u32) -> CropBox {
    CropBox { x: x.into(), y: y.into(), width: width.into(), height: height.into() }
}

/// Torchvision's `Resize(resize)` and `CenterCrop(size)` as one box in source pixels. The long side after
/// the resize is cut to whole pixels there, so the two axes may have slightly different scales here.
fn center_crop(width: u32, height: u32, resize: u32, size: u32) -> CropBox {
    let (short, long) = (width.min(height), width.max(height));
    let resized_long = (u64::from(resize) * u64::from(long) / u64::from(short)) as u32;
    let axis = |source: u32| {
        let resized = if source == short { resize } else { resized_long };
        let pixel = f64::from(source) / f64::from(resized);
        let start = (f64::from(resized.saturating_sub(size)) / 2.0).round_ties_even();
        (start * pixel, f64::from(size.min(resized)) * pixel)
    };
    let ((x, crop_width), (y, crop_height)) = (axis(width), axis(height));
    CropBox { x, y, width: crop_width, height: crop_height }
}

#[cfg(test)]
mod tests;
