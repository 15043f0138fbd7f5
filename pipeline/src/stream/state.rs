//! The position of a stream: what a checkpoint saves, a few hundred bytes.

use serde::{Deserialize, Serialize};

use crate::order::OrderSettings;

/// Where a stream stands and which stream it is. `next_step` counts what was handed out, never what was
/// read ahead, and runs on over epochs: the end of one epoch *is* the start of the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamState {
    /// Version of this record, [`StreamState::VERSION`].
    pub version: u32,
    /// Content of the data set ([`Source::digest`](crate::source::Source::digest)).
    pub dataset_digest: String,
    /// Order of samples.
    pub order: OrderSettings,
    /// Augmentation ([`Recipe::digest`](crate::augment::Recipe)).
    pub recipe_digest: String,
    /// Seed of order and augmentation.
    pub seed: u64,
    /// Samples per step over all ranks.
    pub global_batch: u64,
    /// Ranks; may differ on resume as long as `global_batch` does not.
    pub world_size: u32,
    /// The step whose batch comes next.
    pub next_step: u64,
}

impl StreamState {
    /// Version that this crate writes.
    pub const VERSION: u32 = 1;
}
