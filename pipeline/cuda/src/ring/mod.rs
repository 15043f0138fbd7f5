//! The slots of the stream on the device: one block per view, and two events.
//!
//! Labels, keys and plans of a batch stay in the host's slot; here are its pixels, `[rows, side, side, 3]` per view,
//! normalised, as the encoder takes them. A slot goes round as the host's does, and the order of accesses on the device
//! follows two events: *ready* is recorded behind the kernels of the last row, before the batch is published, and the
//! trainer's stream waits for it; *free* is recorded by the trainer behind the last use of the batch, before the slot is
//! given back, and the kernels of the next round wait for it. Neither is waited for on the host.

mod batch;
mod slot;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use smog_pipeline::batch::{BatchShape, DeviceSlot as AnySlot, SlotBlock, SlotMemory};

pub use batch::{DeviceBatch, DeviceView};
pub(crate) use slot::{Block, DeviceSlot, SlotEvents};

use crate::CudaError;
use crate::kernels::PixelKind;

/// What makes the parts of a slot.
pub(crate) trait SlotMaker: Send + Sync + fmt::Debug {
    /// A block of device memory, all zero.
    fn block(&self, bytes: usize) -> Result<Box<dyn Block>, CudaError>;
    /// The two events.
    fn events(&self) -> Result<Box<dyn SlotEvents>, CudaError>;
}

/// What the host cannot see of slots: it calls one ready when its kernels are enqueued, and free when the trainer's work
/// on it is. Where the device was then is asked once per batch and side.
#[derive(Debug, Default)]
pub(crate) struct SlotCounts {
    /// Batches whose first kernels were enqueued while the device still worked on what their slot held before.
    pub(crate) held_back: AtomicU64,
    /// Batches that the trainer took before their kernels had ended.
    pub(crate) unfinished: AtomicU64,
}

/// Makes the slots of a stream: its `memory` where the renderer is on a device.
#[derive(Clone, Debug)]
pub struct DeviceRing {
    maker: Arc<dyn SlotMaker>,
    kind: PixelKind,
    counts: Arc<SlotCounts>,
}

impl DeviceRing {
    pub(crate) fn new(maker: Arc<dyn SlotMaker>, kind: PixelKind, counts: Arc<SlotCounts>) -> Self {
        Self { maker, kind, counts }
    }

    /// Bytes that a slot takes on the device.
    pub fn slot_bytes(&self, shape: &BatchShape) -> u64 {
        shape.bytes() * self.kind.bytes() as u64
    }
}

impl SlotMemory for DeviceRing {
    fn allocate(&self, _bytes: usize) -> Result<Box<dyn SlotBlock>, String> {
        Err("this is memory of a device: the processor cannot write it".to_owned())
    }

    fn device_slot(&self, shape: &BatchShape) -> Result<Option<AnySlot>, String> {
        let slot = DeviceSlot::new(&*self.maker, shape, self.kind, Arc::clone(&self.counts));
        slot.map(|slot| Some(Arc::new(slot) as AnySlot)).map_err(|error| error.to_string())
    }

    fn host_bytes(&self, _shape: &BatchShape) -> u64 {
        0
    }
}
