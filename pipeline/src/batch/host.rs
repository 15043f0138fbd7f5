//! A filled slot in the trainer's hands.

use crate::augment::SamplePlan;
use crate::sample::SampleKey;
use crate::stream::StreamState;

/// A complete batch: a lease of a slot. Dropping it gives the slot back to the stream, also after the
/// stream was closed.
#[derive(Debug)]
pub struct HostBatch {
    state: StreamState,
}

impl HostBatch {
    /// The step that it is for, from 0.
    pub fn step(&self) -> u64 {
        self.state.next_step - 1
    }

    /// The pass over the data set, from 0.
    pub fn epoch(&self) -> u32 {
        0
    }

    /// Rows: always the batch size, also where the last rows are padding.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        0
    }

    /// Views per sample.
    pub fn num_views(&self) -> usize {
        0
    }

    /// Side of view `view` in pixels.
    pub fn view_size(&self, view: usize) -> u32 {
        view as u32
    }

    /// Pixels of view `view` of all rows: RGB8 as `[rows, side, side, 3]`.
    pub fn view(&self, view: usize) -> &[u8] {
        let _ = view;
        &[]
    }

    /// Label per row; -1 where there is none.
    pub fn labels(&self) -> &[i64] {
        &[]
    }

    /// What is shown in each row, after substitution.
    pub fn keys(&self) -> &[SampleKey] {
        &[]
    }

    /// The augmentation that was applied to each row.
    pub fn plans(&self) -> &[SamplePlan] {
        &[]
    }

    /// False for rows that only pad the last batch of a finite stream.
    pub fn valid(&self) -> &[bool] {
        &[]
    }

    /// The stream's position after this batch: what to save with a checkpoint that has consumed it.
    pub fn position(&self) -> &StreamState {
        &self.state
    }
}
