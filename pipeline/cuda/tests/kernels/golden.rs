//! The kernels, compiled as C++, against PIL and torchvision: the golden files and bounds of the CPU renderer
//! (`pipeline/tests/golden/README.md`). And images with EXIF orientations, against the renderer as it is called.

use std::path::{Path, PathBuf};

use crate::support::{Random, Stored, by_kernels, difference, drawn_plan};
use serde::Deserialize;
use smog_pipeline::augment::{CropBox, SamplePlan, ViewPlan};
use smog_pipeline::codec::{
    DecodeLimits, DecodeRequest, DecoderKind, Orientation, Pixels, decoder, probe,
};
use smog_pipeline::render::sample::{RenderSettings, RenderTimings, RowViews, SampleRenderer};
use smog_pipeline::sample::ImageMeta;

#[derive(Deserialize)]
struct Case {
    name: String,
    source: String,
    plan: ViewPlan,
    max_difference: u8,
    mean_difference: f64,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests").join(name)
}

fn decode(encoded: &[u8]) -> (ImageMeta, Pixels) {
    let meta = probe(encoded).expect("an image");
    let mut pixels = Pixels::default();
    decoder(DecoderKind::default(), DecodeLimits::default())
        .decode(encoded, &meta, &DecodeRequest::WHOLE, &mut pixels)
        .expect("an image that decodes");
    (meta, pixels)
}

#[test]
fn kernels_agree_with_pil_and_torchvision() {
    let folder = folder("golden/augment");
    let read = |name: &str| std::fs::read(folder.join(name)).expect("the golden file is committed");
    let cases: Vec<Case> = serde_json::from_slice(&read("cases.json")).expect("valid cases");
    assert!(cases.len() > 60);
    let mut random = Random(1);
    let mut failures = Vec::new();
    for case in cases {
        let stored = Stored::new(&mut random, decode(&read(&case.source)).1);
        let view = by_kernels(&stored, Orientation::AsStored, &case.plan);
        let (_, expected) = decode(&read(&format!("{}.png", case.name)));
        let (largest, mean) = difference(&view, &expected.data);
        println!("{:<18} max {largest:>2}  mean {mean:.3}", case.name);
        if largest > case.max_difference || mean > case.mean_difference {
            failures.push(case.name);
        }
    }
    assert!(failures.is_empty(), "out of bounds: {failures:?}");
}

struct OneView(Vec<u8>);

impl RowViews for OneView {
    fn view(&mut self, _index: usize) -> &mut [u8] {
        &mut self.0
    }
}

#[test]
fn images_with_every_orientation_give_the_views_of_the_renderer() {
    let settings = RenderSettings { apply_exif: true, ..RenderSettings::default() };
    let mut renderer = SampleRenderer::new(&settings);
    let mut random = Random(2);
    for tag in 1..=8u8 {
        let encoded = std::fs::read(folder(&format!("fixtures/exif_{tag}.jpg"))).unwrap();
        let (meta, pixels) = decode(&encoded);
        assert_eq!(meta.orientation, tag);
        let stored = Stored::new(&mut random, pixels);
        let shown = settings.displayed(&meta);
        let crop = CropBox {
            x: 1.0,
            y: 2.0,
            width: f64::from(shown.width) - 2.0,
            height: f64::from(shown.height) - 3.0,
        };
        let plan = drawn_plan(&mut random, 24, crop);
        let mut view = OneView(vec![0; 3 * 24 * 24]);
        let sample = SamplePlan { views: vec![plan] };
        renderer
            .render(&encoded, &meta, &sample, &mut view, &mut RenderTimings::default())
            .expect("the fixture decodes");
        assert!(by_kernels(&stored, Orientation::from_tag(tag), &plan) == view.0, "tag {tag}");
    }
}
