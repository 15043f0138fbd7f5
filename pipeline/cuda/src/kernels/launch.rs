//! The kernels on the device: loading, memory, launches. Nothing is decided here that can be decided in `pack`, where
//! it is tested.

use std::sync::Arc;

use cudarc::driver::sys::{CUdevice_attribute, CUresult};
use cudarc::driver::{
    CudaContext, CudaFunction, CudaModule, CudaStream, DriverError, LaunchConfig, PushKernelArg,
    result,
};
use cudarc::nvrtc::Ptx;

use crate::CudaError;
use crate::driver::{Event, Gpu};
use crate::kernels::compile::{FATBIN, KernelOptions, compile};
use crate::kernels::pack::{Memory, Packed};
use crate::kernels::params::{Batch, KERNELS, NUM_STAGES, THREADS, View};
use crate::kernels::task::{Normalize, PixelKind, ViewTask};

/// Scratch memory for a batch; what needs more is made in several groups.
const SCRATCH_BYTES: usize = 256 << 20;
/// Blocks in flight per multiprocessor: 8 of 256 threads fill it, and some more level out long and short tiles.
const BLOCKS_PER_MULTIPROCESSOR: u32 = 32;
/// Copies of the parameters in pinned memory. Two, so that a batch can be packed while the copy of the one before waits
/// for its turn on the stream.
const NUM_STAGED: usize = 2;

/// The loaded kernels.
pub struct Kernels {
    functions: [CudaFunction; NUM_STAGES],
    max_blocks: u32,
    /// What the code was made for, for the report.
    target: String,
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernels").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Kernels {
    /// Loads the kernels onto the device of `context`: those that were built in, else compiled or from the cache.
    ///
    /// # Errors
    /// If they have to be compiled and cannot be, or the driver refuses them.
    pub fn load(context: &Arc<CudaContext>, options: &KernelOptions) -> Result<Self, CudaError> {
        let (module, target) = module(context, options)?;
        let function = |stage: usize| {
            module.load_function(KERNELS[stage]).map_err(driver("cuModuleGetFunction"))
        };
        let functions =
            [function(0)?, function(1)?, function(2)?, function(3)?, function(4)?, function(5)?];
        let attribute = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        let count = context.attribute(attribute).map_err(driver("cuDeviceGetAttribute"))?;
        let count = u32::try_from(count).unwrap_or(1).max(1);
        tracing::info!(target, multiprocessors = count, "augmentation kernels loaded");
        Ok(Self { functions, max_blocks: count * BLOCKS_PER_MULTIPROCESSOR, target })
    }

    /// What the code was made for: `sm_90`, `compute_90`, or `built in`.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Puts the work for all `tasks` on `stream` and returns; the views are there when the stream comes to what is put
    /// on it next. Until then surfaces and rows have to stay as they are, and nobody else may touch the rows. A call
    /// waits for the device only where two calls with the same workspace are still in its queue.
    ///
    /// # Errors
    /// If there are more tasks or larger views than the workspace is for, a task is out of range (then nothing was put
    /// on the stream), or a call of the driver fails.
    pub fn render(
        &self,
        stream: &Arc<CudaStream>,
        workspace: &mut Workspace,
        tasks: &[ViewTask],
        kind: PixelKind,
        normalize: Normalize,
    ) -> Result<(), CudaError> {
        if tasks.is_empty() {
            return Ok(());
        }
        let memory = workspace.memory;
        workspace.packed.pack(tasks, kind, &memory)?;
        // The batch before may be on another stream, and works in the same scratch memory.
        workspace.done.hold_back(stream)?;
        workspace.copy_params(stream)?;
        let launched = workspace
            .packed
            .groups
            .iter()
            .try_for_each(|group| self.launch(stream, &group.batch(&memory, kind, normalize)));
        // Also where a launch failed: those before it are under way.
        workspace.done.record(stream)?;
        launched
    }

    fn launch(&self, stream: &Arc<CudaStream>, batch: &Batch) -> Result<(), CudaError> {
        for (function, &num_tiles) in self.functions.iter().zip(&batch.num_tiles) {
            if num_tiles == 0 {
                continue;
            }
            let config = LaunchConfig {
                grid_dim: (num_tiles.min(self.max_blocks), 1, 1),
                block_dim: (THREADS, 1, 1),
                shared_mem_bytes: 0,
            };
            // SAFETY: the kernels take one `Batch` by value. Its addresses are of the workspace, which outlives the
            // work (its drop waits for `done`), and of surfaces and rows, for which the caller answers.
            let launched = unsafe { stream.launch_builder(function).arg(batch).launch(config) };
            launched.map_err(driver("cuLaunchKernel"))?;
        }
        Ok(())
    }
}

/// Memory in which batches are made, taken once. It serves one batch after the other.
pub struct Workspace {
    memory: Memory,
    packed: Packed,
    staged: [Staged; NUM_STAGED],
    next: usize,
    /// Everything that was put on a stream with this memory.
    done: Event,
}

/// Pinned memory for the parameters of a batch.
struct Staged {
    bytes: *mut u8,
    /// The copy from it to the device.
    copied: Event,
}

// SAFETY: the pointers are to memory that belongs to the workspace alone; the driver takes calls from any thread, and
// each of ours binds the context first.
unsafe impl Send for Workspace {}

impl std::fmt::Debug for Workspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workspace").field("memory", &self.memory).finish_non_exhaustive()
    }
}

