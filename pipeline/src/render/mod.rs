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
use crate::codec::CodecError;
use crate::fetch::HeldGroup;
use crate::runtime::metrics::Metrics;
use crate::runtime::{FailureCause, PipelineError, StageSet};
use crate::sample::{SampleId, SampleKey};

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

/// The sample that a row came to show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shown<T> {
    /// Its row in the row group.
    pub row: u32,
    /// Its key, with the number of samples that were refused before it.
    pub key: SampleKey,
    /// What the attempt gave.
    pub result: T,
}

impl RowJob {
    /// Row and key of the `attempt`-th choice: the rows of the row group from the job's own on, beginning again at the
    /// first after the last. This needs no further read and moves no later sample.
    pub fn choice(&self, attempt: u32) -> (u32, SampleKey) {
        let row =
            (u64::from(self.row_in_group) + u64::from(attempt)) % u64::from(self.group.rows());
        let sample = SampleId(self.group.first_sample.0 + row as u32);
        let attempt = attempt.min(u32::from(u16::MAX)) as u16;
        (row as u32, SampleKey { sample, attempt, ..self.key })
    }

    /// Tries one choice after the other until `attempt` gives something, and counts what is refused: what every renderer
    /// does with bad samples.
    ///
    /// # Errors
    /// If more samples were refused than is borne, none of the row group is left, or `attempt` fails otherwise.
    pub fn attempts<T, E: From<FailureCause>>(
        &mut self,
        bad_samples: &BadSamples,
        mut attempt: impl FnMut(&mut Self, u32, &SampleKey) -> Result<Result<T, CodecError>, E>,
    ) -> Result<Shown<T>, E> {
        let rows = self.group.rows();
        let mut refusal = None;
        for number in 0..rows {
            let (row, key) = self.choice(number);
            match attempt(self, row, &key)? {
                Ok(result) => {
                    bad_samples.shown();
                    return Ok(Shown { row, key, result });
                }
                Err(error) => {
                    let path = &self.group.paths[row as usize];
                    bad_samples.refused(key.sample, path, &error)?;
                    refusal = Some((path.clone(), error));
                }
            }
        }
        let (path, reason) =
            refusal.map_or_else(Default::default, |(path, error)| (path, error.to_string()));
        Err(FailureCause::NoSubstitute { row_group: self.group.id.0, rows, path, reason }.into())
    }
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
/// for it with `attempt + 1` in the key ([`RowJob::attempts`]), so that all renderers show the same samples.
pub trait Renderer: Send + Sync + fmt::Debug {
    /// Threads that render.
    fn workers(&self) -> u32;

    /// Rows that may wait in the queue in front of it: enough that no thread finds it empty while the next row comes.
    fn queue_rows(&self) -> u32 {
        2 * self.workers()
    }

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
