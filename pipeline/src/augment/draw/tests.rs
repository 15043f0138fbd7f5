use super::*;
use crate::sample::{ImageFlags, ImageFormat, Ordinal, SampleId, Subsampling};

fn meta(width: u32, height: u32) -> ImageMeta {
    ImageMeta {
        format: ImageFormat::Jpeg,
        width,
        height,
        components: 3,
        subsampling: Subsampling::S420,
        orientation: 1,
        progressive: false,
        flags: ImageFlags::default(),
        bytes: 0,
    }
}

fn key(epoch: u32, sample: u32, attempt: u16) -> SampleKey {
    SampleKey { epoch, ordinal: Ordinal(u64::from(sample)), sample: SampleId(sample), attempt }
}

fn draw(recipe: &Recipe, key: &SampleKey, meta: &ImageMeta) -> SamplePlan {
    let mut plan = SamplePlan::default();
    recipe.draw(7, key, meta, &mut plan);
    plan
}

/// Plans of the first view for many samples.
fn many(recipe: &Recipe, meta: &ImageMeta, num: u32) -> Vec<ViewPlan> {
    (0..num).map(|sample| draw(recipe, &key(0, sample, 0), meta).views[0]).collect()
}

fn assert_near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected} +- {tolerance}");
}

#[test]
fn plans_of_a_thousand_samples_have_the_golden_digest() {
    let recipe = Recipe::preset("smog_multicrop").unwrap();
    let mut hasher = blake3::Hasher::new();
    for sample in 0..1000u32 {
        let meta = meta(32 + sample * 7 % 900, 24 + sample * 13 % 700);
        let plan = draw(&recipe, &key(sample % 5, sample, (sample % 3) as u16), &meta);
        hasher.update(&serde_json::to_vec(&plan).unwrap());
    }
    // A change here means that runs cannot be resumed: raise PLAN_VERSION in validate.rs with it.
    assert_eq!(
        hasher.finalize().to_hex().as_str(),
        "df96c9012eed2295de2d4a350ec6ca72953d893dc095ec557e009a3f75d144ff"
    );
}

#[test]
fn plans_do_not_depend_on_the_order_of_calls() {
    let (recipe, meta) = (Recipe::smog(), meta(500, 375));
    let keys: Vec<_> = (0..50).map(|sample| key(3, sample, 0)).collect();
    let forward: Vec<_> = keys.iter().map(|key| draw(&recipe, key, &meta)).collect();
    let mut reused = SamplePlan::default();
    for (key, expected) in keys.iter().zip(&forward).rev() {
        recipe.draw(7, key, &meta, &mut reused);
        assert_eq!(&reused, expected);
    }
}

#[test]
fn epoch_sample_view_and_attempt_change_the_plan_and_the_ordinal_does_not() {
    let (recipe, meta) = (Recipe::smog(), meta(500, 375));
    let plan = draw(&recipe, &key(0, 0, 0), &meta);
    assert_ne!(plan.views[0].crop, plan.views[1].crop);
    for other in [key(1, 0, 0), key(0, 1, 0), key(0, 0, 1)] {
        assert_ne!(plan, draw(&recipe, &other, &meta));
    }
    let elsewhere = SampleKey { ordinal: Ordinal(99), ..key(0, 0, 0) };
    assert_eq!(plan, draw(&recipe, &elsewhere, &meta));
}

#[test]
fn a_changed_probability_moves_no_other_draw() {
    let meta = meta(500, 375);
    let recipe = Recipe::smog();
    let mut changed = recipe.clone();
    changed.views[0].flip = 0.0;
    changed.views[0].jitter = None;
    changed.views[0].blur.as_mut().unwrap().p = 1.0;
    let pairs = many(&recipe, &meta, 200).into_iter().zip(many(&changed, &meta, 200));
    for (before, after) in pairs {
        assert_eq!((before.crop, before.gray), (after.crop, after.gray));
        assert!(before.blur.is_none() || before.blur == after.blur);
    }
}

