//! What the stages need of a device. Behind it is a GPU, or, in tests, memory of the processor.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::CudaError;
use crate::kernels::{Surface, ViewTask};
use crate::nvjpeg::Begun;
use crate::ring::SlotMaker;
use crate::surfaces::{Fence, Surfaces};

/// A device with its decoders and kernels.
pub(crate) trait Device: Send + Sync + fmt::Debug {
    /// What the slots are made of.
    fn slots(&self) -> Arc<dyn SlotMaker>;
    /// Where decoded images lie.
    fn surfaces(&self) -> &Arc<Surfaces>;
    /// The decoder of one worker.
    fn decoder(&self) -> Result<Box<dyn SingleDecoder>, CudaError>;
    /// The decoder that drives the JPEG engines, where there are any; one at a time.
    fn batch_decoder(&self) -> Result<Option<Box<dyn BatchDecoder>>, CudaError>;
    /// Most images of a batch of that decoder; 0 where there is none.
    fn max_batch_images(&self) -> u32;
    /// The kernels; one at a time.
    fn kernels(&self) -> Result<Box<dyn ViewKernels>, CudaError>;
    /// Bytes of the processor's memory that all of it takes with so many workers and images of up to `max_pixels` pixels.
    fn host_bytes(&self, workers: u32, max_pixels: u64) -> u64;
}

/// Brings single images to surfaces.
pub(crate) trait SingleDecoder: Send {
    /// Decodes, and waits until that is done. `false` where the image is refused.
    fn decode(&mut self, encoded: &[u8], surface: &Surface) -> Result<bool, CudaError>;
    /// Copies pixels that the processor decoded, and waits until that is done.
    fn upload(&mut self, pixels: &[u8], surface: &Surface) -> Result<(), CudaError>;
}

/// Decodes images in batches, of which two may be under way.
pub(crate) trait BatchDecoder: Send {
    /// Most images in a batch.
    fn max_images(&self) -> usize;
    /// Most bytes of a batch.
    fn max_bytes(&self) -> usize;
    /// Whether it takes the image of this size, by its header.
    fn takes(&mut self, encoded: &[u8], width: u32, height: u32) -> Result<bool, CudaError>;
    /// Begins a batch.
    fn begin(&mut self, batch: &[(&[u8], Surface)]) -> Result<Begun, CudaError>;
    /// Waits for the oldest batch that was begun. `false` where it failed for the sake of an image.
    fn finish(&mut self) -> Result<bool, CudaError>;
}

/// Makes views, in the order of one stream.
pub(crate) trait ViewKernels: Send {
    /// Most views in one call.
    fn max_views(&self) -> usize;
    /// The stream, for the events of slots.
    fn stream(&self) -> u64;
    /// Enqueues the views. The surfaces are complete.
    fn render(&mut self, tasks: &[ViewTask]) -> Result<(), CudaError>;
    /// A fence behind what was enqueued so far.
    fn fence(&mut self) -> Result<Arc<dyn Fence>, CudaError>;
    /// Time that the device took for an earlier call, if there is news of one: each is told once.
    fn busy(&mut self) -> Option<Duration>;
}
