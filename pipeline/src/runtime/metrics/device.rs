//! What a renderer on a device tells of the rings that it keeps there.

use std::fmt;

use serde::ser::SerializeMap;

use crate::runtime::names::*;

/// Memory and slots on a device, since the stream was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeviceMetrics {
    /// Bytes of the memory for decoded images that are in use now.
    pub surfaces_bytes: u64,
    /// Bytes of that memory.
    pub surfaces_capacity_bytes: u64,
    /// Integral of the bytes in use over time.
    pub surfaces_byte_seconds_total: f64,
    /// Time that decoders waited for room until kernels had read an image, over all threads.
    pub wait_kernels_seconds_total: f64,
    /// The same until another decoder had done with an image.
    pub wait_decoders_seconds_total: f64,
    /// Batches whose first kernels were enqueued while the device still worked on what their slot held before.
    pub held_back_batches_total: u64,
    /// Batches that the trainer took before their kernels had ended.
    pub unfinished_batches_total: u64,
}

/// What counts them. It is asked once per snapshot.
pub trait DeviceMeter: Send + Sync + fmt::Debug {
    /// The figures now.
    fn read(&self) -> DeviceMetrics;
}

impl DeviceMetrics {
    pub(super) fn write<M: SerializeMap>(
        &self,
        uptime_seconds: f64,
        map: &mut M,
    ) -> Result<(), M::Error> {
        let mean = self.surfaces_byte_seconds_total / uptime_seconds;
        map.serialize_entry(SURFACES_BYTES, &self.surfaces_bytes)?;
        map.serialize_entry(SURFACES_CAPACITY_BYTES, &self.surfaces_capacity_bytes)?;
        map.serialize_entry(SURFACES_MEAN_BYTES, &if mean.is_finite() { mean } else { 0.0 })?;
        map.serialize_entry(SURFACES_WAIT_KERNELS_SECONDS_TOTAL, &self.wait_kernels_seconds_total)?;
        map.serialize_entry(
            SURFACES_WAIT_DECODERS_SECONDS_TOTAL,
            &self.wait_decoders_seconds_total,
        )?;
        map.serialize_entry(KERNELS_HELD_BACK_BATCHES_TOTAL, &self.held_back_batches_total)?;
        map.serialize_entry(TRAINER_UNFINISHED_BATCHES_TOTAL, &self.unfinished_batches_total)
    }
}
