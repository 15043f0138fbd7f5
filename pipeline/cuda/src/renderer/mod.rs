//! The renderer whose views are made on a device.
//!
//! ```text
//!              smog-render-N                                   smog-augment
//!  RowJob ─┬─> Worker: hybrid decoder, ─────────surface──┬──> kernels, events ──> commit
//!          │   or the processor's and a copy       ^     │
//!          │            ^ what the engines refuse  │     │
//!          └─> Engines: batches ───────────────────┴─────┘
//!              smog-nvjpeg
//! ```
//!
//! Workers and the thread of the JPEG engines take rows from the same queue, so the work falls to whoever has time: no
//! setting says which share goes where. A row is committed once its kernels are enqueued; the events of its slot
//! ([`crate::ring`]) do the rest.
//!
//! Which samples are bad is decided by the processor's decoder alone. What nvJPEG refuses is tried there, and only if
//! that refuses it, too, another sample stands in. So that costs nothing for good images; [`Unchecked`] says what it
//! costs for those that nobody has decoded before.

mod augment;
mod cuda;
mod device;
mod engines;
mod gpu;
mod options;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use crossbeam::channel::{Receiver, Sender, bounded, never};
use smog_pipeline::codec::Orientation;
use smog_pipeline::render::sample::{RenderSettings, SampleDecoder};
use smog_pipeline::render::{CpuRenderer, RenderContext, Renderer, RowJob};
use smog_pipeline::runtime::metrics::{QueueMeter, StageCounters};
use smog_pipeline::runtime::{
    AUGMENT, Cancel, DECODE, FailureCause, PipelineError, RENDER_THREAD, StageExit, StageFailure,
    StageSet,
};
use smog_pipeline::sample::{ImageMeta, SampleKey};

pub use cuda::CudaRenderer;
pub(crate) use device::{BatchDecoder, Device, SingleDecoder, ViewKernels};

pub use options::{CudaFacts, CudaOptions};

use crate::CudaError;
use crate::route::{Router, Unchecked};
use crate::surfaces::SurfaceLease;
use augment::Augment;
use engines::Engines;
use worker::Worker;

/// Thread that drives the JPEG engines.
pub const ENGINES_THREAD: &str = "smog-nvjpeg";
/// Thread that enqueues the kernels.
pub const AUGMENT_THREAD: &str = "smog-augment";

/// Images by the way they took, since the renderer was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteCounts {
    /// Decoded by the JPEG engines.
    pub hardware: u64,
    /// Batches of theirs.
    pub hardware_batches: u64,
    /// Decoded by a hybrid decoder.
    pub hybrid: u64,
    /// Decoded by the processor.
    pub cpu: u64,
    /// Passed on by the engines, one by one or with their batch.
    pub hardware_refused: u64,
    /// Passed on by a hybrid decoder.
    pub hybrid_refused: u64,
}

impl RouteCounts {
    /// What was counted since `before`, of the same renderer.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            hardware: self.hardware - before.hardware,
            hardware_batches: self.hardware_batches - before.hardware_batches,
            hybrid: self.hybrid - before.hybrid,
            cpu: self.cpu - before.cpu,
            hardware_refused: self.hardware_refused - before.hardware_refused,
            hybrid_refused: self.hybrid_refused - before.hybrid_refused,
        }
    }
}

/// The counters behind [`RouteCounts`].
#[derive(Debug, Default)]
pub(crate) struct Routes {
    hardware: AtomicU64,
    hardware_batches: AtomicU64,
    hybrid: AtomicU64,
    cpu: AtomicU64,
    hardware_refused: AtomicU64,
    hybrid_refused: AtomicU64,
}

impl Routes {
    fn read(&self) -> RouteCounts {
        RouteCounts {
            hardware: self.hardware.load(Relaxed),
            hardware_batches: self.hardware_batches.load(Relaxed),
            hybrid: self.hybrid.load(Relaxed),
            cpu: self.cpu.load(Relaxed),
            hardware_refused: self.hardware_refused.load(Relaxed),
            hybrid_refused: self.hybrid_refused.load(Relaxed),
        }
    }
}

/// A row whose image lies on a surface.
#[derive(Debug)]
struct Decoded {
    job: RowJob,
    /// Row of the sample in its row group.
    row: u32,
    key: SampleKey,
    image: Placed,
}

/// An image, or the part of it that is needed, on a surface.
#[derive(Debug)]
struct Placed {
    surface: SurfaceLease,
    orientation: Orientation,
    /// Pixels of the image to the left of the surface and above it.
    left: u32,
    top: u32,
}

/// The queue to the kernels, as a decoder sees it.
#[derive(Clone, Debug)]
struct Output {
    sender: Sender<Decoded>,
    queue: Arc<QueueMeter>,
}

impl Output {
    fn send(
        &self,
        row: Decoded,
        counters: &StageCounters,
        cancel: &Cancel,
    ) -> Result<(), StageExit> {
        counters.wait_output(|| cancel.send(&self.sender, row))?;
        self.queue.put();
        Ok(())
    }
}

