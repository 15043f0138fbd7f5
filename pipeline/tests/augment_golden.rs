//! Every kernel against PIL and torchvision (`golden/make_augment_golden.py`), through the renderer.

mod support;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use smog_pipeline::augment::{SamplePlan, ViewPlan};
use smog_pipeline::codec::{DecodeLimits, DecoderKind, probe};
use smog_pipeline::render::sample::{RenderSettings, RenderTimings, RowViews, SampleRenderer};
use support::{Tool, difference};

#[derive(Deserialize)]
struct Case {
    name: String,
    source: String,
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
    assert!(cases.len() > 60);
    let mut renderer = SampleRenderer::new(&RenderSettings::default());
    let mut reader = Tool::new(DecoderKind::default(), DecodeLimits::default());
    let mut failures = Vec::new();
    for case in cases {
        let source = read(&case.source);
        let meta = probe(&source).expect("the source is an image");
        let size = case.plan.size as usize;
        let mut view = OneView(vec![0; 3 * size * size]);
        let plan = SamplePlan { views: vec![case.plan] };
        renderer
            .render(&source, &meta, &plan, &mut view, &mut RenderTimings::default())
            .expect("the source decodes");
        let png = read(&format!("{}.png", case.name));
        let (_, expected) = reader.probe_and_decode(&png).expect("the golden file decodes");
        let (largest, mean) = difference(&view.0, &expected.data);
        println!("{:<18} max {largest:>2}  mean {mean:.3}", case.name);
        if largest > case.max_difference || mean > case.mean_difference {
            failures.push(case.name);
        }
    }
    assert!(failures.is_empty(), "out of bounds: {failures:?}");
}
