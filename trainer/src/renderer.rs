//! Who makes the views of a run, and in which memory: the seam at which a renderer on the GPU comes in.

use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use smog_cuda::kernels::{Normalize, PixelKind};
use smog_cuda::{CudaOptions, CudaRenderer};
use smog_model::Precision;
use smog_model::device::host_bytes;
use smog_pipeline::batch::{SlotBlock, SlotMemory};
use smog_pipeline::stream::{StreamConfig, StreamParts};
use smog_terminal::environment::kernel_cache;
use tch::{Device, Tensor};

use crate::device::Chosen;
use crate::error::TrainError;
use crate::images::{scale, shift};
use crate::settings::RendererKind;

/// The parts of the stream, and the renderer on the GPU where that makes the views.
pub(crate) struct Made {
    pub(crate) parts: StreamParts,
    pub(crate) cuda: Option<Arc<CudaRenderer>>,
}

/// The parts of the stream for a run on the device that was chosen, whose networks compute in `precision`. The
/// renderer on the GPU has its slots there; with the one on the processor they lie in pinned memory where the run is on
/// a GPU.
///
/// `auto` takes the renderer on the processor: the one on the GPU has run on none yet (docs/GPU.md).
///
/// # Errors
/// [`TrainError::Renderer`] where the run is on the CPU, [`TrainError::GpuRenderer`] where the GPU lacks what it needs.
pub(crate) fn make_renderer(
    wanted: RendererKind,
    chosen: &Chosen,
    precision: Precision,
    config: &StreamConfig,
) -> Result<Made, TrainError> {
    let device = chosen.device;
    match (wanted, device) {
        (RendererKind::Auto | RendererKind::Cpu, _) => {
            let mut parts = StreamParts::cpu(config);
            if device.is_cuda() {
                parts.memory = Arc::new(PinnedMemory(device));
            }
            Ok(Made { parts, cuda: None })
        }
        (RendererKind::Cuda, Device::Cuda(number)) => {
            let mut options = options(number, precision, config);
            if let Some(library) = &chosen.found_at {
                beside(library, &mut options);
            }
            let renderer = CudaRenderer::new(config.render, &options)?;
            let renderer = Arc::new(renderer);
            let parts = StreamParts {
                memory: Arc::new(renderer.ring()),
                renderer: Arc::clone(&renderer) as _,
            };
            Ok(Made { parts, cuda: Some(renderer) })
        }
        (RendererKind::Cuda, _) => Err(TrainError::Renderer {
            problem: "it needs a GPU, and the run is on the CPU",
            advice: "give run.device = cuda:N, or stream.renderer = cpu",
        }),
    }
}

/// Views as the encoder takes them: normalised as [`Normalizer`](crate::images::Normalizer) does it, in what the networks
/// compute in.
fn options(number: usize, precision: Precision, config: &StreamConfig) -> CudaOptions {
    let kind = match precision {
        Precision::F32 => PixelKind::F32,
        Precision::Bf16 => PixelKind::Bf16,
    };
    let normalize = Normalize { scale: scale(), shift: shift() };
    let mut options = CudaOptions::new(number as u32, kind, normalize, config.resolved_workers())
        .for_views(&config.recipe.view_sizes());
    options.kernels.cache = kernel_cache();
    options
}

/// Where Python packages lie beside that of torch, they bring nvJPEG (torchvision) and NVRTC along.
fn beside(libtorch_cuda: &Path, options: &mut CudaOptions) {
    // PACKAGES/torch/lib/libtorch_cuda.so
    let Some(packages) = libtorch_cuda.ancestors().nth(3) else { return };
    options.nvjpeg_paths = vec![packages.join("torchvision.libs")];
    let nvidia = packages.join("nvidia/cu13/lib");
    if nvidia.join("libnvrtc.so.13").is_file() {
        options.kernels.nvrtc = Some(nvidia);
    }
}

/// Slots in pinned memory: a copy to the GPU needs no help of the processor and nobody waits for it.
#[derive(Debug)]
pub(crate) struct PinnedMemory(pub(crate) Device);

