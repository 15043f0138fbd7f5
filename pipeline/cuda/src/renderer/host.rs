//! A device that is memory of the processor, so that the stages can be tested without a GPU: its surfaces and slots are
//! heap memory, its decoders the pipeline's, its kernels those of the GPU compiled as C++, or the pipeline's.

use std::collections::VecDeque;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use smog_pipeline::augment;
use smog_pipeline::batch::{HeapMemory, SlotBlock, SlotMemory};
use smog_pipeline::codec::{DecodeLimits, DecodeRequest, DecoderKind, Pixels, decoder, probe};

use super::{BatchDecoder, Device, SingleDecoder, ViewKernels};
use crate::CudaError;
use crate::kernels::{Normalize, PixelKind, Surface, ViewTask, oracle};
use crate::nvjpeg::Begun;
use crate::ring::{Block, DeviceRing, SlotEvents, SlotMaker};
use crate::surfaces::{Fence, Surfaces};

/// What stands for the stream of the kernels.
pub(super) const STREAM: u64 = 77;
/// What stands for the trainer's stream.
pub(super) const TRAINER: u64 = 7;

/// How the device behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behaviour {
    /// Images in a batch of the engines; none without engines.
    pub(super) engines: Option<usize>,
    /// The kernels are those of the GPU compiled as C++, which are slow, in place of the pipeline's.
    pub(super) oracle: bool,
    /// Memory for decoded images.
    pub(super) surface_bytes: u64,
    /// The decoders refuse a JPEG that begins with a comment.
    pub(super) refuses_comments: bool,
    /// The engines refuse every batch.
    pub(super) engines_refuse: bool,
    /// Batches fail only when they are waited for.
    pub(super) fails_late: bool,
    /// The call of the kernels that panics, and the one that fails.
    pub(super) kernels_panic_at: Option<u32>,
    pub(super) kernels_fail_at: Option<u32>,
    /// Fences never pass unless they are waited for.
    pub(super) lazy_fences: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            engines: Some(4),
            oracle: false,
            surface_bytes: 1 << 20,
            refuses_comments: false,
            engines_refuse: false,
            fails_late: false,
            kernels_panic_at: None,
            kernels_fail_at: None,
            lazy_fences: false,
        }
    }
}

/// What happened on the device.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) held_back: AtomicU32,
    pub(super) waited: AtomicU32,
    pub(super) ready: AtomicU32,
    pub(super) freed: AtomicU32,
    pub(super) drained: AtomicU32,
    pub(super) calls: AtomicU32,
    pub(super) views: AtomicU32,
    /// Batches that the engines were given, those that they refused included.
    pub(super) batches: AtomicU32,
    /// Most of them that were under way at once.
    pub(super) most_busy: AtomicU32,
}

/// The device.
pub(super) struct HostDevice {
    behaviour: Behaviour,
    memory: Box<dyn SlotBlock>,
    surfaces: Arc<Surfaces>,
    pub(super) log: Arc<Log>,
}

impl std::fmt::Debug for HostDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostDevice").field("behaviour", &self.behaviour).finish_non_exhaustive()
    }
}

impl HostDevice {
    pub(super) fn new(behaviour: Behaviour) -> Arc<Self> {
        // The pieces are aligned to 256 from the begin of the block on, which is all that the circle promises.
        let memory = HeapMemory.allocate(behaviour.surface_bytes as usize).unwrap();
        let surfaces = Surfaces::new(memory.pointer().as_ptr() as u64, behaviour.surface_bytes);
        Arc::new(Self { behaviour, memory, surfaces, log: Arc::default() })
    }

    pub(super) fn ring(&self) -> DeviceRing {
        DeviceRing::new(self.slots(), PixelKind::F32)
    }
}

impl Device for HostDevice {
    fn slots(&self) -> Arc<dyn SlotMaker> {
        Arc::new(Maker(Arc::clone(&self.log)))
    }

    fn surfaces(&self) -> &Arc<Surfaces> {
        assert!(!self.memory.is_empty());
        &self.surfaces
    }

    fn decoder(&self) -> Result<Box<dyn SingleDecoder>, CudaError> {
        Ok(Box::new(Decoder::new(self.behaviour)))
    }

    fn batch_decoder(&self) -> Result<Option<Box<dyn BatchDecoder>>, CudaError> {
        let decoder = self.behaviour.engines.map(|max_images| {
            let busy = VecDeque::new();
            let (single, log) = (Decoder::new(self.behaviour), Arc::clone(&self.log));
            Box::new(EngineDecoder { single, max_images, busy, log }) as Box<dyn BatchDecoder>
        });
        Ok(decoder)
    }

    fn max_batch_images(&self) -> u32 {
        self.behaviour.engines.unwrap_or(0) as u32
    }

    fn kernels(&self) -> Result<Box<dyn ViewKernels>, CudaError> {
        Ok(Box::new(HostKernels {
            behaviour: self.behaviour,
            log: Arc::clone(&self.log),
            kernels: augment::ViewKernels::default(),
        }))
    }

