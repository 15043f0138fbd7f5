//! The device that is a GPU.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cudarc::driver::CudaStream;

use super::options::{CudaFacts, CudaOptions};
use super::{BatchDecoder, Device, SingleDecoder, ViewKernels};
use crate::CudaError;
use crate::driver::{DeviceMemory, Event, Gpu, PinnedMemory};
use crate::kernels::{Kernels, Surface, ViewTask, Workspace};
use crate::nvjpeg::{
    Backend, Begun, Handle, HardwareDecoder, HybridDecoder, Nvjpeg, engines, unless_refused,
};
use crate::ring::{Block, SlotEvents, SlotMaker};
use crate::surfaces::{Fence, Surfaces};

/// Pinned memory through which a worker copies pixels, piece by piece.
const UPLOAD_BYTES: usize = 4 << 20;

/// A GPU with nvJPEG and the kernels, opened once per renderer.
pub(super) struct GpuDevice {
    gpu: Gpu,
    /// Behind `surfaces`.
    _memory: DeviceMemory,
    surfaces: Arc<Surfaces>,
    hardware: Option<Handle>,
    hybrid: Handle,
    kernels: Arc<Kernels>,
    options: CudaOptions,
    facts: CudaFacts,
}

impl fmt::Debug for GpuDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpuDevice").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl GpuDevice {
    pub(super) fn open(options: &CudaOptions) -> Result<Self, CudaError> {
        let gpu = Gpu::open(options.device)?;
        let library = Nvjpeg::load(&options.nvjpeg_paths)?;
        let hybrid = Handle::new(&library, &gpu, Backend::Default)?;
        let found = if options.hardware { engines(&library, &gpu)? } else { None };
        let (num_engines, num_cores) = found.map_or((0, 0), |found| (found.count, found.cores));
        let hardware = found.map(|found| found.handle);
        let max_images = match options.max_batch_images {
            0 => HardwareDecoder::images_at_once(num_engines, num_cores),
            given => given,
        };
        let interpolates =
            hybrid.interpolates() && hardware.is_none_or(|handle| handle.interpolates());
        let kernels = Arc::new(Kernels::load(gpu.context(), &options.kernels)?);
        let memory = DeviceMemory::new(&gpu, options.surface_bytes as usize)?;
        let surfaces = Surfaces::new(memory.address(), options.surface_bytes);
        let facts = CudaFacts {
            nvjpeg: library.version(),
            num_engines,
            num_cores_per_engine: num_cores,
            max_batch_images: if hardware.is_some() { max_images } else { 0 },
            interpolates,
        };
        let options = options.clone();
        Ok(Self { gpu, _memory: memory, surfaces, hardware, hybrid, kernels, options, facts })
    }

    pub(super) fn facts(&self) -> &CudaFacts {
        &self.facts
    }
}

impl Device for GpuDevice {
    fn slots(&self) -> Arc<dyn SlotMaker> {
        Arc::new(GpuSlots(self.gpu.clone()))
    }

    fn surfaces(&self) -> &Arc<Surfaces> {
        &self.surfaces
    }

    fn decoder(&self) -> Result<Box<dyn SingleDecoder>, CudaError> {
        Ok(Box::new(GpuDecoder {
            staging: PinnedMemory::new(&self.gpu, UPLOAD_BYTES)?,
            copied: Event::new(&self.gpu)?,
            hybrid: HybridDecoder::new(self.hybrid, &self.gpu)?,
        }))
    }

    fn batch_decoder(&self) -> Result<Option<Box<dyn BatchDecoder>>, CudaError> {
        let Some(handle) = self.hardware else { return Ok(None) };
        let max_images = self.facts.max_batch_images as usize;
        let max_bytes = self.options.staging_bytes;
        let decoder = HardwareDecoder::new(handle, &self.gpu, max_images, max_bytes);
        Ok(unless_refused(decoder)?
            .map(|decoder| Box::new(GpuBatches { decoder, max_images, max_bytes }) as _))
    }

    fn max_batch_images(&self) -> u32 {
        self.facts.max_batch_images
    }

