use jpeg_encoder::{ColorType, Encoder};

use super::*;
use crate::augment::{CropRule, Recipe};
use crate::codec::probe;
use crate::sample::{Ordinal, SampleId, SampleKey};

struct Views(Vec<Vec<u8>>);

impl RowViews for Views {
    fn view(&mut self, index: usize) -> &mut [u8] {
        &mut self.0[index]
    }
}

fn jpeg(width: u16, height: u16, seed: u32) -> Vec<u8> {
    let pixels: Vec<u8> = (0..u32::from(width) * u32::from(height))
        .flat_map(|index| {
            let (x, y) = (index % u32::from(width), index / u32::from(width));
            [(x + seed) as u8, (y * 2) as u8, ((x + y) / 2 + seed) as u8]
        })
        .collect();
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes, 90).encode(&pixels, width, height, ColorType::Rgb).unwrap();
    bytes
}

/// The same picture with this EXIF orientation.
fn tagged(encoded: &[u8], orientation: u8) -> Vec<u8> {
    let mut segment = vec![0xFF, 0xE1, 0, 34];
    segment.extend_from_slice(b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0");
    segment.extend_from_slice(&[orientation, 0, 0, 0, 0, 0, 0]);
    [&encoded[..2], &segment, &encoded[2..]].concat()
}

fn plan_for(
    recipe: &Recipe,
    settings: &RenderSettings,
    meta: &ImageMeta,
    sample: u32,
) -> SamplePlan {
    let key = SampleKey { epoch: 0, ordinal: Ordinal(0), sample: SampleId(sample), attempt: 0 };
    let mut plan = SamplePlan::default();
    recipe.draw(3, &key, &settings.displayed(meta), &mut plan);
    plan
}

fn render(renderer: &mut SampleRenderer, encoded: &[u8], plan: &SamplePlan) -> Vec<Vec<u8>> {
    let meta = probe(encoded).unwrap();
    // Old content must not show through.
    let sizes = plan.views.iter().map(|view| 3 * (view.size * view.size) as usize);
    let mut views = Views(sizes.map(|length| vec![0xAA; length]).collect());
    renderer.render(encoded, &meta, plan, &mut views, &mut RenderTimings::default()).unwrap();
    views.0
}

#[test]
fn a_sample_looks_the_same_whatever_the_worker_did_before() {
    let recipe = Recipe::lightly_smog();
    for decoder in DecoderKind::ALL {
        for (scaled_decode, apply_exif) in [(false, false), (true, true)] {
            let settings =
                RenderSettings { decoder, scaled_decode, apply_exif, ..RenderSettings::default() };
            let mut used = SampleRenderer::new(&settings);
            let images = [jpeg(300, 200, 1), tagged(&jpeg(90, 500, 40), 6), jpeg(33, 17, 99)];
            for (sample, encoded) in (0..).zip(images.iter().chain(&images)) {
                let plan = plan_for(&recipe, &settings, &probe(encoded).unwrap(), sample % 3);
                let fresh = render(&mut SampleRenderer::new(&settings), encoded, &plan);
                assert!(render(&mut used, encoded, &plan) == fresh, "{decoder}, sample {sample}");
                let cut = &encoded[..encoded.len() - 30];
                let meta = probe(encoded).unwrap();
                let mut views = Views(fresh);
                let mut timings = RenderTimings::default();
                let result = used.render(cut, &meta, &plan, &mut views, &mut timings);
                assert!(result.is_err(), "a damaged image in between");
            }
        }
    }
}

#[test]
fn exif_rotation_changes_the_drawn_size_and_the_pixels_together() {
    let plain = jpeg(120, 60, 0);
    let meta = probe(&tagged(&plain, 6)).unwrap();
    assert_eq!(meta.orientation, 6);
    let ignoring = RenderSettings::default();
    let obeying = RenderSettings { apply_exif: true, ..ignoring };
    assert_eq!((ignoring.displayed(&meta).width, ignoring.displayed(&meta).height), (120, 60));
    assert_eq!((obeying.displayed(&meta).width, obeying.displayed(&meta).height), (60, 120));

    // The whole image, squeezed to a square: rotating the view must be rotating the image.
    let whole = |width: f64, height: f64| {
        let mut plan = plan_for(&Recipe::center(64, 64), &ignoring, &meta, 0);
        plan.views[0].crop = crate::augment::CropBox { x: 0.0, y: 0.0, width, height };
        plan
    };
    let stored = render(&mut SampleRenderer::new(&ignoring), &plain, &whole(120.0, 60.0));
    let shown = render(&mut SampleRenderer::new(&obeying), &tagged(&plain, 6), &whole(60.0, 120.0));
    for y in 0..64 {
        for x in 0..64 {
            let from = 3 * ((63 - x) * 64 + y);
            for channel in 0..3 {
                let (a, b) = (shown[0][3 * (y * 64 + x) + channel], stored[0][from + channel]);
                assert!(a.abs_diff(b) <= 1, "pixel {x}, {y}");
            }
        }
    }
}

#[test]
fn scaled_decode_is_used_only_where_every_crop_still_covers_its_view() {
    let settings = RenderSettings { scaled_decode: true, ..RenderSettings::default() };
    let encoded = jpeg(1000, 800, 5);
    let meta = probe(&encoded).unwrap();
    let scale = |recipe: &Recipe| useful_scale(&plan_for(recipe, &settings, &meta, 0));
    assert_eq!(scale(&Recipe::center(100, 96)), 8); // the box has 768 pixels a side
    assert_eq!(scale(&Recipe::center(256, 224)), 2); // 700
    assert_eq!(scale(&Recipe::center(224, 224)), 2);
    assert_eq!(scale(&Recipe::center(800, 800)), 1);

    // And the views stay close to those of a full decode.
    let mut recipe = Recipe::center(256, 224);
    recipe.views[0].crop = CropRule::Center { resize: 230 };
    let plan = plan_for(&recipe, &settings, &meta, 0);
    let scaled = render(&mut SampleRenderer::new(&settings), &encoded, &plan);
    let full = render(&mut SampleRenderer::new(&RenderSettings::default()), &encoded, &plan);
    let sum: u64 = scaled[0].iter().zip(&full[0]).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    assert!((sum as f64) < 3.0 * full[0].len() as f64);
}

#[test]
fn a_plan_that_sticks_out_of_the_image_is_cut_and_does_not_panic() {
    let encoded = jpeg(40, 30, 5);
    let meta = probe(&encoded).unwrap();
    for (x, y, width, height) in [
        (-5.0, -5.0, 400.0, 400.0),
        (39.5, 29.5, 3.0, 3.0),
        (100.0, 100.0, 5.0, 5.0),
        (0.25, 0.25, 0.1, 0.1),
    ] {
        let mut plan = plan_for(&Recipe::center(32, 32), &RenderSettings::default(), &meta, 0);
        plan.views[0].crop = crate::augment::CropBox { x, y, width, height };
        render(&mut SampleRenderer::new(&RenderSettings::default()), &encoded, &plan);
    }
}

#[test]
fn timings_are_summed() {
    let settings = RenderSettings::default();
    let encoded = jpeg(64, 64, 0);
    let meta = probe(&encoded).unwrap();
    let plan = plan_for(&Recipe::cifar(), &settings, &meta, 0);
    let mut views = Views(vec![vec![0; 3072]; 2]);
    let (mut renderer, mut timings) = (SampleRenderer::new(&settings), RenderTimings::default());
    renderer.render(&encoded, &meta, &plan, &mut views, &mut timings).unwrap();
    let once = timings;
    assert!(once.decode_nanos > 0 && once.augment_nanos > 0);
    renderer.render(&encoded, &meta, &plan, &mut views, &mut timings).unwrap();
    assert!(timings.decode_nanos > once.decode_nanos);
}

#[test]
fn views_of_a_part_of_the_image_are_those_of_the_whole() {
    let encoded = jpeg(300, 200, 3);
    let meta = probe(&encoded).unwrap();
    let mut centre = Recipe::center(150, 100);
    centre.views[0].crop = CropRule::Center { resize: 131 };
    for recipe in [Recipe::smog(), Recipe::smog().with_small(2, 40), centre] {
        for (sample, scaled_decode) in (0..40).map(|sample| (sample, sample % 2 == 0)) {
            let settings = RenderSettings { scaled_decode, ..RenderSettings::default() };
            let plan = plan_for(&recipe, &settings, &meta, sample);
            let found = render(&mut SampleRenderer::new(&settings), &encoded, &plan);
            let max_scale = if scaled_decode { useful_scale(&plan) } else { 1 };
            let mut whole = Pixels::default();
            decoder(settings.decoder, settings.limits)
                .decode(&encoded, &meta, &DecodeRequest { max_scale, region: None }, &mut whole)
                .unwrap();
            for (plan, found) in plan.views.iter().zip(found) {
                let mut expected = vec![0; found.len()];
                ViewKernels::default().render(&whole, plan, &mut expected);
                assert!(found == expected, "sample {sample}: {plan:?}");
            }
        }
    }
}