    fn host_bytes(&self, _workers: u32, _max_pixels: u64) -> u64 {
        0
    }
}

/// The memory of a surface.
///
/// # Safety
/// The surface is memory of a [`HostDevice`] that nobody else uses meanwhile.
#[expect(
    clippy::mut_from_ref,
    reason = "a surface is an address; the lease of it is what makes it exclusive"
)]
unsafe fn bytes_of(surface: &Surface) -> &mut [u8] {
    let length = surface.pitch as usize * surface.height as usize;
    // SAFETY: by the caller's promise; the lease has room for the image.
    unsafe { slice::from_raw_parts_mut(surface.pixels as *mut u8, length) }
}

struct Decoder {
    behaviour: Behaviour,
    decoder: Box<dyn smog_pipeline::codec::ImageDecoder>,
    pixels: Pixels,
}

impl Decoder {
    fn new(behaviour: Behaviour) -> Self {
        let decoder = decoder(DecoderKind::TurboJpeg, DecodeLimits::default());
        Self { behaviour, decoder, pixels: Pixels::default() }
    }
}

impl SingleDecoder for Decoder {
    fn decode(&mut self, encoded: &[u8], surface: &Surface) -> Result<bool, CudaError> {
        if self.behaviour.refuses_comments && encoded[3] == 0xFE {
            return Ok(false);
        }
        let Ok(meta) = probe(encoded) else { return Ok(false) };
        assert_eq!((meta.width, meta.height), (surface.width, surface.height));
        if self.decoder.decode(encoded, &meta, &DecodeRequest::WHOLE, &mut self.pixels).is_err() {
            return Ok(false);
        }
        let pixels = std::mem::take(&mut self.pixels.data);
        self.upload(&pixels, surface)?;
        self.pixels.data = pixels;
        Ok(true)
    }

    fn upload(&mut self, pixels: &[u8], surface: &Surface) -> Result<(), CudaError> {
        // SAFETY: the caller holds the lease of the surface.
        unsafe { bytes_of(surface) }.copy_from_slice(pixels);
        Ok(())
    }
}

struct EngineDecoder {
    single: Decoder,
    max_images: usize,
    /// Whether each batch under way is whole.
    busy: VecDeque<bool>,
    log: Arc<Log>,
}

impl BatchDecoder for EngineDecoder {
    fn max_images(&self) -> usize {
        self.max_images
    }

    fn max_bytes(&self) -> usize {
        64 << 10
    }

    fn takes(&mut self, _encoded: &[u8], _width: u32, _height: u32) -> Result<bool, CudaError> {
        Ok(true)
    }

    fn begin(&mut self, batch: &[(&[u8], Surface)]) -> Result<Begun, CudaError> {
        assert!(batch.len() <= self.max_images && self.busy.len() < 2);
        self.log.batches.fetch_add(1, SeqCst);
        let mut whole = !self.single.behaviour.engines_refuse;
        for (encoded, surface) in batch {
            whole &= self.single.decode(encoded, surface)?;
        }
        if whole || self.single.behaviour.fails_late {
            self.busy.push_back(whole);
            self.log.most_busy.fetch_max(self.busy.len() as u32, SeqCst);
            return Ok(Begun::UnderWay);
        }
        Ok(Begun::Refused(CudaError::Nvjpeg {
            what: "nvjpegDecodeBatched",
            status: 8,
            name: "NVJPEG_STATUS_INTERNAL_ERROR",
        }))
    }

    fn finish(&mut self) -> Result<bool, CudaError> {
        Ok(self.busy.pop_front().expect("a batch is under way"))
    }
}

struct HostKernels {
    behaviour: Behaviour,
    log: Arc<Log>,
    kernels: augment::ViewKernels,
}

impl ViewKernels for HostKernels {
    fn max_views(&self) -> usize {
        24
    }

    fn stream(&self) -> u64 {
        STREAM
    }

    fn render(&mut self, tasks: &[ViewTask]) -> Result<(), CudaError> {
        assert!(!tasks.is_empty() && tasks.len() <= self.max_views());
        let call = self.log.calls.fetch_add(1, SeqCst);
        assert_ne!(
            Some(call),
            self.behaviour.kernels_panic_at,
            "the kernels panic as they were told to"
        );
        if Some(call) == self.behaviour.kernels_fail_at {
            return Err(CudaError::Driver {
                what: "cuLaunchKernel",
                code: 700,
                name: "CUDA_ERROR_ILLEGAL_ADDRESS".into(),
            });
        }
        self.log.views.fetch_add(tasks.len() as u32, SeqCst);
        if self.behaviour.oracle {
            return render_by_oracle(tasks);
        }
        for task in tasks {
            let Surface { width, height, .. } = task.surface;
            // SAFETY: the row's image is complete and its lease is held.
            let data = unsafe { bytes_of(&task.surface) }.to_vec();
            let stored = Pixels { width, height, data, scale: 1, left: 0, top: 0 };
            let mut turned = Pixels::default();
            let image = task.orientation.apply(&stored, &mut turned);
            // SAFETY: the row is of a slot whose lease is held.
            let out = unsafe { values_of(task) };
            let mut view = vec![0; out.len()];
            self.kernels.render(image, &task.plan, &mut view);
            for (out, value) in out.iter_mut().zip(view) {
                *out = value.into();
            }
        }
        Ok(())
    }