impl Workspace {
    /// Memory for batches of up to `max_views` views with sides up to `max_side`.
    ///
    /// # Errors
    /// If there is not enough memory on the device, or pinned memory.
    pub fn new(gpu: &Gpu, max_views: usize, max_side: u32) -> Result<Self, CudaError> {
        let least = Memory::least_scratch(max_views, max_side);
        // Enough for blur and tables of all views, but not for lines, which few images need.
        let all = least.saturating_mul(max_views.max(1));
        let scratch_bytes = all.clamp(least, SCRATCH_BYTES.max(least));
        let params_bytes = Memory::params_bytes(max_views, max_side).max(1);
        gpu.bind()?;
        let (done, copied) = (Event::new(gpu)?, [Event::new(gpu)?, Event::new(gpu)?]);
        // From here on `Drop` frees what was taken.
        let mut workspace = Self {
            memory: Memory {
                params: 0,
                scratch: 0,
                scratch_bytes: scratch_bytes as u64,
                max_views,
                max_side,
            },
            packed: Packed::default(),
            staged: copied.map(|copied| Staged { bytes: std::ptr::null_mut(), copied }),
            next: 0,
            done,
        };
        // SAFETY: the context is bound; what is taken is freed in `Drop`.
        unsafe {
            workspace.memory.params =
                result::malloc_sync(params_bytes).map_err(driver("cuMemAlloc"))?;
            workspace.memory.scratch =
                result::malloc_sync(scratch_bytes).map_err(driver("cuMemAlloc"))?;
            for staged in &mut workspace.staged {
                let bytes =
                    result::malloc_host(params_bytes, 0).map_err(driver("cuMemHostAlloc"))?;
                staged.bytes = bytes.cast();
            }
        }
        Ok(workspace)
    }

    /// Bytes that it takes on the device.
    pub fn device_bytes(&self) -> u64 {
        let params = Memory::params_bytes(self.memory.max_views, self.memory.max_side);
        self.memory.scratch_bytes + params as u64
    }

    /// Puts the copy of the packed parameters on the stream.
    fn copy_params(&mut self, stream: &Arc<CudaStream>) -> Result<(), CudaError> {
        let views = bytemuck::cast_slice::<View, u8>(&self.packed.views);
        let weights = bytemuck::cast_slice::<u16, u8>(&self.packed.blur_weights);
        let num_bytes = views.len() + weights.len();
        let room = Memory::params_bytes(self.memory.max_views, self.memory.max_side);
        assert!(num_bytes <= room, "a view has at most as many blur weights as its side, {room}");
        let staged = &self.staged[self.next];
        self.next = (self.next + 1) % NUM_STAGED;
        staged.copied.wait()?;
        // SAFETY: `bytes` has room for what is written (above), nobody reads it (the event), and the copy ends before
        // it is written or freed again (the event).
        unsafe {
            std::ptr::copy_nonoverlapping(views.as_ptr(), staged.bytes, views.len());
            let behind = staged.bytes.add(views.len());
            std::ptr::copy_nonoverlapping(weights.as_ptr(), behind, weights.len());
            let bytes = std::slice::from_raw_parts(staged.bytes, num_bytes);
            result::memcpy_htod_async(self.memory.params, bytes, stream.cu_stream())
                .map_err(driver("cuMemcpyHtoDAsync"))?;
        }
        staged.copied.record(stream)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // A failure here is one of the device, which whoever uses it next hears of, or of the end of the process.
        let freed = (|| -> Result<(), CudaError> {
            for staged in &self.staged {
                staged.copied.wait()?;
            }
            // It also binds the context.
            self.done.wait()?;
            // SAFETY: the memory was taken in `new`, and nothing uses it any more.
            unsafe {
                for staged in self.staged.iter().filter(|staged| !staged.bytes.is_null()) {
                    result::free_host(staged.bytes.cast()).map_err(driver("cuMemFreeHost"))?;
                }
                for address in [self.memory.params, self.memory.scratch] {
                    if address != 0 {
                        result::free_sync(address).map_err(driver("cuMemFree"))?;
                    }
                }
            }
            Ok(())
        })();
        if let Err(error) = freed {
            tracing::debug!(%error, "memory of the kernels is left to the driver");
        }
    }
}

/// The module, and what it was made for.
fn module(
    context: &Arc<CudaContext>,
    options: &KernelOptions,
) -> Result<(Arc<CudaModule>, String), CudaError> {
    if let Some(fatbin) = FATBIN {
        match context.load_module(Ptx::from_binary(fatbin.to_vec())) {
            Ok(module) => return Ok((module, "built in".into())),
            // A device older than what is built in, or a driver older than the PTX.
            Err(DriverError(
                code @ (CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU
                | CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION),
            )) => tracing::info!(?code, "no built-in kernels for this device, compiling them"),
            Err(error) => return Err(driver("cuModuleLoadData")(error)),
        }
    }
    let (major, minor) = context.compute_capability().map_err(driver("cuDeviceGetAttribute"))?;
    let architecture = u32::try_from(10 * major + minor).unwrap_or(0);
    let load =
        |bytes| context.load_module(Ptx::from_binary(bytes)).map_err(driver("cuModuleLoadData"));
    let code = compile(architecture, options)?;
    match load(code.bytes) {
        Err(error) if code.cached => {
            // The cache may be shared with a machine whose driver is newer.
            tracing::warn!(%error, "kernels out of the cache are not for this driver, compiling them");
            let code = compile(architecture, &KernelOptions { cache: None, ..options.clone() })?;
            Ok((load(code.bytes)?, code.target))
        }
        loaded => Ok((loaded?, code.target)),
    }
}

/// Says what failed.
pub(crate) fn driver(what: &'static str) -> impl Fn(DriverError) -> CudaError {
    move |DriverError(code)| CudaError::Driver {
        what,
        code: code as u32,
        name: format!("{code:?}"),
    }
}
