//! A filled slot in the trainer's hands.

use std::sync::Arc;

use super::DeviceSlot;
use super::ring::ReadySide;
use super::rows::{BatchRows, Slot};
use crate::augment::SamplePlan;
use crate::runtime::{Cancel, StageExit};
use crate::sample::SampleKey;
use crate::stream::StreamState;

/// A complete batch: a lease of a slot. Dropping it gives the slot back to the stream, also after the
/// stream was closed.
#[derive(Debug)]
pub struct HostBatch {
    slot: Arc<Slot>,
    epoch: u32,
    position: StreamState,
}

impl HostBatch {
    /// Waits until the slot of `step` is complete.
    pub(crate) fn receive(
        ready: &ReadySide,
        step: u64,
        epoch: u32,
        position: StreamState,
        cancel: &Cancel,
    ) -> Result<Self, StageExit> {
        // With the token comes the right to read: from here to the drop of the batch no lease exists.
        Ok(Self { slot: ready.take(step, cancel)?, epoch, position })
    }

    fn rows(&self) -> BatchRows<'_> {
        // SAFETY: a batch is made from the ready token of its slot, which exists once.
        unsafe { self.slot.batch() }
    }

    /// The step that it is for, from 0.
    pub fn step(&self) -> u64 {
        self.position.next_step - 1
    }

    /// The pass over the data set, from 0.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Rows: always the batch size, also where the last rows are padding.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.slot.shape().rows as usize
    }

    /// Rows that are no padding.
    pub fn num_valid(&self) -> usize {
        self.valid().iter().filter(|&&valid| valid).count()
    }

    /// Views per sample.
    pub fn num_views(&self) -> usize {
        self.slot.shape().view_sizes.len()
    }

    /// Side of view `view` in pixels.
    ///
    /// # Panics
    /// If there is no such view.
    pub fn view_size(&self, view: usize) -> u32 {
        self.slot.shape().view_sizes[view]
    }

    /// The slot on a device, where its pixels lie on one.
    pub fn device_slot(&self) -> Option<&DeviceSlot> {
        self.slot.device()
    }

    /// Pixels of view `view` of all rows: RGB8 as `[rows, side, side, 3]`. Empty where they lie on a device.
    ///
    /// # Panics
    /// If there is no such view.
    pub fn view(&self, view: usize) -> &[u8] {
        // SAFETY: a batch is made from the ready token of its slot, which exists once.
        unsafe { self.slot.view(view) }
    }

    /// Label per row; -1 where there is none.
    pub fn labels(&self) -> &[i64] {
        self.rows().labels
    }

    /// What is shown in each row, after substitution.
    pub fn keys(&self) -> &[SampleKey] {
        self.rows().keys
    }

    /// The augmentation that was applied to each row.
    pub fn plans(&self) -> &[SamplePlan] {
        self.rows().plans
    }

    /// False for rows that only pad the last batch of a finite stream.
    pub fn valid(&self) -> &[bool] {
        self.rows().valid
    }

    /// The stream's position after this batch: what to save with a checkpoint that has consumed it.
    pub fn position(&self) -> &StreamState {
        &self.position
    }
}

impl Drop for HostBatch {
    fn drop(&mut self) {
        self.slot.release();
    }
}