    fn fence(&mut self) -> Result<Arc<dyn Fence>, CudaError> {
        Ok(Arc::new(HostFence(AtomicBool::new(!self.behaviour.lazy_fences))))
    }
}

/// The values of a row.
///
/// # Safety
/// The row is of a slot of a [`HostDevice`], and its lease is held.
#[expect(clippy::mut_from_ref, reason = "the row is an address; its lease makes it exclusive")]
unsafe fn values_of(task: &ViewTask) -> &mut [f32] {
    let count = 3 * (task.plan.size as usize).pow(2);
    // SAFETY: by the caller's promise; a row has so many values.
    unsafe { slice::from_raw_parts_mut(task.out as *mut f32, count) }
}

fn render_by_oracle(tasks: &[ViewTask]) -> Result<(), CudaError> {
    let oracle_task = |task: &ViewTask| {
        let Surface { width, height, pitch, .. } = task.surface;
        // SAFETY: the row's image is complete and its lease is held; this borrows nothing of `task`.
        let pixels: &[u8] = unsafe { bytes_of(&task.surface) };
        // SAFETY: as above: the memory stays until the lease is given up, after this call.
        let pixels = unsafe { slice::from_raw_parts(pixels.as_ptr(), pixels.len()) };
        let image = oracle::Image { pixels, width, height, pitch };
        oracle::Task { image, orientation: task.orientation, plan: task.plan }
    };
    let oracle_tasks: Vec<_> = tasks.iter().map(oracle_task).collect();
    let launch = oracle::Launch::default();
    let views = oracle::render_batch(&oracle_tasks, PixelKind::F32, Normalize::NONE, launch)?;
    for (task, view) in tasks.iter().zip(views) {
        // SAFETY: the row is of a slot whose lease is held.
        unsafe { values_of(task) }.copy_from_slice(&view);
    }
    Ok(())
}

struct HostFence(AtomicBool);

impl Fence for HostFence {
    fn wait(&self) -> Result<(), CudaError> {
        self.0.store(true, SeqCst);
        Ok(())
    }

    fn has_passed(&self) -> Result<bool, CudaError> {
        Ok(self.0.load(SeqCst))
    }
}

#[derive(Debug)]
struct Maker(Arc<Log>);

impl SlotMaker for Maker {
    fn block(&self, bytes: usize) -> Result<Box<dyn Block>, CudaError> {
        Ok(Box::new(HostBlock(HeapMemory.allocate(bytes).unwrap())))
    }

    fn events(&self) -> Result<Box<dyn SlotEvents>, CudaError> {
        Ok(Box::new(HostEvents { log: Arc::clone(&self.0), is_free: Mutex::new(true) }))
    }
}

struct HostBlock(Box<dyn SlotBlock>);

impl std::fmt::Debug for HostBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HostBlock({} bytes)", self.0.len())
    }
}

impl Block for HostBlock {
    fn address(&self) -> u64 {
        let start: NonNull<u8> = self.0.pointer();
        start.as_ptr() as u64
    }
}

/// Also checks the order of events: filled, ready, freed, and again.
#[derive(Debug)]
struct HostEvents {
    log: Arc<Log>,
    is_free: Mutex<bool>,
}

impl SlotEvents for HostEvents {
    fn hold_back(&self, stream: u64) -> Result<(), CudaError> {
        assert_eq!(stream, STREAM);
        assert!(*self.is_free.lock().unwrap(), "a round begins before the slot was freed");
        self.log.held_back.fetch_add(1, SeqCst);
        Ok(())
    }

    fn record_ready(&self, stream: u64) -> Result<(), CudaError> {
        assert_eq!(stream, STREAM);
        assert!(std::mem::replace(&mut *self.is_free.lock().unwrap(), false), "ready twice");
        self.log.ready.fetch_add(1, SeqCst);
        Ok(())
    }

    unsafe fn wait_ready(&self, stream: u64) -> Result<(), CudaError> {
        assert_eq!(stream, TRAINER);
        assert!(!*self.is_free.lock().unwrap(), "the trainer waits for what was not written");
        self.log.waited.fetch_add(1, SeqCst);
        Ok(())
    }

    unsafe fn record_free(&self, stream: u64) -> Result<(), CudaError> {
        assert_eq!(stream, TRAINER);
        assert!(!std::mem::replace(&mut *self.is_free.lock().unwrap(), true), "free twice");
        self.log.freed.fetch_add(1, SeqCst);
        Ok(())
    }

    fn drain(&self) -> Result<(), CudaError> {
        *self.is_free.lock().unwrap() = true;
        self.log.drained.fetch_add(1, SeqCst);
        Ok(())
    }
}
