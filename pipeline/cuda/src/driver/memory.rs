//! Memory of the device, and memory of the processor that the device reads by itself.

use std::ptr::NonNull;
use std::slice;

use cudarc::driver::{CudaStream, result};

use super::{Gpu, failed};
use crate::CudaError;

/// A block of device memory of our own: from the driver, never from libtorch's allocator, whose reuse follows the order
/// of streams, while the JPEG engines do not keep to it.
#[derive(Debug)]
pub struct DeviceMemory {
    address: u64,
    bytes: usize,
    gpu: Gpu,
}

impl DeviceMemory {
    /// `bytes` bytes, all zero; at least one. Waits for the whole device.
    ///
    /// # Errors
    /// What the driver says.
    pub fn new(gpu: &Gpu, bytes: usize) -> Result<Self, CudaError> {
        gpu.bind()?;
        let bytes = bytes.max(1);
        // SAFETY: the context is bound; the block is freed by the drop alone.
        let address = unsafe { result::malloc_sync(bytes) }.map_err(failed("cuMemAlloc"))?;
        let memory = Self { address, bytes, gpu: gpu.clone() };
        // SAFETY: the block has this size and nobody else knows it yet.
        unsafe { result::memset_d8_sync(address, 0, bytes) }.map_err(failed("cuMemsetD8"))?;
        // The call returns before the block is cleared, and our streams do not wait for the default one that clears it.
        result::ctx::synchronize().map_err(failed("cuCtxSynchronize"))?;
        Ok(memory)
    }

    /// Its device address.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Its size.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        // Blocks go when a stream is closed or the step is changed. What was enqueued may still write them.
        let done = self.gpu.bind().and_then(|()| {
            result::ctx::synchronize().map_err(failed("cuCtxSynchronize"))?;
            // SAFETY: the block came from `malloc_sync` and is freed only here; all work has ended.
            unsafe { result::free_sync(self.address) }.map_err(failed("cuMemFree"))
        });
        if let Err(error) = done {
            tracing::warn!(%error, bytes = self.bytes, "device memory was not freed");
        }
    }
}

/// A block of page-locked memory, from which copies to the device go by themselves.
#[derive(Debug)]
pub struct PinnedMemory {
    start: NonNull<u8>,
    bytes: usize,
    gpu: Gpu,
}

// SAFETY: the block is owned by this value and may be used and freed from any thread that binds the context.
unsafe impl Send for PinnedMemory {}
// SAFETY: a shared reference only reads.
unsafe impl Sync for PinnedMemory {}

impl PinnedMemory {
    /// `bytes` bytes, all zero; at least one.
    ///
    /// # Errors
    /// What the driver says.
    pub fn new(gpu: &Gpu, bytes: usize) -> Result<Self, CudaError> {
        gpu.bind()?;
        let bytes = bytes.max(1);
        // SAFETY: the context is bound; the block is freed by the drop alone.
        let start = unsafe { result::malloc_host(bytes, 0) }.map_err(failed("cuMemHostAlloc"))?;
        let start = NonNull::new(start.cast::<u8>()).ok_or(CudaError::Driver {
            what: "cuMemHostAlloc",
            code: 0,
            name: "no memory and no error".to_owned(),
        })?;
        // SAFETY: the block has this size and nobody else knows it yet.
        unsafe { start.write_bytes(0, bytes) };
        Ok(Self { start, bytes, gpu: gpu.clone() })
    }

    /// Its bytes. Whoever enqueued a copy from it waits before writing it again.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the block is initialised, of this size, and borrowed as `self` is.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }

    /// Enqueues a copy of the first `length` bytes to `address` on the device.
    ///
    /// # Safety
    /// `length` bytes from `address` on are device memory that nothing else uses until the copy is done, and this block
    /// is neither written nor dropped before then.
    ///
    /// # Errors
    /// What the driver says.
    pub unsafe fn copy_to(
        &self,
        length: usize,
        address: u64,
        stream: &CudaStream,
    ) -> Result<(), CudaError> {
        self.gpu.bind()?;
        // SAFETY: source and target live and are left alone by the caller's promise.
        unsafe { result::memcpy_htod_async(address, &self.bytes()[..length], stream.cu_stream()) }
            .map_err(failed("cuMemcpyHtoDAsync"))
    }
}

impl Drop for PinnedMemory {
    fn drop(&mut self) {
        let done = self.gpu.bind().and_then(|()| {
            // SAFETY: the block came from `malloc_host` and is freed only here; copies from it have ended.
            unsafe { result::free_host(self.start.as_ptr().cast()) }
                .map_err(failed("cuMemFreeHost"))
        });
        if let Err(error) = done {
            tracing::warn!(%error, bytes = self.bytes, "pinned memory was not freed");
        }
    }
}
