//! All slots, and the tokens that say whose turn it is.

use std::sync::Arc;

use super::rows::{RowLease, Slot};
use super::slot::{BatchShape, SlotMemory};
use super::sync::{TokenReceiver, token_channel};
use crate::runtime::metrics::Metrics;
use crate::runtime::{Cancel, PipelineError, StageExit};

/// Stands for a slot on its way through one of its two channels. Not to be cloned: there is one per slot.
#[derive(Debug)]
pub(super) struct Token(());

impl Token {
    pub(super) fn new() -> Self {
        Self(())
    }
}

/// The dispatcher's end of the ring.
#[derive(Debug)]
pub(crate) struct FillSide {
    slots: Vec<Arc<Slot>>,
    free: Vec<TokenReceiver>,
}

/// The trainer's end of the ring.
#[derive(Debug)]
pub(crate) struct ReadySide {
    slots: Vec<Arc<Slot>>,
    ready: Vec<TokenReceiver>,
}

/// Allocates `num_slots` slots, all free.
///
/// # Errors
/// If the memory cannot be had.
pub(crate) fn ring(
    shape: &BatchShape,
    num_slots: u32,
    memory: &dyn SlotMemory,
    metrics: &Arc<Metrics>,
) -> Result<(FillSide, ReadySide), PipelineError> {
    let mut fill = FillSide { slots: Vec::new(), free: Vec::new() };
    let mut done = ReadySide { slots: Vec::new(), ready: Vec::new() };
    metrics.new_ring();
    for _ in 0..num_slots {
        let (free_sender, free) = token_channel();
        let (ready_sender, ready) = token_channel();
        let slot =
            Arc::new(Slot::new(shape, memory, ready_sender, free_sender, Arc::clone(metrics))?);
        slot.release();
        fill.slots.push(Arc::clone(&slot));
        fill.free.push(free);
        done.slots.push(slot);
        done.ready.push(ready);
    }
    Ok((fill, done))
}

impl FillSide {
    /// Waits until the slot of `step` is free and begins to fill it.
    ///
    /// # Errors
    /// If the stream was cancelled.
    pub(crate) fn begin(&mut self, step: u64, cancel: &Cancel) -> Result<Filling, StageExit> {
        let index = (step % self.slots.len() as u64) as usize;
        let Token(()) = self.free[index].recv(cancel)?;
        let slot = Arc::clone(&self.slots[index]);
        slot.begin();
        Ok(Filling { slot, next_row: 0 })
    }
}

/// A slot whose rows are being handed out.
#[derive(Debug)]
pub(crate) struct Filling {
    slot: Arc<Slot>,
    next_row: u32,
}

impl Filling {
    /// The lease of the next row; each row once.
    pub(crate) fn next_row(&mut self) -> Option<RowLease> {
        let row = self.next_row;
        if row == self.slot.shape().rows {
            return None;
        }
        self.next_row += 1;
        // SAFETY: the free token of this round was taken in `begin`, and the counter gives each row once.
        Some(unsafe { RowLease::new(Arc::clone(&self.slot), row) })
    }
}

