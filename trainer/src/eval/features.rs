//! Features of a whole split, in sample order.
//!
//! Encoding a large split takes hours, so what is encoded can be kept in parts on the disk: an evaluation that was
//! interrupted goes on behind its last part.

mod collect;
mod parts;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use smog_pipeline::augment::{CropRule, Recipe};
use smog_pipeline::batch::HostBatch;
use smog_pipeline::source::Source;
use smog_pipeline::stream::{BatchStream, Next, Start, StreamConfig, StreamMode};
use tch::{Device, Tensor, no_grad};

use crate::error::TrainError;
use crate::images::Normalizer;
use crate::settings::{RunConfig, StreamSection};
use crate::signals::StopRequest;
use crate::threads::ThreadBudget;
use collect::Collected;
use parts::{OpenPart, Parts};

pub use parts::Part;
pub(crate) use parts::is_own;

/// Called with the number of samples done.
pub type Progress<'a> = &'a mut dyn FnMut(u64);

/// Reads splits for evaluation: one centre crop of each sample, in order, each sample once.
#[derive(Clone, Debug)]
pub struct EvalStream {
    stream: StreamSection,
    recipe: Recipe,
    batch_size: u32,
    size: u32,
    keep: Option<Keep>,
    /// Who may interrupt where nothing is kept.
    stop: Option<StopRequest>,
}

/// Where parts are kept, and who may interrupt.
#[derive(Clone, Debug)]
struct Keep {
    dir: PathBuf,
    identity: String,
    stop: StopRequest,
    used: Arc<Mutex<Vec<PathBuf>>>,
}

/// Somebody asked to stop. What was done is kept: the same call goes on there.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("interrupted; what was done is kept{}, and the same command goes on there", kept_in(dir.as_deref()))]
pub struct Interrupted {
    /// Where features are kept, which are of use to nobody else: whoever does not go on may remove them.
    pub dir: Option<PathBuf>,
}

fn kept_in(dir: Option<&Path>) -> String {
    dir.map_or_else(String::new, |dir| format!(" in {}", dir.display()))
}

/// Batches in a part: some thousand samples.
const PART_BATCHES: u64 = 64;

/// Features of a split.
pub struct Features {
    /// `[n, F]` on the CPU, one row per sample in sample order.
    pub features: Tensor,
    /// Label per sample; -1 where there is none.
    pub labels: Vec<i64>,
    /// Samples that cannot be decoded: they have no row, and what stands in for them in a batch does not count twice.
    pub num_left_out: u64,
}

/// What an output adds where samples cannot be decoded; nothing where all can.
pub fn left_out(num_samples: u64) -> String {
    match num_samples {
        0 => String::new(),
        _ => format!(", {num_samples} that cannot be decoded left out"),
    }
}

impl EvalStream {
    /// The stream that `[eval]` asks for, for an encoder on `device`: pictures of the size of the first view unless it says
    /// otherwise, decoded by the threads of the run's budget.
    pub fn new(config: &RunConfig, device: Device) -> Self {
        let (size, resize) = (config.eval_size(), config.eval_resize());
        let workers = ThreadBudget::of_run(config, device).decode;
        Self {
            stream: StreamSection { workers, ..config.stream.clone() },
            recipe: Recipe::center(resize, size),
            batch_size: config.eval.batch_size,
            size,
            keep: None,
            stop: None,
        }
    }

    /// Ends with [`Interrupted`] where somebody asks to stop, and keeps nothing.
    #[must_use]
    pub fn interruptible(mut self, stop: Option<&StopRequest>) -> Self {
        self.stop = stop.cloned();
        self
    }

    fn is_stopped(&self) -> bool {
        let stop = self.keep.as_ref().map(|keep| &keep.stop).or(self.stop.as_ref());
        stop.is_some_and(StopRequest::is_requested)
    }

    /// Keeps parts of what it encodes in `dir`, and ends with [`Interrupted`] where somebody asks to stop.
    /// `identity` names the encoder.
    #[must_use]
    pub fn resumable(mut self, dir: &Path, identity: &str, stop: &StopRequest) -> Self {
        self.keep = Some(Keep {
            dir: dir.to_owned(),
            identity: identity.to_owned(),
            stop: stop.clone(),
            used: Arc::default(),
        });
        self
    }

