//! How often the heap is asked for memory once everything is warm. A program of its own, since it counts
//! for the whole process, in one test, lest another one be counted with it.
//!
//! What libjpeg-turbo takes by `malloc` for each image is not counted: it keeps nothing between images and has
//! no way to be lent memory. The other decoders allocate in Rust, and their calls are stated apart.

use std::sync::Arc;

use smog_pipeline::augment::{Recipe, SamplePlan};
use smog_pipeline::codec::DecoderKind;
use smog_pipeline::render::sample::{RenderSettings, RenderTimings, RowViews, SampleRenderer};
use smog_pipeline::sample::{Ordinal, RowGroupId, SampleId, SampleKey};
use smog_pipeline::source::{RowGroup, Source, SyntheticSource};
use smog_pipeline::stream::StreamConfig;
use smog_tests::heap::CountingHeap;
use smog_tests::streams::{next, open};
use smog_tests::watch::watched;

#[global_allocator]
static HEAP: CountingHeap = CountingHeap::new();

struct Views(Vec<Vec<u8>>);

impl RowViews for Views {
    fn view(&mut self, index: usize) -> &mut [u8] {
        &mut self.0[index]
    }
}

/// Images of three sizes.
fn images() -> Vec<RowGroup> {
    let group = |side| SyntheticSource::new(5, 5, side, 1).read(RowGroupId(0)).expect("generated");
    [40, 150, 90].map(group).into()
}

/// Renders every image in several epochs; the same work at every call.
fn render_all(
    renderer: &mut SampleRenderer,
    recipe: &Recipe,
    images: &[RowGroup],
    views: &mut Views,
) -> u32 {
    let mut plan = SamplePlan::default();
    plan.views.reserve(recipe.num_views());
    let before = HEAP.calls();
    for epoch in 0..4 {
        for group in images {
            for row in 0..group.rows() {
                let meta = group.metas[row as usize];
                let key =
                    SampleKey { epoch, ordinal: Ordinal(0), sample: SampleId(row), attempt: 0 };
                recipe.draw(0, &key, &meta, &mut plan);
                renderer
                    .render(group.encoded(row), &meta, &plan, views, &mut RenderTimings::default())
                    .expect("a generated image is whole");
            }
        }
    }
    (HEAP.calls() - before) as u32
}

#[test]
fn a_warm_renderer_allocates_nothing_and_a_warm_stream_nothing_for_a_sample() {
    // Small views: this runs without optimisation.
    let mut recipe = Recipe::smog().with_small(4, 16);
    recipe.views.iter_mut().for_each(|view| view.size = view.size.min(40));
    let images = images();
    let sizes = recipe.view_sizes();
    let mut views = Views(sizes.iter().map(|side| vec![0; 3 * (side * side) as usize]).collect());
    for scaled_decode in [false, true] {
        let settings = RenderSettings { scaled_decode, ..RenderSettings::default() };
        let mut renderer = SampleRenderer::new(&settings);
        assert!(render_all(&mut renderer, &recipe, &images, &mut views) > 0, "it does count");
        assert_eq!(render_all(&mut renderer, &recipe, &images, &mut views), 0);
    }
    for decoder in [DecoderKind::ZuneJpeg, DecoderKind::JpegDecoder] {
        let mut renderer =
            SampleRenderer::new(&RenderSettings { decoder, ..RenderSettings::default() });
        render_all(&mut renderer, &recipe, &images, &mut views);
        let calls = render_all(&mut renderer, &recipe, &images, &mut views);
        println!("{decoder}: {:.1} allocations per image, its own", f64::from(calls) / 60.0);
    }

    // The whole stream with its queues: a few allocations a step (3 to 4), however many samples it has.
    watched(|| {
        let calls = [8, 64].map(|batch_size| {
            let source: Arc<dyn Source> = Arc::new(SyntheticSource::new(6400, 64, 32, 5));
            let config =
                StreamConfig { workers: 2, ..StreamConfig::new(recipe.clone(), batch_size) };
            let mut stream = open(&source, &config, 0);
            assert!(stream.memory().keeps_all);
            let per_epoch = stream.steps_per_epoch();
            assert!(per_epoch >= 100);
            // A whole epoch: after it every row group was read, and every worker has seen every size.
            (0..per_epoch + 5).for_each(|_| drop(next(&mut stream)));
            let before = HEAP.calls();
            (0..30).for_each(|_| drop(next(&mut stream)));
            let calls = HEAP.calls() - before;
            println!("batches of {batch_size}: {calls} calls in 30 steps");
            calls
        });
        assert!(calls.iter().all(|&calls| calls < 30 * 8), "{calls:?} allocations in 30 steps");
    });
}