impl ReadySide {
    /// Waits until the slot of `step` is complete.
    pub(super) fn take(&self, step: u64, cancel: &Cancel) -> Result<Arc<Slot>, StageExit> {
        let index = (step % self.slots.len() as u64) as usize;
        let Token(()) = self.ready[index].recv(cancel)?;
        let slot = Arc::clone(&self.slots[index]);
        slot.taken();
        Ok(slot)
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use crossbeam::channel::bounded;

    use super::*;
    use crate::batch::{HeapMemory, HostBatch};
    use crate::render::sample::RowViews;
    use crate::sample::{Ordinal, SampleId, SampleKey};
    use crate::stream::StreamState;

    const SHAPE: BatchShape = BatchShape { rows: 8, view_sizes: Vec::new() };

    fn state(next_step: u64) -> StreamState {
        StreamState {
            version: StreamState::VERSION,
            dataset_digest: String::new(),
            order: crate::order::OrderSettings::Full,
            recipe_digest: String::new(),
            seed: 0,
            global_batch: 8,
            world_size: 1,
            next_step,
        }
    }

    fn key(ordinal: u64) -> SampleKey {
        SampleKey {
            epoch: 0,
            ordinal: Ordinal(ordinal),
            sample: SampleId(ordinal as u32),
            attempt: 0,
        }
    }

    /// Fills a row of each view with a byte that names step and row.
    fn fill(mut lease: RowLease, step: u64) {
        let row = lease.row();
        let value = (step * 8 + u64::from(row)) as u8;
        let mut parts = lease.parts();
        parts.views.view(0).fill(value);
        parts.views.view(1).fill(!value);
        lease.commit(key(u64::from(value)), i64::from(row), true);
    }

    #[test]
    fn rows_that_several_threads_fill_arrive_whole_and_slots_go_round() {
        let shape = BatchShape { view_sizes: vec![4, 2], ..SHAPE };
        let metrics = Arc::new(Metrics::default());
        let (mut fill_side, ready) = ring(&shape, 2, &HeapMemory, &metrics).expect("memory");
        let (sender, jobs) = bounded::<(RowLease, u64)>(4);
        let cancel = Cancel::default();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let jobs = jobs.clone();
                scope.spawn(move || jobs.into_iter().for_each(|(lease, step)| fill(lease, step)));
            }
            let stop = cancel.clone();
            scope.spawn(move || {
                for step in 0..20 {
                    let mut filling = fill_side.begin(step, &stop).expect("not cancelled");
                    while let Some(lease) = filling.next_row() {
                        sender.send((lease, step)).expect("workers live");
                    }
                }
            });
            for step in 0..20 {
                let batch =
                    HostBatch::receive(&ready, step, 0, state(step + 1), &cancel).expect("ready");
                assert_eq!(batch.len(), 8);
                for row in 0..8 {
                    let value = (step * 8 + row as u64) as u8;
                    assert!(batch.view(0)[row * 48..][..48].iter().all(|&byte| byte == value));
                    assert!(batch.view(1)[row * 12..][..12].iter().all(|&byte| byte == !value));
                    assert_eq!(batch.keys()[row], key(u64::from(value)));
                    assert_eq!(batch.labels()[row], row as i64);
                }
            }
        });
    }

    #[test]
    fn a_batch_outlives_its_ring() {
        let shape = BatchShape { view_sizes: vec![4, 2], ..SHAPE };
        let metrics = Arc::new(Metrics::default());
        let (mut fill_side, ready) = ring(&shape, 1, &HeapMemory, &metrics).expect("memory");
        let cancel = Cancel::default();
        let mut filling = fill_side.begin(0, &cancel).expect("free");
        while let Some(lease) = filling.next_row() {
            fill(lease, 0);
        }
        let batch = HostBatch::receive(&ready, 0, 0, state(1), &cancel).expect("ready");
        drop((fill_side, ready, filling));
        assert_eq!(batch.view(0)[48], 1);
        drop(batch);
    }

    #[test]
    fn a_slot_is_not_free_before_its_batch_is_dropped() {
        let shape = BatchShape { view_sizes: vec![4, 2], ..SHAPE };
        let metrics = Arc::new(Metrics::default());
        let (mut fill_side, ready) = ring(&shape, 1, &HeapMemory, &metrics).expect("memory");
        let cancel = Cancel::default();
        let mut filling = fill_side.begin(0, &cancel).expect("free");
        while let Some(lease) = filling.next_row() {
            assert_eq!(fill_side.free[0].len(), 0);
            fill(lease, 0);
        }
        let batch = HostBatch::receive(&ready, 0, 0, state(1), &cancel).expect("ready");
        assert_eq!(fill_side.free[0].len(), 0);
        drop(batch);
        assert_eq!(fill_side.free[0].len(), 1);
    }
}
