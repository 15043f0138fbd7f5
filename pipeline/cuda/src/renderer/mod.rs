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
mod counts;
mod cuda;
mod device;
mod engines;
mod gpu;
mod options;
mod worker;

use std::sync::Arc;
use std::time::Instant;

use crossbeam::channel::{Receiver, Sender, bounded, never};
use smog_pipeline::codec::Orientation;
use smog_pipeline::render::sample::{RenderSettings, SampleDecoder};
use smog_pipeline::render::{CpuRenderer, RenderContext, Renderer, RowJob};
use smog_pipeline::runtime::metrics::{QueueMeter, StageCounters};
use smog_pipeline::runtime::{
    AUGMENT, Cancel, DECODE, ENGINES, FailureCause, PASSED, PipelineError, RENDER_THREAD,
    StageExit, StageFailure, StageSet,
};
use smog_pipeline::sample::{ImageMeta, SampleKey};

pub use counts::RouteCounts;
pub use cuda::CudaRenderer;
pub(crate) use device::{BatchDecoder, Device, SingleDecoder, ViewKernels};

pub use options::{CudaFacts, CudaOptions};

use crate::CudaError;
use crate::kernels::PixelKind;
use crate::ring::{DeviceRing, SlotCounts};
use crate::route::{Router, Unchecked};
use crate::surfaces::SurfaceLease;
use augment::{Augment, Input};
use counts::{Rings, Routes};
use engines::{Engines, MAX_BUSY, Pass};
use gpu::GpuDevice;
use worker::{Passed, Worker};

/// Thread that drives the JPEG engines.
pub const ENGINES_THREAD: &str = "smog-nvjpeg";
/// Thread that enqueues the kernels.
pub const AUGMENT_THREAD: &str = "smog-augment";

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
    slots: Arc<SlotCounts>,
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
        let (routes, slots) = (Arc::default(), Arc::default());
        Self { device, settings, unchecked, workers: workers.max(1), routes, slots }
    }

    /// Memory for the slots of its streams.
    pub(crate) fn ring(&self, kind: PixelKind) -> DeviceRing {
        DeviceRing::new(self.device.slots(), kind, Arc::clone(&self.slots))
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
        let metrics = &context.metrics;
        metrics.device(|| Arc::new(Rings::new(self.device.surfaces(), &self.slots)));
        // Queues are registered in the order of the flow.
        let at_engines = (batch_decoder.is_some())
            .then(|| metrics.queue(ENGINES, (MAX_BUSY * max_images) as u32));
        let (pass, passed) = match batch_decoder {
            Some(_) => {
                let (sender, passed) = bounded(2 * self.workers as usize);
                let queue = metrics.queue(PASSED, 2 * self.workers);
                (Some(Pass { sender, queue: Arc::clone(&queue) }), Passed::new(passed, Some(queue)))
            }
            None => (None, Passed::new(never(), None)),
        };
        // Room for what the decoders finish at once, so that none of them waits for another's kernels.
        let room = 2 * self.workers as usize + max_images;
        let (sender, finished) = bounded(room);
        let queue = metrics.queue(AUGMENT, room as u32);
        let decoded = Output { sender, queue: Arc::clone(&queue) };
        let input = Input { finished, queue };
        let mut augment = Augment::new(Arc::clone(&self.device), kernels, max_rows, input, metrics);
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
        if let (Some(decoder), Some(pass), Some(queue)) = (batch_decoder, pass, at_engines) {
            let mut engines = Engines {
                decoder,
                pending: Default::default(),
                queue,
                busy: Default::default(),
                device: Arc::clone(&self.device),
                router,
                settings: self.settings,
                context: context.clone(),
                jobs,
                pass,
                decoded,
                counters: metrics.counters(ENGINES, 0),
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

/// Opens a GPU for those who use its decoders without a renderer.
pub(crate) fn open(
    settings: &RenderSettings,
    options: &CudaOptions,
) -> Result<Arc<dyn Device>, CudaError> {
    options.validate(settings.limits.max_pixels)?;
    Ok(Arc::new(GpuDevice::open(options)?))
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
