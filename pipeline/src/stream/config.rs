//! What a stream is made from.

use serde::{Deserialize, Serialize};

use crate::augment::Recipe;
use crate::order::OrderSettings;
use crate::render::sample::RenderSettings;
use crate::render::{BadSampleLimit, BadSamplePolicy};
use crate::runtime::PipelineError;

/// Cores that are left to the trainer where the number of workers is not given.
const RESERVED_CORES: u32 = 1;
/// More threads than any machine has cores are a mistake.
const MAX_WORKERS: u32 = 1024;

/// Whether the stream ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamMode {
    /// Epochs follow one another for ever; what does not fill the last batch of an epoch is left out of it: other
    /// samples in each epoch, but with [`OrderSettings::Sequential`] always the last ones.
    #[default]
    Endless,
    /// One epoch; the last batch is padded by repeating its last sample, and [`HostBatch::valid`] says
    /// which rows count.
    ///
    /// [`HostBatch::valid`]: crate::batch::HostBatch::valid
    Once,
}

/// All settings of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamConfig {
    /// Which views are made of a sample.
    pub recipe: Recipe,
    /// How they are made.
    pub render: RenderSettings,
    /// Samples per batch of this rank.
    pub batch_size: u32,
    /// Seed of order and augmentation.
    pub seed: u64,
    /// Order of samples within an epoch.
    pub order: OrderSettings,
    /// Whether the stream ends.
    pub mode: StreamMode,
    /// Batches in flight: being filled, ready, or held by the trainer.
    pub num_slots: u32,
    /// Threads that decode and augment; 0 leaves one core to the trainer and takes the rest.
    pub workers: u32,
    /// Bytes that slots, row groups and scratch may take together.
    pub memory_budget_bytes: u64,
    /// How many undecodable samples are borne.
    pub bad_samples: BadSamplePolicy,
    /// This process among `world_size`.
    pub rank: u32,
    /// Processes that share each global batch of `batch_size * world_size` samples; rank `r` takes rows
    /// `r * batch_size ..` of it.
    pub world_size: u32,
}

impl StreamConfig {
    /// Slots where nothing else is said: one with the trainer, one ready, one being filled.
    pub const DEFAULT_NUM_SLOTS: u32 = 3;
    /// Memory budget where nothing else is said: 4 GiB.
    pub const DEFAULT_MEMORY_BUDGET_BYTES: u64 = 4 << 30;

    /// The settings with everything but recipe and batch size left at its default.
    pub fn new(recipe: Recipe, batch_size: u32) -> Self {
        Self {
            recipe,
            render: RenderSettings::default(),
            batch_size,
            seed: 0,
            order: OrderSettings::default(),
            mode: StreamMode::default(),
            num_slots: Self::DEFAULT_NUM_SLOTS,
            workers: 0,
            memory_budget_bytes: Self::DEFAULT_MEMORY_BUDGET_BYTES,
            bad_samples: BadSamplePolicy::default(),
            rank: 0,
            world_size: 1,
        }
    }

    /// Number of workers, with 0 resolved: all cores but one, which is left to the trainer.
    pub fn resolved_workers(&self) -> u32 {
        if self.workers > 0 {
            return self.workers;
        }
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        cores.saturating_sub(RESERVED_CORES).max(1)
    }

    /// Checks the settings by themselves and against the number of samples.
    pub(super) fn validate(&self, num_samples: u64) -> Result<(), PipelineError> {
        self.recipe.validate()?;
        let check = |key, value: u64, fits: bool, expected: &dyn Fn() -> String| {
            if fits {
                Ok(())
            } else {
                Err(PipelineError::Setting { key, value: value.to_string(), expected: expected() })
            }
        };
        let workers = self.workers.into();
        check("num_samples", num_samples, num_samples > 0, &|| "at least one sample".into())?;
        check("num_samples", num_samples, num_samples <= u64::from(u32::MAX), &|| {
            format!("at most {}", u32::MAX)
        })?;
        check("batch_size", self.batch_size.into(), self.batch_size > 0, &|| "at least 1".into())?;
        check("world_size", self.world_size.into(), self.world_size > 0, &|| "at least 1".into())?;
        check("rank", self.rank.into(), self.rank < self.world_size, &|| {
            format!("below world_size, which is {}", self.world_size)
        })?;
        check("num_slots", self.num_slots.into(), (2..=1024).contains(&self.num_slots), &|| {
            "2 to 1024".into()
        })?;
        check("workers", workers, self.workers <= MAX_WORKERS, &|| {
            format!("at most {MAX_WORKERS}")
        })?;
        if let OrderSettings::Window { row_groups } = self.order {
            check("window", row_groups.into(), row_groups > 0, &|| "at least 1 row group".into())?;
        }
        if let BadSampleLimit::Rate(rate) = self.bad_samples.max
            && !(0.0..=1.0).contains(&rate)
        {
            return Err(PipelineError::Setting {
                key: "bad_samples",
                value: rate.to_string(),
                expected: "a rate from 0 to 1".into(),
            });
        }
        let global_batch = self.global_batch();
        let fills = self.mode == StreamMode::Once || global_batch <= num_samples;
        check("batch_size", self.batch_size.into(), fills, &|| {
            format!(
                "at most {num_samples} over all {} ranks: the data set has no more samples",
                self.world_size
            )
        })
    }

    /// Samples per batch over all ranks.
    pub fn global_batch(&self) -> u64 {
        u64::from(self.batch_size) * u64::from(self.world_size)
    }
}
