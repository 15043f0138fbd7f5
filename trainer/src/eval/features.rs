//! Features of a whole split, in sample order.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use smog_pipeline::augment::Recipe;
use smog_pipeline::batch::HostBatch;
use smog_pipeline::source::Source;
use smog_pipeline::stream::{BatchStream, Next, Start, StreamMode};
use tch::{Tensor, no_grad};

use crate::images::Normalizer;
use crate::settings::{EvalSection, RunConfig, StreamSection};

/// Called with the number of samples done.
pub type Progress<'a> = &'a mut dyn FnMut(u64);

/// Reads splits for evaluation: one centre crop of each sample, in order, each sample once.
#[derive(Clone, Debug)]
pub struct EvalStream {
    stream: StreamSection,
    recipe: Recipe,
    batch_size: u32,
    size: u32,
}

/// Features of a split.
pub struct Features {
    /// `[n, F]` on the CPU, one row per sample in sample order.
    pub features: Tensor,
    /// Label per sample; -1 where there is none.
    pub labels: Vec<i64>,
}

impl EvalStream {
    /// The stream that `[eval]` asks for: pictures of the size of the first view unless it says otherwise.
    pub fn new(config: &RunConfig) -> Self {
        let EvalSection { size, resize, batch_size, .. } = config.eval;
        let size = if size > 0 { size } else { config.augment.view_sizes()[0] };
        let resize = match resize {
            0 if size >= 64 => (size * 8).div_ceil(7),
            0 => size,
            given => given,
        };
        Self {
            stream: config.stream.clone(),
            recipe: Recipe::center(resize, size),
            batch_size,
            size,
        }
    }

    /// Side of the pictures in pixels.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Calls `visit` with each batch of `source`; stops early where it answers `false`.
    ///
    /// # Errors
    /// If the source cannot be read or too many samples are bad.
    pub fn for_each(
        &self,
        source: Arc<dyn Source>,
        mut visit: impl FnMut(&HostBatch) -> Result<bool>,
    ) -> Result<()> {
        let config = self.stream.config(self.recipe.clone(), self.batch_size, 0, StreamMode::Once);
        let mut stream = BatchStream::open(source, config, Start::Step(0))
            .context("cannot open the data for evaluation")?;
        while let Next::Batch(batch) =
            stream.next_batch().context("reading the data for evaluation failed")?
        {
            if !visit(&batch)? {
                return Ok(());
            }
        }
        stream.close().context("reading the data for evaluation failed")
    }

    /// Encodes every sample of `source` with `encode`, which takes normalised images `[B, 3, H, W]` and
    /// gives features `[B, F]`.
    ///
    /// # Errors
    /// If the source cannot be read, too many samples are bad, or libtorch refuses an operation.
    pub fn features(
        &self,
        source: Arc<dyn Source>,
        normalizer: &Normalizer,
        encode: &dyn Fn(&Tensor) -> Tensor,
        progress: Progress<'_>,
    ) -> Result<Features> {
        let mut rows = Vec::new();
        let mut labels = Vec::new();
        self.for_each(source, |batch| {
            let features = smog_model::guard(|| {
                no_grad(|| encode(&normalizer.view(batch, 0)).to_device(tch::Device::Cpu))
            })?;
            let num_valid = batch.num_valid();
            rows.push(features.narrow(0, 0, num_valid as i64));
            labels.extend_from_slice(&batch.labels()[..num_valid]);
            progress(labels.len() as u64);
            Ok(true)
        })?;
        ensure!(!rows.is_empty(), "the data for evaluation holds no sample");
        let features = smog_model::guard(|| Tensor::cat(&rows, 0))?;
        Ok(Features { features, labels })
    }
}
