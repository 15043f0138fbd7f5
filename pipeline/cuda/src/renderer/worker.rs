//! A thread that decodes single images: by nvJPEG's hybrid decoder where it takes them, else on the processor.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crossbeam::channel::Receiver;
use smog_pipeline::augment::SamplePlan;
use smog_pipeline::codec::CodecError;
use smog_pipeline::render::sample::{RenderSettings, SampleDecoder};
use smog_pipeline::render::{RenderContext, RowJob};
use smog_pipeline::runtime::metrics::{QueueMeter, StageCounters};
use smog_pipeline::runtime::{Cancel, StageExit};
use smog_pipeline::sample::{ImageMeta, SampleKey};

use super::counts::Routes;
use super::{Decoded, Device, Output, Placed, SingleDecoder, draw_plan};
use crate::CudaError;
use crate::route::{Route, Router};
use crate::surfaces::SurfaceLease;

/// One thread.
pub(super) struct Worker {
    pub(super) device: Arc<dyn Device>,
    pub(super) decoder: Box<dyn SingleDecoder>,
    /// The processor's decoder, which decides what is bad.
    pub(super) reference: SampleDecoder,
    pub(super) router: Router,
    pub(super) settings: RenderSettings,
    pub(super) context: RenderContext,
    pub(super) jobs: Receiver<RowJob>,
    /// What the JPEG engines do not take. It comes first, since its slot has waited longer.
    pub(super) passed: Passed,
    pub(super) decoded: Output,
    pub(super) counters: Arc<StageCounters>,
    pub(super) routes: Arc<Routes>,
}

/// The queue of what the engines pass on; nothing comes where there are none.
#[derive(Clone)]
pub(super) struct Passed {
    rows: Receiver<RowJob>,
    queue: Option<Arc<QueueMeter>>,
}

impl Passed {
    pub(super) fn new(rows: Receiver<RowJob>, queue: Option<Arc<QueueMeter>>) -> Self {
        Self { rows, queue }
    }
}

impl Worker {
    pub(super) fn run(&mut self, cancel: &Cancel) -> Result<(), StageExit> {
        loop {
            let next = || cancel.recv_either(&self.passed.rows, &self.jobs);
            let (job, was_passed) = self.counters.wait_input(next)?;
            match &self.passed.queue {
                Some(queue) if was_passed => queue.took(),
                _ => self.context.metrics.rows.took(),
            }
            let done = self.decode(job, cancel)?;
            self.decoded.send(done, &self.counters, cancel)?;
        }
    }

    /// Brings the image of the row to a surface, or that of the next row of its row group where it is refused.
    fn decode(&mut self, mut job: RowJob, cancel: &Cancel) -> Result<Decoded, StageExit> {
        let bad_samples = Arc::clone(&self.context.bad_samples);
        let shown =
            job.attempts(&bad_samples, |job, row, key| self.attempt(job, row, key, cancel))?;
        Ok(Decoded { job, row: shown.row, key: shown.key, image: shown.result })
    }

    fn attempt(
        &mut self,
        job: &mut RowJob,
        row: u32,
        key: &SampleKey,
        cancel: &Cancel,
    ) -> Result<Result<Placed, CodecError>, StageExit> {
        let started = Instant::now();
        let waited = self.counters.waited();
        let meta = job.group.metas[row as usize];
        draw_plan(job, key, &meta, &self.settings, &self.context);
        let group = Arc::clone(&job.group);
        let encoded = group.encoded(row);
        let on_device = match self.router.route(encoded, &meta) {
            Route::Hardware | Route::Hybrid => self.on_device(encoded, &meta, cancel)?,
            Route::Cpu(_) => None,
        };
        let result = match on_device {
            Some(placed) => Ok(placed),
            None => self.on_processor(encoded, &meta, job.lease.parts().plan, cancel)?,
        };
        let busy = started.elapsed().saturating_sub(self.counters.waited() - waited);
        let shown = u64::from(result.is_ok());
        self.counters.task(busy, shown, encoded.len() as u64 * shown);
        Ok(result)
    }

    /// By nvJPEG; nothing where it refuses the image.
    fn on_device(
        &mut self,
        encoded: &[u8],
        meta: &ImageMeta,
        cancel: &Cancel,
    ) -> Result<Option<Placed>, StageExit> {
        if !self.device.surfaces().fits(meta.width, meta.height) {
            // The processor may do with a part of it.
            return Ok(None);
        }
        let surface = self.allocate(meta.width, meta.height, cancel)?;
        let taken =
            self.decoder.decode(encoded, surface.surface()).map_err(CudaError::into_exit)?;
        let count = if taken { &self.routes.hybrid } else { &self.routes.hybrid_refused };
        count.fetch_add(1, Relaxed);
        let orientation = self.settings.orientation(meta);
        Ok(taken.then_some(Placed { surface, orientation, left: 0, top: 0 }))
    }

    /// By the processor, and a copy.
    fn on_processor(
        &mut self,
        encoded: &[u8],
        meta: &ImageMeta,
        plan: &SamplePlan,
        cancel: &Cancel,
    ) -> Result<Result<Placed, CodecError>, StageExit> {
        let pixels = match self.reference.decode(encoded, meta, plan) {
            Ok(pixels) => pixels,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let (width, height, left, top) = (pixels.width, pixels.height, pixels.left, pixels.top);
        if !self.device.surfaces().fits(width, height) {
            return Err(CudaError::Options {
                key: "surface_bytes",
                value: "the memory for decoded images".to_owned(),
                expected: format!("room for an image of {width}x{height} pixels"),
            }
            .into_exit());
        }
        let surfaces = self.device.surfaces();
        let surface = self.counters.wait_output(|| surfaces.allocate(width, height, cancel))?;
        self.decoder.upload(&pixels.data, surface.surface()).map_err(CudaError::into_exit)?;
        self.routes.cpu.fetch_add(1, Relaxed);
        let orientation = self.settings.orientation(meta);
        Ok(Ok(Placed { surface, orientation, left, top }))
    }

    fn allocate(
        &self,
        width: u32,
        height: u32,
        cancel: &Cancel,
    ) -> Result<SurfaceLease, StageExit> {
        let surfaces = self.device.surfaces();
        self.counters.wait_output(|| surfaces.allocate(width, height, cancel))
    }
}