    fn kernels(&self) -> Result<Box<dyn ViewKernels>, CudaError> {
        let CudaOptions { max_views, max_side, kind, normalize, .. } = self.options;
        Ok(Box::new(GpuKernels {
            workspace: Workspace::new(&self.gpu, max_views as usize, max_side)?,
            kernels: Arc::clone(&self.kernels),
            stream: self.gpu.stream()?,
            fences: Vec::new(),
            begun: None,
            busy: None,
            gpu: self.gpu.clone(),
            max_views: max_views as usize,
            kind,
            normalize,
        }))
    }

    fn host_bytes(&self, workers: u32, max_pixels: u64) -> u64 {
        let batches =
            if self.hardware.is_some() { 2 * self.options.staging_bytes as u64 } else { 0 };
        u64::from(workers) * (UPLOAD_BYTES as u64 + Handle::pinned_bytes(max_pixels)) + batches
    }
}

/// What one worker needs.
struct GpuDecoder {
    /// Before `staging`: it waits for what is enqueued on its stream.
    hybrid: HybridDecoder,
    staging: PinnedMemory,
    copied: Event,
}

impl SingleDecoder for GpuDecoder {
    fn decode(&mut self, encoded: &[u8], surface: &Surface) -> Result<bool, CudaError> {
        // SAFETY: the surface is a lease of the circle, which was waited for on the host, and the worker holds it.
        unsafe { self.hybrid.decode(encoded, surface) }
    }

    fn upload(&mut self, pixels: &[u8], surface: &Surface) -> Result<(), CudaError> {
        let mut address = surface.pixels;
        for piece in pixels.chunks(UPLOAD_BYTES) {
            self.staging.bytes_mut()[..piece.len()].copy_from_slice(piece);
            let stream = self.hybrid.stream();
            // SAFETY: the surface holds all pixels, and the lease of it is held; the staging memory is written again, or
            // freed, only after the wait below. If that fails the context is lost, and with it the copy.
            unsafe { self.staging.copy_to(piece.len(), address, stream)? };
            self.copied.record(stream)?;
            self.copied.wait()?;
            address += piece.len() as u64;
        }
        Ok(())
    }
}

/// The JPEG engines.
struct GpuBatches {
    decoder: HardwareDecoder,
    max_images: usize,
    max_bytes: usize,
}

impl BatchDecoder for GpuBatches {
    fn max_images(&self) -> usize {
        self.max_images
    }

    fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    fn takes(&mut self, encoded: &[u8], width: u32, height: u32) -> Result<bool, CudaError> {
        self.decoder.takes(encoded, width, height)
    }

    fn begin(&mut self, batch: &[(&[u8], Surface)]) -> Result<Begun, CudaError> {
        // SAFETY: the surfaces are leases of the circle, whose last readers were waited for on the host; they are held
        // until `finish` has returned, or, where the stream ends before, until this decoder has waited in its drop.
        unsafe { self.decoder.begin(batch) }
    }

    fn finish(&mut self) -> Result<bool, CudaError> {
        self.decoder.finish().map(|()| true)
    }
}

/// The kernels on their stream.
struct GpuKernels {
    kernels: Arc<Kernels>,
    workspace: Workspace,
    stream: Arc<CudaStream>,
    /// Events that go round: one is used again when nobody else holds it.
    fences: Vec<Arc<GpuFence>>,
    /// The one of the call under way.
    begun: Option<Arc<GpuFence>>,
    /// What the device took for the call before of the fence that was used again last.
    busy: Option<Duration>,
    gpu: Gpu,
    max_views: usize,
    kind: crate::kernels::PixelKind,
    normalize: crate::kernels::Normalize,
}

impl ViewKernels for GpuKernels {
    fn max_views(&self) -> usize {
        self.max_views
    }

    fn stream(&self) -> u64 {
        self.stream.cu_stream() as u64
    }

    fn render(&mut self, tasks: &[ViewTask]) -> Result<(), CudaError> {
        self.gpu.bind()?;
        // Behind the wait for the slot, so that only what the kernels take is counted, and what the host prepares of it
        // while the stream has nothing else to do.
        self.begun = Some(self.begin()?);
        self.kernels.render(&self.stream, &mut self.workspace, tasks, self.kind, self.normalize)
    }

