//! Drawn parameters follow torchvision's distributions: crops against samples of torchvision itself
//! (`golden/make_params_golden.py`), everything else against its closed form. Seeds are fixed, so a test that
//! passes once passes always.
#![expect(clippy::unwrap_used, reason = "a failure in here is a failed test")]

use serde::Deserialize;
use smog_pipeline::augment::{CropRule, JitterOp, JitterPlan, Recipe, SamplePlan, ViewPlan};
use smog_pipeline::sample::{
    ImageFlags, ImageFormat, ImageMeta, Ordinal, SampleId, SampleKey, Subsampling,
};

const NUM: u32 = 20_000;
/// Distance of Kolmogorov and Smirnov that two samples of NUM exceed once in a thousand times; for one sample
/// against a closed form it is less.
const MAX_DISTANCE: f64 = 0.0195;

#[derive(Deserialize)]
struct Case {
    width: u32,
    height: u32,
    scale: [f64; 2],
    ratio: [f64; 2],
    num: u32,
    /// Share of crops that are the fallback.
    fallback: f64,
    /// Its top, left, height and width.
    fallback_box: [f64; 4],
    area: Option<Distribution>,
    log_aspect: Option<Distribution>,
    left: Option<Distribution>,
    top: Option<Distribution>,
}

/// Shares of the values at or below points at equal distances from `low` to `high`.
#[derive(Deserialize)]
struct Distribution {
    low: f64,
    high: f64,
    shares: Vec<f64>,
}

impl Distribution {
    /// Largest distance from the distribution of `values`.
    fn distance(&self, values: &mut [f64]) -> f64 {
        values.sort_by(f64::total_cmp);
        let step = (self.high - self.low) / self.shares.len() as f64;
        let shares = self.shares.iter().enumerate().map(|(index, share)| {
            let point = self.low + step * (index as f64 + 0.5);
            let found =
                values.partition_point(|&value| value <= point) as f64 / values.len() as f64;
            (found - share).abs()
        });
        shares.fold(0.0, f64::max)
    }
}

/// Largest distance of `values` from the uniform distribution on `low..high`.
fn distance_from_uniform(mut values: Vec<f64>, low: f64, high: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let num = values.len() as f64;
    let distances = values.iter().enumerate().map(|(index, value)| {
        let expected = ((value - low) / (high - low)).clamp(0.0, 1.0);
        (expected - index as f64 / num).abs().max((expected - (index as f64 + 1.0) / num).abs())
    });
    distances.fold(0.0, f64::max)
}

/// The first view of many samples of one size.
fn draw(recipe: &Recipe, width: u32, height: u32) -> Vec<ViewPlan> {
    let meta = ImageMeta {
        format: ImageFormat::Jpeg,
        width,
        height,
        components: 3,
        subsampling: Subsampling::S420,
        orientation: 1,
        progressive: false,
        flags: ImageFlags::default(),
        bytes: 0,
    };
    let mut plan = SamplePlan::default();
    let one = |sample| {
        let ordinal = Ordinal(u64::from(sample));
        let key = SampleKey { epoch: 1, ordinal, sample: SampleId(sample), attempt: 0 };
        recipe.draw(20, &key, &meta, &mut plan);
        plan.views[0]
    };
    (0..NUM).map(one).collect()
}

#[test]
fn crops_are_distributed_as_torchvisions() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("golden/params.json")).unwrap();
    assert!(cases.len() >= 7);
    for case in cases {
        assert_eq!(case.num, NUM, "the bound is made for this number");
        let (width, height) = (f64::from(case.width), f64::from(case.height));
        let mut recipe = Recipe::smog();
        let [scale, ratio] = [case.scale, case.ratio];
        recipe.views[0].crop = CropRule::RandomResized { scale, ratio };
        let crops = draw(&recipe, case.width, case.height).into_iter().map(|plan| plan.crop);
        let (fallback, crops): (Vec<_>, Vec<_>) =
            crops.partition(|crop| [crop.y, crop.x, crop.height, crop.width] == case.fallback_box);
        let what = format!("{width}x{height}, scale {scale:?}, ratio {ratio:?}");
        let share = fallback.len() as f64 / f64::from(NUM);
        assert!((share - case.fallback).abs() < MAX_DISTANCE, "{what}: fallback {share}");
        let compare = |name: &str, expected: &Option<Distribution>, values: Vec<f64>| {
            let (Some(expected), false) = (expected, values.len() < 100) else {
                assert!(expected.is_none() && values.is_empty(), "{what}: {name}");
                return;
            };
            let distance = expected.distance(&mut { values });
            println!("{what}: {name} {distance:.4}");
            assert!(distance < MAX_DISTANCE, "{what}: {name} {distance}");
        };
        let each = |value: fn(&smog_pipeline::augment::CropBox, f64, f64) -> f64| -> Vec<f64> {
            crops.iter().map(|crop| value(crop, width, height)).collect()
        };
        compare("area", &case.area, each(|crop, w, h| crop.width * crop.height / (w * h)));
        compare("log aspect", &case.log_aspect, each(|crop, _, _| (crop.width / crop.height).ln()));
        compare("left", &case.left, each(|crop, w, _| (crop.x + 0.5) / (w - crop.width + 1.0)));
        compare("top", &case.top, each(|crop, _, h| (crop.y + 0.5) / (h - crop.height + 1.0)));
    }
}

