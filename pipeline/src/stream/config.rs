//! What a stream is made from.

use serde::{Deserialize, Serialize};

use crate::augment::Recipe;
use crate::order::OrderSettings;
use crate::render::BadSamplePolicy;
use crate::render::sample::RenderSettings;

/// Whether the stream ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamMode {
    /// Epochs follow one another for ever; what does not fill the last batch of an epoch is left out of it
    /// (other samples in each epoch).
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

    /// Samples per batch over all ranks.
    pub fn global_batch(&self) -> u64 {
        u64::from(self.batch_size) * u64::from(self.world_size)
    }
}