#[test]
fn crop_area_and_log_aspect_are_uniform_in_a_large_square() {
    let mut recipe = Recipe::smog();
    // Shares so small that no attempt is refused: refusals would bend the distribution.
    recipe.views[0].crop = CropRule::RandomResized { scale: [0.1, 0.5], ratio: [0.75, 4.0 / 3.0] };
    let plans = many(&recipe, &meta(4000, 4000), 20_000);
    let mut areas = [0u32; 8];
    let mut aspects = [0u32; 8];
    for plan in &plans {
        let crop = plan.crop;
        let area = crop.width * crop.height / 16e6;
        areas[(((area - 0.1) / 0.4 * 8.0) as usize).min(7)] += 1;
        let aspect = (crop.width / crop.height).ln() / (4.0f64 / 3.0).ln();
        aspects[(((aspect + 1.0) * 4.0) as usize).min(7)] += 1;
    }
    for count in areas.into_iter().chain(aspects) {
        assert_near(f64::from(count), 2500.0, 250.0); // five standard deviations
    }
}

#[test]
fn crops_lie_on_whole_pixels_inside_the_image() {
    for (width, height) in [(1, 1), (2, 700), (700, 2), (33, 31), (500, 375)] {
        for plan in many(&Recipe::smog(), &meta(width, height), 300) {
            let crop = plan.crop;
            assert!(crop.x >= 0.0 && crop.y >= 0.0 && crop.width >= 1.0 && crop.height >= 1.0);
            assert!(crop.x + crop.width <= f64::from(width), "{crop:?} in {width}x{height}");
            assert!(crop.y + crop.height <= f64::from(height), "{crop:?} in {width}x{height}");
            for value in [crop.x, crop.y, crop.width, crop.height] {
                assert_eq!(value.fract(), 0.0);
            }
        }
    }
}

#[test]
fn an_image_too_narrow_for_any_ratio_gets_the_centred_fallback() {
    let plan = draw(&Recipe::smog(), &key(0, 0, 0), &meta(10, 1000)).views[0];
    assert_eq!(plan.crop, CropBox { x: 0.0, y: 493.0, width: 10.0, height: 13.0 });
}

#[test]
fn flips_jitter_and_greyscale_come_at_their_rates() {
    let plans = many(&Recipe::smog(), &meta(500, 375), 20_000);
    let rate = |test: fn(&ViewPlan) -> bool| {
        plans.iter().filter(|plan| test(plan)).count() as f64 / plans.len() as f64
    };
    assert_near(rate(|plan| plan.flip), 0.5, 0.015);
    assert_near(rate(|plan| plan.jitter.is_some()), 0.8, 0.015);
    assert_near(rate(|plan| plan.gray), 0.2, 0.015);
    assert_near(rate(|plan| plan.blur.is_some()), 0.5, 0.015);
    assert_eq!(rate(|plan| plan.solarize.is_some()), 0.0);
}

#[test]
fn all_24_orders_of_the_jitter_are_equally_likely_and_factors_fill_their_ranges() {
    let plans = many(&Recipe::lightly_smog(), &meta(500, 375), 24_000);
    let mut orders = std::collections::HashMap::new();
    let mut ranges = [(f32::MAX, f32::MIN); 4];
    for jitter in plans.iter().map(|plan| plan.jitter.unwrap()) {
        *orders.entry(format!("{:?}", jitter.order)).or_insert(0u32) += 1;
        let factors = [jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue];
        for (range, factor) in ranges.iter_mut().zip(factors) {
            *range = (range.0.min(factor), range.1.max(factor));
        }
    }
    assert_eq!(orders.len(), 24);
    for count in orders.into_values() {
        assert_near(f64::from(count), 1000.0, 160.0);
    }
    let expected = [(0.6, 1.4), (0.6, 1.4), (0.8, 1.2), (-0.1, 0.1)];
    for (found, expected) in ranges.into_iter().zip(expected) {
        assert_near(f64::from(found.0), expected.0, 1e-3);
        assert_near(f64::from(found.1), expected.1, 1e-3);
    }
}

#[test]
fn a_centre_crop_is_resize_then_crop_in_source_pixels() {
    let recipe = Recipe::center(256, 224);
    let crop = draw(&recipe, &key(0, 0, 0), &meta(512, 512)).views[0].crop;
    assert_eq!(crop, CropBox { x: 32.0, y: 32.0, width: 448.0, height: 448.0 });
    // 500 x 375: the short side becomes 256 and the long one int(256 * 500 / 375) = 341.
    let crop = draw(&recipe, &key(0, 0, 0), &meta(500, 375)).views[0].crop;
    assert_near(crop.x, 58.0 * 500.0 / 341.0, 1e-9); // round(58.5) is 58 in Python
    assert_near(crop.width, 224.0 * 500.0 / 341.0, 1e-9);
    assert_near(crop.y, 16.0 * 375.0 / 256.0, 1e-9);
    assert_near(crop.height, 224.0 * 375.0 / 256.0, 1e-9);
}