impl SlotMemory for PinnedMemory {
    fn allocate(&self, bytes: usize) -> Result<Box<dyn SlotBlock>, String> {
        let memory = smog_model::guard(|| host_bytes(bytes.max(1), self.0))
            .map_err(|error| format!("{bytes} bytes of pinned memory: {error}"))?;
        let start = NonNull::new(memory.data_ptr().cast())
            .ok_or_else(|| "libtorch gave no memory".to_owned())?;
        Ok(Box::new(PinnedBlock { start, len: bytes, _memory: memory }))
    }
}

#[derive(Debug)]
struct PinnedBlock {
    start: NonNull<u8>,
    len: usize,
    /// Keeps the memory; used by nobody else.
    _memory: Tensor,
}

// SAFETY: a tensor may be dropped on any thread, and so may its memory.
unsafe impl Send for PinnedBlock {}
// SAFETY: a shared reference gives nothing but the address and the length.
unsafe impl Sync for PinnedBlock {}

// SAFETY: the tensor was zeroed, holds at least `len` bytes, is never resized, lives as long as the block, and no other
// handle of it exists.
unsafe impl SlotBlock for PinnedBlock {
    fn pointer(&self) -> NonNull<u8> {
        self.start
    }

    fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smog_pipeline::augment::Recipe;

    #[test]
    fn blocks_are_zero_and_of_the_length_asked_for() {
        for bytes in [0, 1, 4097] {
            let block = PinnedMemory(Device::Cpu).allocate(bytes).unwrap();
            assert_eq!(block.len(), bytes);
            // SAFETY: the block is ours alone, and of this length.
            let memory = unsafe { std::slice::from_raw_parts(block.pointer().as_ptr(), bytes) };
            assert!(memory.iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn compiled_kernels_are_kept_in_the_users_cache() {
        let config = StreamConfig::new(Recipe::smog(), 2);
        let kept = options(0, Precision::Bf16, &config).kernels.cache;
        // Without a home there is none, and kernels are compiled at every start.
        assert_eq!(kept, kernel_cache());
    }

    #[test]
    fn a_renderer_that_is_not_there_is_refused_with_the_way_on() {
        let config = StreamConfig::new(Recipe::smog(), 2);
        let make = |wanted, device| {
            let chosen = Chosen { device, found_at: None, why_cpu: None };
            make_renderer(wanted, &chosen, Precision::Bf16, &config)
        };
        for wanted in [RendererKind::Auto, RendererKind::Cpu] {
            let made = make(wanted, Device::Cpu).ok().unwrap();
            assert_eq!(made.parts.renderer.workers(), config.resolved_workers());
            assert!(made.cuda.is_none());
        }
        let refused = |device| match make(RendererKind::Cuda, device) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        assert!(refused(Device::Cpu).contains("run.device = cuda:N"));
        let message = refused(Device::Cuda(0));
        if message.is_empty() {
            println!("SKIPPED: there is a GPU, so its absence was NOT tried");
            return;
        }
        assert!(message.starts_with("stream.renderer = cuda: "), "{message}");
        assert!(message.contains("renderer = \"cpu\""), "{message}");
    }

    #[test]
    fn libraries_of_packages_beside_torch_are_offered() {
        let dir = tempfile::tempdir().unwrap();
        let nvidia = dir.path().join("nvidia/cu13/lib");
        std::fs::create_dir_all(&nvidia).unwrap();
        let of = || {
            let config = StreamConfig::new(Recipe::smog(), 2);
            let mut options = options(0, Precision::F32, &config);
            beside(&dir.path().join("torch/lib/libtorch_cuda.so"), &mut options);
            (options.nvjpeg_paths, options.kernels.nvrtc)
        };
        assert_eq!(of(), (vec![dir.path().join("torchvision.libs")], None));
        std::fs::write(nvidia.join("libnvrtc.so.13"), "").unwrap();
        assert_eq!(of().1, Some(nvidia));
    }

    #[test]
    fn the_gpu_makes_views_of_the_recipes_sizes_in_what_the_networks_compute_in() {
        let mut recipe = Recipe::smog();
        recipe.views[0].size = 320;
        let options = options(3, Precision::F32, &StreamConfig::new(recipe, 2));
        assert_eq!((options.device, options.kind, options.max_side), (3, PixelKind::F32, 320));
        let white = 255.0 * options.normalize.scale[0] + options.normalize.shift[0];
        assert!((white - (1.0 - 0.485) / 0.229).abs() < 1e-4, "{white}");
    }
}
