//! From encoded rows to views in slot rows: the outer seam, with one implementation per kind of device.

mod bad;
mod cpu;
pub mod sample;

use std::fmt;
use std::sync::Arc;

use crossbeam::channel::Receiver;

pub use bad::{BadSampleLimit, BadSamplePolicy, BadSamples};
pub use cpu::{CpuRenderer, MakeDecoder};

use crate::augment::Recipe;
use crate::batch::RowLease;
use crate::fetch::HeldGroup;
use crate::runtime::metrics::Metrics;
use crate::runtime::{PipelineError, StageSet};
use crate::sample::SampleKey;

/// One row to be rendered.
#[derive(Debug)]
pub struct RowJob {
    /// Where the views go.
    pub lease: RowLease,
    /// Which sample, for which position.
    pub key: SampleKey,
    /// The row group that holds it.
    pub group: Arc<HeldGroup>,
    /// Its row in `group`.
    pub row_in_group: u32,
    /// False where the row only pads a batch.
    pub valid: bool,
}

/// What a renderer works with.
#[derive(Clone, Debug)]
pub struct RenderContext {
    /// The views of a sample.
    pub recipe: Arc<Recipe>,
    /// Seed of the augmentation.
    pub seed: u64,
    /// Counts samples that cannot be decoded and says when there are too many.
    pub bad_samples: Arc<BadSamples>,
    /// Where threads register their counters, and where each row that is taken is counted.
    pub metrics: Arc<Metrics>,
}

/// Turns row jobs into filled rows. Jobs come in the order of the stream and may be finished in any: the
/// last row of a slot publishes it, and slots are taken in step order.
///
/// For each job a renderer draws the plan from (seed, key, meta), fills the row's views, and commits the
/// lease. Where the reference CPU decoder refuses a sample, the next row of the same row group stands in
/// for it with `attempt + 1` in the key, so that all renderers show the same samples.
pub trait Renderer: Send + Sync + fmt::Debug {
    /// Threads that render.
    fn workers(&self) -> u32;

    /// Bytes of buffers, where no image has more than `max_pixels` pixels and no decoder keeps more than
    /// `max_coefficient_bytes` of coefficients.
    fn scratch_bytes(&self, max_pixels: u64, max_coefficient_bytes: u64) -> u64;

    /// Starts the stages that take `jobs`. They end when they are cancelled; jobs that end without that are
    /// an error.
    ///
    /// # Errors
    /// If threads or a device cannot be had.
    fn start(
        &self,
        jobs: Receiver<RowJob>,
        context: &RenderContext,
        stages: &mut StageSet,
    ) -> Result<(), PipelineError>;
}
