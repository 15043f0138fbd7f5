//! Points in a stream.

use std::time::Duration;

use cudarc::driver::result::DriverError;
use cudarc::driver::{CudaStream, result, sys};

use super::{Gpu, failed};
use crate::CudaError;

/// An event. Whoever waits for it on the host sleeps: cores are for decoding.
#[derive(Debug)]
pub struct Event {
    raw: sys::CUevent,
    gpu: Gpu,
}

// SAFETY: the driver lets any thread record an event and wait for it; every call binds the context first.
unsafe impl Send for Event {}
// SAFETY: as above; concurrent calls take the driver's own lock.
unsafe impl Sync for Event {}

impl Event {
    /// An event that was never recorded, and so counts as passed. It has no time.
    ///
    /// # Errors
    /// What the driver says.
    pub fn new(gpu: &Gpu) -> Result<Self, CudaError> {
        Self::make(gpu, sys::CUevent_flags::CU_EVENT_DISABLE_TIMING as u32)
    }

    /// The same with a time, for [`Event::until`]. It costs the device a little more.
    ///
    /// # Errors
    /// What the driver says.
    pub fn timed(gpu: &Gpu) -> Result<Self, CudaError> {
        Self::make(gpu, 0)
    }

    fn make(gpu: &Gpu, flags: u32) -> Result<Self, CudaError> {
        gpu.bind()?;
        let flags = flags | sys::CUevent_flags::CU_EVENT_BLOCKING_SYNC as u32;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the driver writes one handle to a place that is valid; the flags are its own.
        let status = unsafe { sys::cuEventCreate(&raw mut raw, flags) };
        status.result().map_err(failed("cuEventCreate"))?;
        Ok(Self { raw, gpu: gpu.clone() })
    }

    /// Records what was enqueued on `stream` until now.
    ///
    /// # Errors
    /// What the driver says.
    pub fn record(&self, stream: &CudaStream) -> Result<(), CudaError> {
        // SAFETY: a `CudaStream` holds a stream that lives.
        unsafe { self.record_raw(stream.cu_stream()) }
    }

    /// As [`Event::record`], on a stream of somebody else.
    ///
    /// # Safety
    /// `stream` is a stream of the primary context of this event's device, and lives.
    ///
    /// # Errors
    /// What the driver says.
    pub unsafe fn record_raw(&self, stream: sys::CUstream) -> Result<(), CudaError> {
        self.gpu.bind()?;
        // SAFETY: the event lives as long as `self`; the stream by the caller's promise.
        unsafe { result::event::record(self.raw, stream) }.map_err(failed("cuEventRecord"))
    }

    /// Makes what is enqueued on `stream` from now on wait for the event, on the device.
    ///
    /// # Errors
    /// What the driver says.
    pub fn hold_back(&self, stream: &CudaStream) -> Result<(), CudaError> {
        // SAFETY: a `CudaStream` holds a stream that lives; the driver takes an event of any device.
        unsafe { self.hold_back_raw(stream.cu_stream()) }
    }

    /// As [`Event::hold_back`], on a stream of somebody else.
    ///
    /// # Errors
    /// What the driver says.
    ///
    /// # Safety
    /// `stream` is a stream of the primary context of this event's device, and lives.
    pub unsafe fn hold_back_raw(&self, stream: sys::CUstream) -> Result<(), CudaError> {
        self.gpu.bind()?;
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: the event lives as long as `self`; the stream by the caller's promise.
        unsafe { result::stream::wait_event(stream, self.raw, flags) }
            .map_err(failed("cuStreamWaitEvent"))
    }

    /// Whether the event has passed, without waiting.
    ///
    /// # Errors
    /// What the driver says.
    pub fn has_passed(&self) -> Result<bool, CudaError> {
        self.gpu.bind()?;
        // SAFETY: the event lives as long as `self`.
        match unsafe { result::event::query(self.raw) } {
            Ok(()) => Ok(true),
            Err(DriverError(sys::CUresult::CUDA_ERROR_NOT_READY)) => Ok(false),
            Err(error) => Err(failed("cuEventQuery")(error)),
        }
    }

    /// Time from this event to a later one, both with a time; nothing before the device has passed them.
    ///
    /// # Errors
    /// What the driver says.
    pub fn until(&self, later: &Self) -> Result<Option<Duration>, CudaError> {
        self.gpu.bind()?;
        // SAFETY: both events live.
        match unsafe { result::event::elapsed(self.raw, later.raw) } {
            Ok(milliseconds) => {
                let seconds = f64::from(milliseconds) / 1e3;
                Ok(Some(Duration::try_from_secs_f64(seconds).unwrap_or_default()))
            }
            Err(DriverError(sys::CUresult::CUDA_ERROR_NOT_READY)) => Ok(None),
            Err(error) => Err(failed("cuEventElapsedTime")(error)),
        }
    }

    /// Sleeps until the event has passed. An error may be one of any work that was enqueued before.
    ///
    /// # Errors
    /// What the driver says.
    pub fn wait(&self) -> Result<(), CudaError> {
        self.gpu.bind()?;
        // SAFETY: the event lives as long as `self`.
        unsafe { result::event::synchronize(self.raw) }.map_err(failed("cuEventSynchronize"))
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // An event may be destroyed while it is waited for; the driver frees it when it has passed.
        let done = self.gpu.bind().and_then(|()| {
            // SAFETY: nobody else has the handle for good, by the contract of `raw`.
            unsafe { result::event::destroy(self.raw) }.map_err(failed("cuEventDestroy"))
        });
        if let Err(error) = done {
            tracing::debug!(%error, "an event was not destroyed");
        }
    }
}
