//! Exclusive rows of a shared slot: the only place where several threads write one block of memory.
//!
//! # Why this is sound
//! For each slot exactly one of these exists at any time: its *free* token, a [`Filling`], one
//! [`RowLease`] per row that is not finished, its *ready* token, or a [`HostBatch`]. They are made from one
//! another by value and none can be cloned, so
//! - a lease is the only way to write its row, and there is one lease per row and round;
//! - whole blocks are read through a `HostBatch` only, which exists after all leases of the round were
//!   given up and before the next round begins.
//!
//! The memory order follows the tokens. A worker's writes happen before its decrement of `remaining`
//! (release); the worker that takes it to zero sees all of them (acquire) before it sends the ready token,
//! and the trainer receives that token before it reads. The trainer's reads happen before it sends the free
//! token, which the dispatcher receives before it makes new leases.
//!
//! `model.rs` has loom try every order of events against these claims; `make miri` and `make sanitize` run the
//! same code on real memory.
//!
//! A lease that is dropped without being committed leaves its slot unfinished for ever. That happens only
//! when a stream fails or stops, and then the ring is given up as a whole.
//!
//! [`Filling`]: super::ring::Filling
//! [`HostBatch`]: super::HostBatch

use std::cell::UnsafeCell;
use std::fmt;
use std::slice;
use std::sync::Arc;

use super::ring::Token;
use super::slot::{BatchShape, DeviceSlot, SlotBlock, SlotMemory};
use super::sync::{AtomicU32, Ordering, TokenSender, Watch};
use crate::augment::SamplePlan;
use crate::render::sample::RowViews;
use crate::runtime::metrics::{Metrics, SlotMeter, SlotState};
use crate::runtime::{COLLATE, PipelineError};
use crate::sample::{Ordinal, SampleId, SampleKey};

/// One value per row.
struct Column<T> {
    rows: Box<[UnsafeCell<T>]>,
    watch: Watch,
}

// SAFETY: rows are reached through leases and batches only, which never give two threads the same row at
// once (module documentation), so sharing the column moves values between threads but shares none.
unsafe impl<T: Send> Sync for Column<T> {}

impl<T: Clone> Column<T> {
    fn new(rows: u32, value: T) -> Self {
        let watch = Watch::new(rows);
        Self { rows: (0..rows).map(|_| UnsafeCell::new(value.clone())).collect(), watch }
    }

    /// # Safety
    /// The caller holds the lease of `row` and no other reference to this value.
    #[expect(clippy::mut_from_ref, reason = "the lease of the row is what makes it exclusive")]
    unsafe fn row(&self, row: u32) -> &mut T {
        self.watch.write(row);
        // SAFETY: no other reference exists, by the caller's promise.
        unsafe { &mut *self.rows[row as usize].get() }
    }

    /// # Safety
    /// The caller holds the slot as a batch: no lease exists.
    unsafe fn all(&self) -> &[T] {
        self.watch.read_all();
        // SAFETY: `UnsafeCell<T>` has the layout of `T`, and nobody writes while the batch is held.
        unsafe { slice::from_raw_parts(self.rows.as_ptr().cast::<T>(), self.rows.len()) }
    }
}

/// One slot: memory for the views of a batch, and what belongs to its rows.
pub(crate) struct Slot {
    shape: BatchShape,
    /// One per view; none where the pixels lie on a device.
    views: Vec<Box<dyn SlotBlock>>,
    device: Option<DeviceSlot>,
    pixels: Watch,
    labels: Column<i64>,
    keys: Column<SampleKey>,
    valid: Column<bool>,
    plans: Column<SamplePlan>,
    remaining: AtomicU32,
    ready: TokenSender,
    free: TokenSender,
    metrics: Arc<Metrics>,
    meter: Arc<SlotMeter>,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl Slot {
    pub(super) fn new(
        shape: &BatchShape,
        memory: &dyn SlotMemory,
        ready: TokenSender,
        free: TokenSender,
        metrics: Arc<Metrics>,
    ) -> Result<Self, PipelineError> {
        let refused = |problem| PipelineError::SlotMemory { bytes: shape.bytes(), problem };
        let device = memory.device_slot(shape).map_err(refused)?;
        let num_blocks = if device.is_some() { 0 } else { shape.view_sizes.len() };
        let views = (0..num_blocks)
            .map(|view| {
                let bytes = shape.row_bytes(view) * shape.rows as usize;
                let block = memory.allocate(bytes).and_then(|block| {
                    let len = block.len();
                    if len == bytes { Ok(block) } else { Err(format!("it gave {len} bytes")) }
                });
                block.map_err(|problem| PipelineError::SlotMemory { bytes: bytes as u64, problem })
            })
            .collect::<Result<_, _>>()?;
        let no_key = SampleKey { epoch: 0, ordinal: Ordinal(0), sample: SampleId(0), attempt: 0 };
        let rows = shape.rows;
        Ok(Self {
            shape: shape.clone(),
            views,
            device,
            pixels: Watch::new(rows),
            labels: Column::new(rows, -1),
            keys: Column::new(rows, no_key),
            valid: Column::new(rows, false),
            plans: Column::new(rows, SamplePlan::default()),
            remaining: AtomicU32::new(0),
            ready,
            free,
            meter: metrics.slot(),
            metrics,
        })
    }

    pub(super) fn shape(&self) -> &BatchShape {
        &self.shape
    }

    pub(super) fn device(&self) -> Option<&DeviceSlot> {
        self.device.as_ref()
    }

    /// Begins a round. The caller holds the free token and makes one lease per row.
    pub(super) fn begin(&self) {
        self.meter.enter(SlotState::Filling);
        // The channel that carries the leases orders this before any commit.
        self.remaining.store(self.shape.rows, Ordering::Relaxed);
    }

    /// Notes that the ready token was taken.
    pub(super) fn taken(&self) {
        self.meter.enter(SlotState::Held);
        self.metrics.ready.took();
    }

    /// Gives the slot back after its batch was dropped.
    pub(super) fn release(&self) {
        self.meter.enter(SlotState::Free);
        self.free.send(Token::new());
    }

    /// # Safety
    /// The caller holds the slot as a batch.
    pub(super) unsafe fn batch(&self) -> BatchRows<'_> {
        // SAFETY: passed on.
        unsafe {
            BatchRows {
                labels: self.labels.all(),
                keys: self.keys.all(),
                valid: self.valid.all(),
                plans: self.plans.all(),
            }
        }
    }

