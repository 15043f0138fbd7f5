//! A device that is memory of the processor, so that the stages can be tested without a GPU: its surfaces and slots are
//! heap memory, its decoders the pipeline's, its kernels those of the GPU compiled as C++, or the pipeline's.

mod decoders;
mod slots;

use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use smog_pipeline::augment;
use smog_pipeline::batch::{HeapMemory, SlotBlock, SlotMemory};
use smog_pipeline::codec::Pixels;

use super::{BatchDecoder, Device, SingleDecoder, ViewKernels};
use crate::CudaError;
use crate::kernels::{Normalize, PixelKind, Surface, ViewTask, oracle};
use crate::ring::SlotMaker;
use crate::surfaces::{Fence, Surfaces};
use decoders::{Decoder, EngineDecoder};
use slots::Maker;

/// Time that a wait for a lazy device takes.
pub(super) const LAZY: Duration = Duration::from_micros(200);
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
    /// Of so many batches in a row the engines refuse all but the last; of one they refuse none.
    pub(super) engines_take_one_of: u32,
    /// Batches fail only when they are waited for.
    pub(super) fails_late: bool,
    /// The call of the kernels that panics, and the one that fails.
    pub(super) kernels_panic_at: Option<u32>,
    pub(super) kernels_fail_at: Option<u32>,
    /// The device has done nothing of what is enqueued when it is asked, and a wait for a fence takes [`LAZY`].
    pub(super) lazy: bool,
    /// A batch of the engines takes as long as all that was before it, so that they are the slowest stage of any machine.
    pub(super) engines_lag: bool,
    /// What a batch of the engines takes, and what an image of a worker takes.
    pub(super) batch_takes: Duration,
    pub(super) image_takes: Duration,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            engines: Some(4),
            oracle: false,
            surface_bytes: 1 << 20,
            refuses_comments: false,
            engines_take_one_of: 1,
            fails_late: false,
            kernels_panic_at: None,
            kernels_fail_at: None,
            lazy: false,
            engines_lag: false,
            batch_takes: Duration::ZERO,
            image_takes: Duration::ZERO,
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
}

impl Device for HostDevice {
    fn slots(&self) -> Arc<dyn SlotMaker> {
        Arc::new(Maker { log: Arc::clone(&self.log), lazy: self.behaviour.lazy })
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
            let log = Arc::clone(&self.log);
            Box::new(EngineDecoder::new(self.behaviour, max_images, log)) as Box<dyn BatchDecoder>
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
            took: None,
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

struct HostKernels {
    behaviour: Behaviour,
    log: Arc<Log>,
    kernels: augment::ViewKernels,
    took: Option<Duration>,
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
        let begun = Instant::now();
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
            render_by_oracle(tasks)?;
        } else {
            self.render_by_pipeline(tasks);
        }
        self.took = Some(begun.elapsed());
        Ok(())
    }

    fn fence(&mut self) -> Result<Arc<dyn Fence>, CudaError> {
        Ok(Arc::new(HostFence {
            lazy: self.behaviour.lazy,
            passed: AtomicBool::new(!self.behaviour.lazy),
        }))
    }

    fn busy(&mut self) -> Option<Duration> {
        self.took.take()
    }
}

impl HostKernels {
    fn render_by_pipeline(&mut self, tasks: &[ViewTask]) {
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

struct HostFence {
    lazy: bool,
    passed: AtomicBool,
}

impl Fence for HostFence {
    fn wait(&self) -> Result<(), CudaError> {
        if self.lazy {
            std::thread::sleep(LAZY);
        }
        self.passed.store(true, SeqCst);
        Ok(())
    }

    fn has_passed(&self) -> Result<bool, CudaError> {
        Ok(self.passed.load(SeqCst))
    }
}
