//! Every kernel against PIL and torchvision (`golden/make_augment_golden.py`), through the renderer.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use smog_pipeline::augment::{SamplePlan, ViewPlan};
use smog_pipeline::codec::{DecodeLimits, DecoderKind, Pixels, decoder, probe};
use smog_pipeline::render::sample::{RenderSettings, RenderTimings, RowViews, SampleRenderer};

#[derive(Deserialize)]
struct Case {
    name: String,
    plan: ViewPlan,
    max_difference: u8,
    mean_difference: f64,
}

struct OneView(Vec<u8>);

impl RowViews for OneView {
    fn view(&mut self, _index: usize) -> &mut [u8] {
        &mut self.0
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/augment")
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).expect("the golden file is committed")
}

#[test]
fn every_kernel_agrees_with_pil_and_torchvision() {
    let cases: Vec<Case> = serde_json::from_slice(&read("cases.json")).expect("valid cases");
    assert!(cases.len() > 30);
    let source = read("source.png");
    let meta = probe(&source).expect("the source is a PNG");
    let mut renderer = SampleRenderer::new(&RenderSettings::default());
    let mut reader = decoder(DecoderKind::default(), DecodeLimits::default());
    let mut failures = Vec::new();
    for case in cases {
        let size = case.plan.size as usize;
        let mut view = OneView(vec![0; 3 * size * size]);
        let plan = SamplePlan { views: vec![case.plan] };
        renderer
            .render(&source, &meta, &plan, &mut view, &mut RenderTimings::default())
            .expect("the source decodes");
        let png = read(&format!("{}.png", case.name));
        let mut expected = Pixels::default();
        let png_meta = probe(&png).expect("a PNG");
        reader.decode(&png, &png_meta, 1, &mut expected).expect("the golden file decodes");
        let differences = view.0.iter().zip(&expected.data).map(|(a, b)| a.abs_diff(*b));
        let largest = differences.clone().max().expect("pixels");
        let mean = differences.map(f64::from).sum::<f64>() / view.0.len() as f64;
        println!("{:<18} max {largest:>2}  mean {mean:.3}", case.name);
        if largest > case.max_difference || mean > case.mean_difference {
            failures.push(case.name);
        }
    }
    assert!(failures.is_empty(), "out of bounds: {failures:?}");
}