/// Renders on a device of any kind.
#[derive(Debug)]
pub(crate) struct DeviceRenderer {
    device: Arc<dyn Device>,
    settings: RenderSettings,
    unchecked: Unchecked,
    workers: u32,
    routes: Arc<Routes>,
}

impl DeviceRenderer {
    /// With at least one worker. Reduced decoding is switched off: a full decode costs a GPU little.
    pub(crate) fn new(
        device: Arc<dyn Device>,
        settings: RenderSettings,
        unchecked: Unchecked,
        workers: u32,
    ) -> Self {
        let settings = RenderSettings { scaled_decode: false, ..settings };
        Self { device, settings, unchecked, workers: workers.max(1), routes: Arc::default() }
    }

    pub(crate) fn counts(&self) -> RouteCounts {
        self.routes.read()
    }
}

impl Renderer for DeviceRenderer {
    fn workers(&self) -> u32 {
        self.workers
    }

    fn queue_rows(&self) -> u32 {
        // The engines take a batch at once, beside the workers.
        2 * self.workers + self.device.max_batch_images()
    }

    fn scratch_bytes(&self, max_pixels: u64, max_coefficient_bytes: u64) -> u64 {
        // Each worker has a decoder of the processor, too.
        let decoders = CpuRenderer::new(self.settings, self.workers);
        decoders.scratch_bytes(max_pixels, max_coefficient_bytes)
            + self.device.host_bytes(self.workers, max_pixels)
    }

    fn start(
        &self,
        jobs: Receiver<RowJob>,
        context: &RenderContext,
        stages: &mut StageSet,
    ) -> Result<(), PipelineError> {
        let kernels = self.device.kernels().map_err(cannot_start)?;
        let num_views = context.recipe.view_sizes().len();
        let max_rows = kernels.max_views() / num_views.max(1);
        if max_rows == 0 {
            return Err(cannot_start(CudaError::Options {
                key: "max_views",
                value: kernels.max_views().to_string(),
                expected: format!("at least the {num_views} views of a sample"),
            }));
        }
        let batch_decoder = self.device.batch_decoder().map_err(cannot_start)?;
        let max_images = batch_decoder.as_ref().map_or(0, |decoder| decoder.max_images());
        let router = Router {
            limits: self.settings.limits,
            unchecked: self.unchecked,
            hardware: batch_decoder.is_some(),
        };
        // Room for what the decoders finish at once, so that none of them waits for another's kernels.
        let room = 2 * self.workers as usize + max_images;
        let (sender, finished) = bounded(room);
        let queue = context.metrics.queue(AUGMENT, room as u32);
        let decoded = Output { sender, queue: Arc::clone(&queue) };
        let (pass, passed) = match batch_decoder {
            Some(_) => {
                let (pass, passed) = bounded(2 * self.workers as usize);
                (Some(pass), passed)
            }
            None => (None, never()),
        };
        let metrics = &context.metrics;
        let mut augment =
            Augment::new(kernels, max_rows, finished, queue, metrics.counters(AUGMENT, 0));
        for number in 0..self.workers {
            let mut worker = Worker {
                device: Arc::clone(&self.device),
                decoder: self.device.decoder().map_err(cannot_start)?,
                reference: SampleDecoder::new(&self.settings),
                router,
                settings: self.settings,
                context: context.clone(),
                jobs: jobs.clone(),
                passed: passed.clone(),
                decoded: decoded.clone(),
                counters: metrics.counters(DECODE, number),
                routes: Arc::clone(&self.routes),
            };
            stages.spawn(format!("{RENDER_THREAD}{number}"), move |cancel| worker.run(cancel))?;
        }
        if let (Some(decoder), Some(pass)) = (batch_decoder, pass) {
            let mut engines = Engines {
                decoder,
                pending: Default::default(),
                busy: Default::default(),
                device: Arc::clone(&self.device),
                router,
                settings: self.settings,
                context: context.clone(),
                jobs,
                pass,
                decoded,
                counters: metrics.counters(DECODE, self.workers),
                routes: Arc::clone(&self.routes),
                idle_since: Instant::now(),
                failed_in_a_row: 0,
                warned: false,
            };
            stages.spawn(ENGINES_THREAD.to_owned(), move |cancel| engines.run(cancel))?;
        }
        stages.spawn(AUGMENT_THREAD.to_owned(), move |cancel| augment.run(cancel))
    }
}

/// Draws the plan of a row into its slot.
fn draw_plan(
    job: &mut RowJob,
    key: &SampleKey,
    meta: &ImageMeta,
    settings: &RenderSettings,
    context: &RenderContext,
) {
    let shown = settings.displayed(meta);
    context.recipe.draw(context.seed, key, &shown, job.lease.parts().plan);
}

fn cannot_start(error: CudaError) -> PipelineError {
    PipelineError::Stage(Arc::new(StageFailure {
        stage: "the renderer on the GPU".to_owned(),
        cause: FailureCause::Other(error.to_string()),
    }))
}

#[cfg(test)]
mod host;
#[cfg(test)]
mod tests;