    fn fence(&mut self) -> Result<Arc<dyn Fence>, CudaError> {
        let fence = match self.begun.take() {
            Some(fence) => fence,
            None => self.begin()?,
        };
        fence.done.record(&self.stream)?;
        Ok(fence)
    }

    fn busy(&mut self) -> Option<Duration> {
        self.busy.take()
    }
}

impl GpuKernels {
    /// A fence that nobody waits for any more, with a mark where the device is now.
    fn begin(&mut self) -> Result<Arc<GpuFence>, CudaError> {
        let known = self.fences.iter().find(|fence| Arc::strong_count(fence) == 1).cloned();
        let fence = match known {
            Some(fence) => {
                // It was let go of since it has passed.
                self.busy = fence.begun.until(&fence.done)?;
                fence
            }
            None => {
                let (begun, done) = (Event::timed(&self.gpu)?, Event::timed(&self.gpu)?);
                let fence = Arc::new(GpuFence { begun, done });
                self.fences.push(Arc::clone(&fence));
                fence
            }
        };
        fence.begun.record(&self.stream)?;
        Ok(fence)
    }
}

impl Drop for GpuKernels {
    fn drop(&mut self) {
        // The workspace is read by what is enqueued.
        if let Err(error) = self.gpu.bind().and_then(|()| {
            self.stream.synchronize().map_err(crate::driver::failed("cuStreamSynchronize"))
        }) {
            tracing::debug!(%error, "the kernels' stream was left as it is");
        }
    }
}

/// Begin and end of a call.
struct GpuFence {
    begun: Event,
    done: Event,
}

impl Fence for GpuFence {
    fn wait(&self) -> Result<(), CudaError> {
        self.done.wait()
    }

    fn has_passed(&self) -> Result<bool, CudaError> {
        self.done.has_passed()
    }
}

/// Makes slots.
#[derive(Debug)]
struct GpuSlots(Gpu);

impl SlotMaker for GpuSlots {
    fn block(&self, bytes: usize) -> Result<Box<dyn Block>, CudaError> {
        Ok(Box::new(DeviceMemory::new(&self.0, bytes)?))
    }

    fn events(&self) -> Result<Box<dyn SlotEvents>, CudaError> {
        let (ready, free) = (Event::new(&self.0)?, Event::new(&self.0)?);
        Ok(Box::new(GpuEvents { ready, free, gpu: self.0.clone() }))
    }
}

impl Block for DeviceMemory {
    fn address(&self) -> u64 {
        Self::address(self)
    }
}

/// Events of a slot.
#[derive(Debug)]
struct GpuEvents {
    ready: Event,
    free: Event,
    gpu: Gpu,
}

impl SlotEvents for GpuEvents {
    fn hold_back(&self, stream: u64) -> Result<(), CudaError> {
        // SAFETY: the number is the stream of the kernels, which the caller holds.
        unsafe { self.free.hold_back_raw(stream as _) }
    }

    fn record_ready(&self, stream: u64) -> Result<(), CudaError> {
        // SAFETY: as above.
        unsafe { self.ready.record_raw(stream as _) }
    }

    unsafe fn wait_ready(&self, stream: u64) -> Result<(), CudaError> {
        // SAFETY: passed on.
        unsafe { self.ready.hold_back_raw(stream as _) }
    }

    unsafe fn record_free(&self, stream: u64) -> Result<(), CudaError> {
        // SAFETY: passed on.
        unsafe { self.free.record_raw(stream as _) }
    }

    fn is_ready(&self) -> Result<bool, CudaError> {
        self.ready.has_passed()
    }

    fn is_free(&self) -> Result<bool, CudaError> {
        self.free.has_passed()
    }

    fn drain(&self) -> Result<(), CudaError> {
        self.gpu.bind()?;
        self.gpu.context().synchronize().map_err(crate::driver::failed("cuCtxSynchronize"))
    }
}