    /// Removes the parts, once nobody needs them any more.
    pub fn forget_parts(&self) {
        for dir in self.keep.iter().flat_map(|keep| {
            std::mem::take(&mut *keep.used.lock().unwrap_or_else(PoisonError::into_inner))
        }) {
            if let Err(error) = std::fs::remove_dir_all(&dir)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!("cannot remove {}: {error}", dir.display());
            }
        }
    }

    /// The stream of random crops and flips that a classifier is trained on: pictures of the same size.
    pub fn training(&self, batch_size: u32, seed: u64) -> StreamConfig {
        let mut recipe = Recipe::center(self.size, self.size);
        // torchvision's RandomResizedCrop with its defaults, and RandomHorizontalFlip.
        recipe.views[0].crop =
            CropRule::RandomResized { scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] };
        recipe.views[0].flip = 0.5;
        self.stream.config(recipe, batch_size, seed, StreamMode::Endless)
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
        visit: impl FnMut(&HostBatch) -> Result<bool>,
    ) -> Result<()> {
        self.for_each_from(source, 0, visit)
    }

    fn for_each_from(
        &self,
        source: Arc<dyn Source>,
        first_step: u64,
        mut visit: impl FnMut(&HostBatch) -> Result<bool>,
    ) -> Result<()> {
        let config = self.stream.config(self.recipe.clone(), self.batch_size, 0, StreamMode::Once);
        let mut stream = BatchStream::open(source, config, Start::Step(first_step))
            .map_err(TrainError::of_evaluation)
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
        let sizes = [source.num_samples()];
        let [features] = self.features_of(source, normalizer, encode, progress, sizes, &|_| 0)?;
        Ok(features)
    }

    /// As [`EvalStream::features`], dealt out to several: `part_of` says for each sample which one it belongs to, and
    /// `sizes` how many belong to each.
    pub(super) fn features_of<const N: usize>(
        &self,
        source: Arc<dyn Source>,
        normalizer: &Normalizer,
        encode: &dyn Fn(&Tensor) -> Tensor,
        progress: Progress<'_>,
        sizes: [u64; N],
        part_of: &dyn Fn(u64) -> usize,
    ) -> Result<[Features; N]> {
        let mut all = sizes.map(Collected::new);
        let mut first = 0;
        self.for_each_part(source, normalizer, encode, progress, &mut |part| {
            for (number, collected) in all.iter_mut().enumerate() {
                collected.add(&part, &|row| part_of(first + row) == number)?;
            }
            first += part.labels.len() as u64;
            Ok(())
        })?;
        let mut finished = all.into_iter().map(Collected::finish);
        let missing = || anyhow::anyhow!("the data for evaluation holds no sample");
        let mut found = Vec::with_capacity(N);
        for features in &mut finished {
            found.push(features.ok_or_else(missing)?);
        }
        found.try_into().map_err(|_| missing())
    }

    /// As [`EvalStream::features`], but gives some thousand samples at a time to `visit`, in order: those that an
    /// interrupted call kept first.
    ///
    /// # Errors
    /// As [`EvalStream::features`]; also what `visit` says.
    pub fn for_each_part(
        &self,
        source: Arc<dyn Source>,
        normalizer: &Normalizer,
        encode: &dyn Fn(&Tensor) -> Tensor,
        progress: Progress<'_>,
        visit: &mut dyn FnMut(Part) -> Result<()>,
    ) -> Result<()> {
        let kept = self.keep.as_ref().map(|keep| self.parts(keep, &*source));
        let (mut step, mut num_done) = (0, 0);
        if let Some(kept) = &kept {
            (step, num_done) = kept.read(visit)?;
        }
        if num_done == source.num_samples() {
            return Ok(());
        }
        let mut open = OpenPart::default();
        let mut stopped = false;
        self.for_each_from(source, step, |batch| {
            let features = smog_model::guard(|| {
                no_grad(|| encode(&normalizer.view(batch, 0)).to_device(Device::Cpu))
            })?;
            open.add(batch, &features);
            step += 1;
            progress(num_done + open.labels.len() as u64);
            stopped = self.is_stopped();
            if stopped || step.is_multiple_of(PART_BATCHES) {
                let part = std::mem::take(&mut open).close()?;
                if let Some(kept) = &kept {
                    kept.write(step, num_done, &part)?;
                }
                num_done += part.labels.len() as u64;
                if !stopped {
                    visit(part)?;
                }
            }
            Ok(!stopped)
        })?;
        if stopped {
            return Err(Interrupted { dir: kept.map(|kept| kept.dir) }.into());
        }
        if open.labels.is_empty() {
            return Ok(());
        }
        let part = open.close()?;
        if let Some(kept) = &kept {
            kept.write(step, num_done, &part)?;
        }
        visit(part)
    }

    /// Where the parts of one split by one encoder are.
    fn parts(&self, keep: &Keep, source: &dyn Source) -> Parts {
        let mut hasher = blake3::Hasher::new();
        let render = format!("{:?} {} {:?}", self.recipe, self.batch_size, self.stream.render());
        // The last is the layout of a part.
        for part in [keep.identity.as_str(), source.digest(), render.as_str(), "2"] {
            hasher.update(part.as_bytes()).update(b"\n");
        }
        let digest = hasher.finalize().to_hex();
        let dir = keep.dir.join(format!(".features-{}", &digest[..16]));
        keep.used.lock().unwrap_or_else(PoisonError::into_inner).push(dir.clone());
        Parts { dir }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::RawConfig;

    #[test]
    fn as_many_threads_decode_as_the_budget_of_the_run_has() {
        let workers = |sets: &[&str], device| {
            let raw = RawConfig::preset("demo").unwrap();
            let raw = sets.iter().fold(raw, |raw, set| raw.with_set(set).unwrap());
            EvalStream::new(&raw.resolve().unwrap(), device).training(8, 0).workers
        };
        assert_eq!(workers(&["run.threads=16"], Device::Cpu), 2);
        assert_eq!(workers(&["run.threads=4"], Device::Cpu), 1);
        assert_eq!(workers(&["run.threads=16"], Device::Cuda(0)), 15);
        assert_eq!(workers(&["run.threads=16", "stream.workers=5"], Device::Cpu), 5);
    }
}