/// `ColorJitter(0.4, 0.7, 0.2, 0.1)`, always.
fn jitters() -> Vec<JitterPlan> {
    let mut recipe = Recipe::smog();
    let jitter = recipe.views[0].jitter.as_mut().unwrap();
    (jitter.p, jitter.brightness, jitter.contrast) = (1.0, 0.4, 0.7);
    (jitter.saturation, jitter.hue) = (0.2, 0.1);
    draw(&recipe, 500, 375).into_iter().map(|plan| plan.jitter.unwrap()).collect()
}

#[test]
fn jitter_factors_and_sigma_are_uniform_in_torchvisions_ranges() {
    let jitters = jitters();
    let values = |value: fn(&JitterPlan) -> f32| -> Vec<f64> {
        jitters.iter().map(|jitter| f64::from(value(jitter))).collect()
    };
    for (name, values, low, high) in [
        ("brightness", values(|jitter| jitter.brightness), 0.6, 1.4),
        ("contrast", values(|jitter| jitter.contrast), 0.3, 1.7),
        ("saturation", values(|jitter| jitter.saturation), 0.8, 1.2),
        ("hue", values(|jitter| jitter.hue), -0.1, 0.1),
    ] {
        let distance = distance_from_uniform(values, low, high);
        println!("{name}: {distance:.4}");
        assert!(distance < MAX_DISTANCE, "{name}: {distance}");
    }
    // Strengths above 1 are cut at 0: ColorJitter(brightness=1.5) draws from 0 to 2.5.
    let mut recipe = Recipe::smog();
    recipe.views[0].jitter.as_mut().unwrap().brightness = 1.5;
    recipe.views[0].blur.as_mut().unwrap().p = 1.0;
    let plans = draw(&recipe, 500, 375);
    let strong = plans.iter().filter_map(|plan| Some(f64::from(plan.jitter?.brightness)));
    assert!(distance_from_uniform(strong.collect(), 0.0, 2.5) < MAX_DISTANCE);
    let sigmas = plans.iter().map(|plan| f64::from(plan.blur.unwrap()));
    assert!(distance_from_uniform(sigmas.collect(), 0.1, 2.0) < MAX_DISTANCE);
}

#[test]
fn every_operation_is_equally_often_at_every_place_of_the_order() {
    let mut counts = [[0u32; 4]; 4];
    for jitter in jitters() {
        for (place, op) in jitter.order.into_iter().enumerate() {
            let row = match op {
                JitterOp::Brightness => 0,
                JitterOp::Contrast => 1,
                JitterOp::Saturation => 2,
                JitterOp::Hue => 3,
            };
            counts[row][place] += 1;
        }
    }
    let expected = f64::from(NUM) / 4.0;
    let deviation = (f64::from(NUM) * 0.25 * 0.75).sqrt();
    for count in counts.into_iter().flatten() {
        assert!((f64::from(count) - expected).abs() < 4.0 * deviation, "{counts:?}");
    }
}

#[test]
fn draws_of_one_view_are_independent_of_one_another() {
    let plans = draw(&Recipe::smog(), 4000, 4000);
    let mut recipe = Recipe::smog();
    recipe.views[0].jitter.as_mut().unwrap().p = 1.0;
    recipe.views[0].blur.as_mut().unwrap().p = 1.0;
    let always = draw(&recipe, 4000, 4000);
    let yes = |value: bool| if value { 1.0 } else { 0.0 };
    let columns: Vec<Vec<f64>> = vec![
        plans.iter().map(|plan| yes(plan.flip)).collect(),
        plans.iter().map(|plan| yes(plan.jitter.is_some())).collect(),
        plans.iter().map(|plan| yes(plan.gray)).collect(),
        plans.iter().map(|plan| yes(plan.blur.is_some())).collect(),
        plans.iter().map(|plan| plan.crop.width * plan.crop.height).collect(),
        plans.iter().map(|plan| (plan.crop.width / plan.crop.height).ln()).collect(),
        always.iter().map(|plan| f64::from(plan.jitter.unwrap().brightness)).collect(),
        always.iter().map(|plan| f64::from(plan.jitter.unwrap().contrast)).collect(),
        always.iter().map(|plan| f64::from(plan.jitter.unwrap().saturation)).collect(),
        always.iter().map(|plan| f64::from(plan.jitter.unwrap().hue)).collect(),
        always.iter().map(|plan| f64::from(plan.blur.unwrap())).collect(),
    ];
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let covariance = |a: &[f64], b: &[f64]| {
        let (mean_a, mean_b) = (mean(a), mean(b));
        a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum::<f64>() / a.len() as f64
    };
    for (index, a) in columns.iter().enumerate() {
        for (other, b) in columns.iter().enumerate().skip(index + 1) {
            let correlation = covariance(a, b) / (covariance(a, a) * covariance(b, b)).sqrt();
            // Four standard deviations of the estimate.
            let bound = 4.0 / f64::from(NUM).sqrt();
            assert!(correlation.abs() < bound, "columns {index} and {other}: {correlation}");
        }
    }
}
