//! Features of a whole split, in sample order.
//!
//! Encoding a large split takes hours, so what is encoded can be kept in parts on the disk: an evaluation that was
//! interrupted goes on behind its last part.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use smog_pipeline::augment::{CropRule, Recipe};
use smog_pipeline::batch::HostBatch;
use smog_pipeline::source::Source;
use smog_pipeline::stream::{BatchStream, Next, Start, StreamConfig, StreamMode};
use tch::{Tensor, no_grad};

use crate::checkpoint::{replace, tensors};
use crate::error::TrainError;
use crate::images::Normalizer;
use crate::settings::{RunConfig, StreamSection};
use crate::signals::StopRequest;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted; what was done is kept, and the same command goes on there")]
pub struct Interrupted;

/// Batches in a part: some thousand samples.
const PART_BATCHES: u64 = 64;

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
        let (size, resize) = (config.eval_size(), config.eval_resize());
        Self {
            stream: config.stream.clone(),
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
        let (mut features, mut labels) = (Vec::new(), Vec::new());
        self.for_each_part(source, normalizer, encode, progress, &mut |part| {
            features.push(part.features);
            labels.extend(part.labels);
            Ok(())
        })?;
        ensure!(!features.is_empty(), "the data for evaluation holds no sample");
        let features = smog_model::guard(|| Tensor::cat(&features, 0))?;
        Ok(Features { features, labels })
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
                no_grad(|| encode(&normalizer.view(batch, 0)).to_device(tch::Device::Cpu))
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
            return Err(Interrupted.into());
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

/// Consecutive samples of a split, encoded.
pub struct Part {
    /// `[n, F]` on the CPU, one row per sample in sample order.
    pub features: Tensor,
    /// Label per sample; -1 where there is none.
    pub labels: Vec<i64>,
    /// Number of each sample in the split; `None` where it cannot be decoded and another one stands in for it.
    pub samples: Vec<Option<u32>>,
}

/// A part under way.
#[derive(Default)]
struct OpenPart {
    features: Vec<Tensor>,
    labels: Vec<i64>,
    samples: Vec<Option<u32>>,
}

impl OpenPart {
    fn add(&mut self, batch: &HostBatch, features: &Tensor) {
        let num_valid = batch.num_valid();
        self.features.push(features.narrow(0, 0, num_valid as i64));
        self.labels.extend_from_slice(&batch.labels()[..num_valid]);
        let keys = batch.keys()[..num_valid].iter();
        self.samples.extend(keys.map(|key| (key.attempt == 0).then_some(key.sample.0)));
    }

    fn close(self) -> Result<Part> {
        let features = smog_model::guard(|| Tensor::cat(&self.features, 0))?;
        Ok(Part { features, labels: self.labels, samples: self.samples })
    }
}

/// A folder of parts, each named by the step behind its last batch.
struct Parts {
    dir: PathBuf,
}

const PART_FEATURES: &str = "features";
const PART_LABELS: &str = "labels";
const PART_SAMPLES: &str = "samples";
const PART_FIRST: &str = "first_sample";
/// In place of a sample's number.
const STANDS_IN: i64 = -1;

impl Parts {
    /// Gives all parts that follow one another without a gap to `visit`; answers with the step behind them and the
    /// number of their samples.
    fn read(&self, visit: &mut dyn FnMut(Part) -> Result<()>) -> Result<(u64, u64)> {
        let mut steps: Vec<u64> = std::fs::read_dir(&self.dir)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                entry.file_name().to_str()?.strip_suffix(".safetensors")?.parse().ok()
            })
            .collect();
        steps.sort_unstable();
        let (mut next, mut num_samples) = (0, 0);
        for step in steps {
            let path = self.path(step);
            let part = tensors::read(&path)?;
            let find = |name: &str| {
                part.get(name).with_context(|| format!("{} has no tensor {name}", path.display()))
            };
            if find(PART_FIRST)?.int64_value(&[0]) != num_samples as i64 {
                break;
            }
            let samples = Vec::<i64>::try_from(find(PART_SAMPLES)?)?;
            let part = Part {
                features: find(PART_FEATURES)?.shallow_clone(),
                labels: Vec::try_from(find(PART_LABELS)?)?,
                samples: samples.into_iter().map(|sample| u32::try_from(sample).ok()).collect(),
            };
            (next, num_samples) = (step, num_samples + part.labels.len() as u64);
            visit(part)?;
        }
        Ok((next, num_samples))
    }

    fn write(&self, step: u64, first: u64, part: &Part) -> Result<()> {
        std::fs::create_dir_all(&self.dir)
            .with_context(|| format!("cannot create {}", self.dir.display()))?;
        let samples = part.samples.iter().map(|sample| sample.map_or(STANDS_IN, i64::from));
        let tensors = [
            (PART_FEATURES.to_owned(), part.features.shallow_clone()),
            (PART_LABELS.to_owned(), Tensor::from_slice(&part.labels)),
            (PART_SAMPLES.to_owned(), Tensor::from_slice(&samples.collect::<Vec<_>>())),
            (PART_FIRST.to_owned(), Tensor::from_slice(&[first as i64])),
        ];
        Ok(replace(&self.path(step), |temporary| tensors::write(temporary, &tensors))?)
    }

    fn path(&self, step: u64) -> PathBuf {
        self.dir.join(format!("{step:08}.safetensors"))
    }
}
