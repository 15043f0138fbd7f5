//! Images by the way they took, and what is told of memory and slots.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use smog_pipeline::runtime::metrics::{DeviceMeter, DeviceMetrics};

use crate::ring::SlotCounts;
use crate::surfaces::Surfaces;

/// Images by the way they took, since the renderer was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteCounts {
    /// Decoded by the JPEG engines.
    pub hardware: u64,
    /// Batches of theirs.
    pub hardware_batches: u64,
    /// Decoded by a hybrid decoder.
    pub hybrid: u64,
    /// Decoded by the processor.
    pub cpu: u64,
    /// Passed on by the engines, one by one or with their batch.
    pub hardware_refused: u64,
    /// Passed on by a hybrid decoder.
    pub hybrid_refused: u64,
}

impl RouteCounts {
    /// What was counted since `before`, of the same renderer.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            hardware: self.hardware - before.hardware,
            hardware_batches: self.hardware_batches - before.hardware_batches,
            hybrid: self.hybrid - before.hybrid,
            cpu: self.cpu - before.cpu,
            hardware_refused: self.hardware_refused - before.hardware_refused,
            hybrid_refused: self.hybrid_refused - before.hybrid_refused,
        }
    }
}

/// The counters behind [`RouteCounts`].
#[derive(Debug, Default)]
pub(super) struct Routes {
    pub(super) hardware: AtomicU64,
    pub(super) hardware_batches: AtomicU64,
    pub(super) hybrid: AtomicU64,
    pub(super) cpu: AtomicU64,
    pub(super) hardware_refused: AtomicU64,
    pub(super) hybrid_refused: AtomicU64,
}

impl Routes {
    pub(super) fn read(&self) -> RouteCounts {
        RouteCounts {
            hardware: self.hardware.load(Relaxed),
            hardware_batches: self.hardware_batches.load(Relaxed),
            hybrid: self.hybrid.load(Relaxed),
            cpu: self.cpu.load(Relaxed),
            hardware_refused: self.hardware_refused.load(Relaxed),
            hybrid_refused: self.hybrid_refused.load(Relaxed),
        }
    }
}

/// What the renderer tells of its memory and slots to one stream; it may serve several, one after the other.
#[derive(Debug)]
pub(super) struct Rings {
    surfaces: Arc<Surfaces>,
    slots: Arc<SlotCounts>,
    /// What was counted before the stream.
    before: DeviceMetrics,
}

impl Rings {
    /// From now on.
    pub(super) fn new(surfaces: &Arc<Surfaces>, slots: &Arc<SlotCounts>) -> Self {
        let (surfaces, slots) = (Arc::clone(surfaces), Arc::clone(slots));
        let mut new = Self { surfaces, slots, before: DeviceMetrics::default() };
        new.before = new.read();
        new
    }
}

impl DeviceMeter for Rings {
    fn read(&self) -> DeviceMetrics {
        // Where the device has failed, that is for the stages to say.
        let _ = self.surfaces.reap();
        let (usage, before) = (self.surfaces.usage(), self.before);
        DeviceMetrics {
            surfaces_bytes: usage.held_bytes,
            surfaces_capacity_bytes: usage.capacity_bytes,
            surfaces_byte_seconds_total: usage.byte_seconds - before.surfaces_byte_seconds_total,
            wait_kernels_seconds_total: usage.wait_kernels.as_secs_f64()
                - before.wait_kernels_seconds_total,
            wait_decoders_seconds_total: usage.wait_decoders.as_secs_f64()
                - before.wait_decoders_seconds_total,
            held_back_batches_total: self.slots.held_back.load(Relaxed)
                - before.held_back_batches_total,
            unfinished_batches_total: self.slots.unfinished.load(Relaxed)
                - before.unfinished_batches_total,
        }
    }
}
