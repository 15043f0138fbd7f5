//! Who makes the views of a run, and in which memory: the seam at which a renderer on the GPU comes in.

use std::ptr::NonNull;
use std::sync::Arc;

use smog_model::device::host_bytes;
use smog_pipeline::batch::{SlotBlock, SlotMemory};
use smog_pipeline::stream::{StreamConfig, StreamParts};
use tch::{Device, Tensor};

use crate::error::TrainError;
use crate::settings::RendererKind;

/// The parts of the stream for a run on `device`. Whatever makes the views, batches are handed over as
/// [`HostBatch`](smog_pipeline::batch::HostBatch)es; on a GPU their slots lie in pinned memory.
///
/// `auto` takes the renderer on the GPU once there is one.
///
/// # Errors
/// [`TrainError::Renderer`] where the renderer that was asked for is not there.
pub(crate) fn make_renderer(
    wanted: RendererKind,
    device: Device,
    config: &StreamConfig,
) -> Result<StreamParts, TrainError> {
    let mut parts = StreamParts::cpu(config);
    if device.is_cuda() {
        parts.memory = Arc::new(PinnedMemory(device));
    }
    match wanted {
        RendererKind::Auto | RendererKind::Cpu => Ok(parts),
        RendererKind::Cuda if !device.is_cuda() => Err(TrainError::Renderer {
            problem: "it needs a GPU, and the run is on the CPU",
            advice: "give run.device = cuda:N, or stream.renderer = cpu",
        }),
        RendererKind::Cuda => Err(TrainError::Renderer {
            problem: "this version makes views on the processor only; batches go to the GPU from there",
            advice: "give stream.renderer = cpu or auto",
        }),
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
    fn a_renderer_that_is_not_there_is_refused_with_the_way_on() {
        let config = StreamConfig::new(Recipe::smog(), 2);
        for wanted in [RendererKind::Auto, RendererKind::Cpu] {
            let parts = make_renderer(wanted, Device::Cpu, &config).unwrap();
            assert_eq!(parts.renderer.workers(), config.resolved_workers());
        }
        let refused =
            |device| make_renderer(RendererKind::Cuda, device, &config).unwrap_err().to_string();
        assert!(refused(Device::Cpu).contains("run.device = cuda:N"));
        let message = refused(Device::Cuda(0));
        assert!(message.starts_with("stream.renderer = cuda: "), "{message}");
        assert!(message.contains("stream.renderer = cpu"), "{message}");
    }
}
