//! From steps to positions: epochs, batches and ranks are arithmetic.

use crate::sample::Ordinal;
use crate::stream::StreamMode;

/// How the order of an epoch is cut into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Positions {
    /// Samples in the data set; not 0.
    pub num_samples: u32,
    /// Rows per batch of this rank.
    pub batch_size: u32,
    /// This rank.
    pub rank: u32,
    /// Number of ranks.
    pub world_size: u32,
    /// Whether the rest of an epoch is left out or padded.
    pub mode: StreamMode,
}

/// What a row of a batch shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Index into the epoch's order.
    pub in_epoch: u32,
    /// False where the row only pads the last batch.
    pub valid: bool,
}

impl Positions {
    /// Samples per step over all ranks.
    pub fn global_batch(&self) -> u64 {
        u64::from(self.batch_size) * u64::from(self.world_size)
    }

    /// Steps in an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        let num_samples = u64::from(self.num_samples);
        match self.mode {
            StreamMode::Endless => num_samples / self.global_batch(),
            StreamMode::Once => num_samples.div_ceil(self.global_batch()),
        }
    }

    /// The step after the last one; `None` for an endless stream.
    pub fn end(&self) -> Option<u64> {
        match self.mode {
            StreamMode::Endless => None,
            StreamMode::Once => Some(self.steps_per_epoch()),
        }
    }

    /// Epoch of `step`, and its number within the epoch.
    pub fn split(&self, step: u64) -> (u32, u64) {
        let steps = self.steps_per_epoch();
        // Opening a stream beyond epoch 2^32 is refused, and no run gets there.
        ((step / steps) as u32, step % steps)
    }

    /// Row `row` of this rank in step `step_in_epoch` of an epoch.
    pub fn row(&self, step_in_epoch: u64, row: u32) -> Position {
        let wanted = step_in_epoch * self.global_batch()
            + u64::from(self.rank) * u64::from(self.batch_size)
            + u64::from(row);
        let last = u64::from(self.num_samples) - 1;
        Position { in_epoch: wanted.min(last) as u32, valid: wanted <= last }
    }

    /// Number of `position` in the endless order, in which what an epoch leaves out does not count.
    pub fn ordinal(&self, epoch: u32, position: Position) -> Ordinal {
        let per_epoch = match self.mode {
            StreamMode::Endless => self.steps_per_epoch() * self.global_batch(),
            StreamMode::Once => u64::from(self.num_samples),
        };
        Ordinal(u64::from(epoch) * per_epoch + u64::from(position.in_epoch))
    }
}
