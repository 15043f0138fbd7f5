//! Small streams and their digests.

use std::sync::Arc;

use smog_pipeline::augment::{Blur, CropRule, Jitter, Recipe, Solarize, ViewRecipe};
use smog_pipeline::batch::HostBatch;
use smog_pipeline::order::OrderSettings;
use smog_pipeline::source::{Source, SyntheticSource};
use smog_pipeline::stream::{BatchStream, Next, Start, StreamConfig};

/// Two large and two small views with every operation switched on.
pub fn recipe() -> Recipe {
    let view = |size, large| ViewRecipe {
        count: 2,
        size,
        large,
        crop: CropRule::RandomResized { scale: [0.3, 1.0], ratio: [0.75, 4.0 / 3.0] },
        flip: 0.5,
        jitter: Some(Jitter { p: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.2, hue: 0.1 }),
        gray: 0.2,
        blur: Some(Blur { p: 0.5, sigma: [0.1, 2.0] }),
        solarize: Some(Solarize { p: 0.2, threshold: 128 }),
    };
    Recipe { views: vec![view(16, true), view(8, false)] }
}

/// 70 images in ten row groups.
pub fn source() -> Arc<dyn Source> {
    Arc::new(SyntheticSource::new(70, 7, 32, 5))
}

/// Batches of eight, so an epoch of [`source`] has eight steps and leaves six samples out; a window of four
/// row groups.
pub fn config() -> StreamConfig {
    StreamConfig {
        seed: 42,
        order: OrderSettings::Window { row_groups: 4 },
        workers: 2,
        ..StreamConfig::new(recipe(), 8)
    }
}

/// Opens a stream at `step`.
pub fn open(source: &Arc<dyn Source>, config: &StreamConfig, step: u64) -> BatchStream {
    BatchStream::open(Arc::clone(source), config.clone(), Start::Step(step)).expect("it opens")
}

/// The next batch of a stream that has one.
pub fn next(stream: &mut BatchStream) -> HostBatch {
    match stream.next_batch().expect("no stage fails") {
        Next::Batch(batch) => batch,
        Next::End => panic!("the stream ended at step {}", stream.position().next_step),
    }
}

/// Everything that a batch holds, as one number.
pub fn digest(batch: &HostBatch) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(&batch.step().to_le_bytes());
    hash.update(&batch.epoch().to_le_bytes());
    hash.update(format!("{:?}", batch.keys()).as_bytes());
    hash.update(format!("{:?}", batch.plans()).as_bytes());
    hash.update(format!("{:?} {:?}", batch.labels(), batch.valid()).as_bytes());
    for view in 0..batch.num_views() {
        hash.update(batch.view(view));
    }
    hash.finalize().to_hex()[..16].to_owned()
}

/// Digests of the next `count` batches.
pub fn digests(stream: &mut BatchStream, count: usize) -> Vec<String> {
    (0..count).map(|_| digest(&next(stream))).collect()
}
