//! Encoded samples in parts, in memory and on the disk.

use std::path::PathBuf;

use anyhow::{Context, Result};
use smog_pipeline::batch::HostBatch;
use smog_pipeline::sample::SampleKey;
use tch::Tensor;

use crate::checkpoint::{replace, tensors};

/// Consecutive samples of a split, encoded.
pub struct Part {
    /// `[n, F]` on the CPU, one row per sample in sample order.
    pub features: Tensor,
    /// Label per sample; -1 where there is none.
    pub labels: Vec<i64>,
    /// Number of each sample in the split; `None` where it cannot be decoded and another one stands in for it.
    pub samples: Vec<Option<u32>>,
}

/// Whether a row shows the sample that the order names, and not another one in the place of one that cannot be decoded:
/// that one has its own row already.
pub(crate) fn is_own(key: &SampleKey) -> bool {
    key.attempt == 0
}

/// A part under way.
#[derive(Default)]
pub(super) struct OpenPart {
    features: Vec<Tensor>,
    pub(super) labels: Vec<i64>,
    samples: Vec<Option<u32>>,
}

impl OpenPart {
    pub(super) fn add(&mut self, batch: &HostBatch, features: &Tensor) {
        let num_valid = batch.num_valid();
        self.features.push(features.narrow(0, 0, num_valid as i64));
        self.labels.extend_from_slice(&batch.labels()[..num_valid]);
        let keys = batch.keys()[..num_valid].iter();
        self.samples.extend(keys.map(|key| is_own(key).then_some(key.sample.0)));
    }

    pub(super) fn close(self) -> Result<Part> {
        let features = smog_model::guard(|| Tensor::cat(&self.features, 0))?;
        Ok(Part { features, labels: self.labels, samples: self.samples })
    }
}

/// A folder of parts, each named by the step behind its last batch.
pub(super) struct Parts {
    pub(super) dir: PathBuf,
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
    pub(super) fn read(&self, visit: &mut dyn FnMut(Part) -> Result<()>) -> Result<(u64, u64)> {
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

    pub(super) fn write(&self, step: u64, first: u64, part: &Part) -> Result<()> {
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