    /// # Safety
    /// The caller holds the slot as a batch.
    pub(super) unsafe fn view(&self, view: usize) -> &[u8] {
        self.pixels.read_all();
        if self.device.is_some() {
            return &[];
        }
        let block = &self.views[view];
        // SAFETY: the block is initialised and of this length by the contract of `SlotBlock`, and nobody
        // writes it while the batch is held.
        unsafe { slice::from_raw_parts(block.pointer().as_ptr(), block.len()) }
    }
}

/// What a batch holds beside pixels.
pub(super) struct BatchRows<'a> {
    pub(super) labels: &'a [i64],
    pub(super) keys: &'a [SampleKey],
    pub(super) valid: &'a [bool],
    pub(super) plans: &'a [SamplePlan],
}

/// The right to fill one row of a slot. Committing the last one completes the batch.
#[derive(Debug)]
pub struct RowLease {
    slot: Arc<Slot>,
    row: u32,
}

impl RowLease {
    /// # Safety
    /// The caller has begun a round of `slot` and makes no other lease for `row` in it.
    pub(super) unsafe fn new(slot: Arc<Slot>, row: u32) -> Self {
        debug_assert!(row < slot.shape.rows);
        Self { slot, row }
    }

    /// Index of the row in its batch.
    pub fn row(&self) -> u32 {
        self.row
    }

    /// The slot on a device, where its pixels lie on one.
    pub fn device_slot(&self) -> Option<&DeviceSlot> {
        self.slot.device()
    }

    /// What is to be filled. May be called again to start over with another sample.
    pub fn parts(&mut self) -> RowParts<'_> {
        // SAFETY: this lease is the only one for its row, and it is borrowed for as long as the parts live.
        let plan = unsafe { self.slot.plans.row(self.row) };
        RowParts { plan, views: ViewsOfRow { slot: &self.slot, row: self.row } }
    }

    /// Says what the row shows and gives it up. The last row of a slot publishes the batch.
    pub fn commit(self, key: SampleKey, label: i64, valid: bool) {
        let Self { slot, row } = self;
        // SAFETY: this was the only lease for its row, and `parts` borrows it, so nothing refers to the row.
        unsafe {
            *slot.labels.row(row) = label;
            *slot.keys.row(row) = key;
            *slot.valid.row(row) = valid;
        }
        if slot.remaining.fetch_sub(1, Ordering::AcqRel) == 1 {
            slot.meter.enter(SlotState::Ready);
            // Before the token, so that no batch is counted out before it was counted in.
            slot.metrics.ready.put();
            tracing::debug!(name: COLLATE, epoch = key.epoch, last_ordinal = key.ordinal.0);
            slot.ready.send(Token::new());
        }
    }
}

/// The parts of a row that a renderer fills.
pub struct RowParts<'a> {
    /// The sample's plan; its buffer is kept from round to round.
    pub plan: &'a mut SamplePlan,
    /// Pixels of the views.
    pub views: ViewsOfRow<'a>,
}

impl fmt::Debug for RowParts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowParts").field("plan", self.plan).finish_non_exhaustive()
    }
}

/// Pixels of all views of one row.
#[derive(Debug)]
pub struct ViewsOfRow<'a> {
    slot: &'a Slot,
    row: u32,
}

impl RowViews for ViewsOfRow<'_> {
    fn view(&mut self, index: usize) -> &mut [u8] {
        self.slot.pixels.write(self.row);
        if self.slot.device.is_some() {
            return &mut [];
        }
        let bytes = self.slot.shape.row_bytes(index);
        let block = &self.slot.views[index];
        // SAFETY: the block holds `rows` rows of `bytes` bytes and `row` is below `rows`, so the range lies
        // inside it. It is this row's alone: the lease is borrowed by `self`, and `self` by the result.
        unsafe {
            let start = block.pointer().as_ptr().add(self.row as usize * bytes);
            slice::from_raw_parts_mut(start, bytes)
        }
    }
}
