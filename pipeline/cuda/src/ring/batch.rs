//! A filled slot of the device in the trainer's hands.

use std::sync::Arc;

use smog_pipeline::batch::HostBatch;

use super::slot::DeviceSlot;
use crate::CudaError;
use crate::kernels::PixelKind;

/// One view of all rows: `[rows, side, side, 3]` in channels-last order, normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceView {
    /// Address on the device.
    pub address: u64,
    /// Rows.
    pub rows: u32,
    /// Side in pixels.
    pub side: u32,
    /// Kind of the values.
    pub kind: PixelKind,
}

/// A batch whose pixels lie on the device. Before its first use of them comes [`DeviceBatch::wait_ready`]; after the last,
/// [`DeviceBatch::release`] gives the slot back. The host waits in neither.
#[derive(Debug)]
pub struct DeviceBatch {
    slot: Arc<DeviceSlot>,
    /// Gone once the slot is given back.
    host: Option<HostBatch>,
}

impl DeviceBatch {
    /// The batch with its pixels.
    ///
    /// # Errors
    /// If the stream has other memory than a [`DeviceRing`](super::DeviceRing).
    pub fn new(host: HostBatch) -> Result<Self, CudaError> {
        let slot = host.device_slot().cloned().and_then(|slot| slot.downcast().ok());
        let slot = slot.ok_or_else(|| CudaError::Options {
            key: "memory of the stream",
            value: "another".to_owned(),
            expected: "the DeviceRing of its renderer".to_owned(),
        })?;
        Ok(Self { slot, host: Some(host) })
    }

    /// Labels, keys, plans and position.
    pub fn host(&self) -> &HostBatch {
        self.host.as_ref().expect("it is taken only by those who consume the batch")
    }

    /// Views per sample.
    pub fn num_views(&self) -> usize {
        self.slot.shape().view_sizes.len()
    }

    /// A view.
    ///
    /// # Panics
    /// If there is no such view.
    pub fn view(&self, view: usize) -> DeviceView {
        let shape = self.slot.shape();
        DeviceView {
            address: self.slot.view(view),
            rows: shape.rows,
            side: shape.view_sizes[view],
            kind: self.slot.kind(),
        }
    }

    /// Makes what is enqueued on `stream`, a `CUstream`, from now on wait for the last kernel that writes the batch.
    ///
    /// # Safety
    /// `stream` is a stream of the primary context of the device, and lives.
    ///
    /// # Errors
    /// What the driver says.
    pub unsafe fn wait_ready(&self, stream: u64) -> Result<(), CudaError> {
        // SAFETY: passed on.
        unsafe { self.slot.take(stream) }
    }

    /// Gives the slot back: the next round begins when `stream`, a `CUstream`, has done what is enqueued on it now.
    ///
    /// # Safety
    /// `stream` is a stream of the primary context of the device, and lives. All use of the batch is enqueued on it, or
    /// on streams that it waits for.
    ///
    /// # Errors
    /// What the driver says. The slot is then given back after a wait for the whole device.
    pub unsafe fn release(mut self, stream: u64) -> Result<(), CudaError> {
        // SAFETY: passed on.
        let recorded = unsafe { self.slot.events().record_free(stream) };
        if recorded.is_ok() {
            self.host = None;
        }
        recorded
    }
}

impl Drop for DeviceBatch {
    fn drop(&mut self) {
        if self.host.is_none() {
            return;
        }
        // Nobody said on which stream the batch was used. That costs a wait for all of them.
        if let Err(error) = self.slot.events().drain() {
            tracing::warn!(%error, "a batch was dropped while the device was at work");
        }
    }
}
