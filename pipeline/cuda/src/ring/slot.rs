//! One slot on the device.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use smog_pipeline::batch::BatchShape;

use super::{SlotCounts, SlotMaker};
use crate::CudaError;
use crate::kernels::PixelKind;

/// A block of device memory, freed when dropped.
pub(crate) trait Block: Send + Sync + fmt::Debug {
    /// Its device address.
    fn address(&self) -> u64;
}

/// The two events of a slot. A stream is its handle as a number.
pub(crate) trait SlotEvents: Send + Sync + fmt::Debug {
    /// Makes what is enqueued from now on wait until the trainer has done with the slot.
    fn hold_back(&self, stream: u64) -> Result<(), CudaError>;
    /// Records that all rows are written when `stream` comes here.
    fn record_ready(&self, stream: u64) -> Result<(), CudaError>;
    /// Makes what the trainer enqueues on `stream` from now on wait for that.
    ///
    /// # Safety
    /// `stream` is a stream of the same context, and lives.
    unsafe fn wait_ready(&self, stream: u64) -> Result<(), CudaError>;
    /// Records that the trainer has done with the slot when `stream` comes here.
    ///
    /// # Safety
    /// `stream` is a stream of the same context, and lives.
    unsafe fn record_free(&self, stream: u64) -> Result<(), CudaError>;
    /// Whether the device has come to the last [`SlotEvents::record_ready`]; also where there was none.
    fn is_ready(&self) -> Result<bool, CudaError>;
    /// Whether the device has come to the last [`SlotEvents::record_free`]; also where there was none.
    fn is_free(&self) -> Result<bool, CudaError>;
    /// Sleeps until the device has done all work whatsoever.
    fn drain(&self) -> Result<(), CudaError>;
}

/// Blocks and events of a slot, and how far it is filled.
#[derive(Debug)]
pub(crate) struct DeviceSlot {
    shape: BatchShape,
    kind: PixelKind,
    blocks: Vec<Box<dyn Block>>,
    events: Box<dyn SlotEvents>,
    /// Rows whose kernels are enqueued in this round. One thread writes it, the one that enqueues.
    enqueued: AtomicU32,
    counts: Arc<SlotCounts>,
}

impl DeviceSlot {
    pub(super) fn new(
        maker: &dyn SlotMaker,
        shape: &BatchShape,
        kind: PixelKind,
        counts: Arc<SlotCounts>,
    ) -> Result<Self, CudaError> {
        let bytes = |view| shape.row_bytes(view) * kind.bytes() * shape.rows as usize;
        let views = 0..shape.view_sizes.len();
        let blocks = views.map(|view| maker.block(bytes(view))).collect::<Result<_, _>>()?;
        let enqueued = AtomicU32::new(0);
        Ok(Self { shape: shape.clone(), kind, blocks, events: maker.events()?, enqueued, counts })
    }

    pub(crate) fn shape(&self) -> &BatchShape {
        &self.shape
    }

    pub(crate) fn kind(&self) -> PixelKind {
        self.kind
    }

    pub(crate) fn events(&self) -> &dyn SlotEvents {
        &*self.events
    }

    /// Begins a round: what is enqueued on the stream of the kernels from now on waits until the trainer has done with
    /// what the slot held before.
    pub(crate) fn begin(&self, stream: u64) -> Result<(), CudaError> {
        if !self.events.is_free()? {
            self.counts.held_back.fetch_add(1, Ordering::Relaxed);
        }
        self.events.hold_back(stream)
    }

    /// Makes what the trainer enqueues on `stream` from now on wait for the kernels.
    ///
    /// # Safety
    /// As [`SlotEvents::wait_ready`].
    pub(super) unsafe fn take(&self, stream: u64) -> Result<(), CudaError> {
        if !self.events.is_ready()? {
            self.counts.unfinished.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: passed on.
        unsafe { self.events.wait_ready(stream) }
    }

    /// Address of a view of all rows.
    pub(crate) fn view(&self, view: usize) -> u64 {
        self.blocks[view].address()
    }

    /// Address of a view of one row.
    pub(crate) fn row(&self, view: usize, row: u32) -> u64 {
        debug_assert!(row < self.shape.rows);
        let bytes = self.shape.row_bytes(view) * self.kind.bytes();
        self.view(view) + u64::from(row) * bytes as u64
    }

    /// Whether a row that is enqueued now is the first of its round.
    pub(crate) fn is_fresh(&self) -> bool {
        self.enqueued.load(Ordering::Relaxed) == 0
    }

    /// Counts rows that were enqueued; true where they were the last ones, with which the next round begins.
    pub(crate) fn enqueued(&self, rows: u32) -> bool {
        let now = self.enqueued.load(Ordering::Relaxed) + rows;
        debug_assert!(now <= self.shape.rows);
        let full = now >= self.shape.rows;
        self.enqueued.store(if full { 0 } else { now }, Ordering::Relaxed);
        full
    }
}
