//! The renderer on the processor: each worker takes a row, decodes its image and makes its views.
//!
//! Decoding and augmenting are one task, since a decoded photograph is many times its JPEG and a queue of
//! them would be the most expensive one there is. Views are written straight into the slot.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam::channel::Receiver;

use super::bad::BadSamples;
use super::sample::{RenderSettings, RenderTimings, SampleRenderer};
use super::{RenderContext, Renderer, RowJob};
use crate::augment::Recipe;
use crate::codec::{
    CodecError, DecodeLimits, DecoderKind, ImageDecoder, decoder, most_coefficient_bytes,
};
use crate::runtime::metrics::{Metrics, StageCounters};
use crate::runtime::{
    AUGMENT, Cancel, DECODE, FailureCause, PipelineError, RENDER_THREAD, StageExit, StageSet,
};
use crate::sample::SampleKey;

/// Makes the decoder of a worker.
pub type MakeDecoder = fn(DecoderKind, DecodeLimits) -> Box<dyn ImageDecoder>;

/// Decodes and augments on `workers` threads.
#[derive(Clone, Debug)]
pub struct CpuRenderer {
    settings: RenderSettings,
    workers: u32,
    make_decoder: MakeDecoder,
}

impl CpuRenderer {
    /// A renderer with `workers` threads, at least one.
    pub fn new(settings: RenderSettings, workers: u32) -> Self {
        Self { settings, workers: workers.max(1), make_decoder: decoder }
    }

    /// The same with another decoder than those of this crate.
    #[must_use]
    pub fn with_decoder(self, make_decoder: MakeDecoder) -> Self {
        Self { make_decoder, ..self }
    }
}

impl Renderer for CpuRenderer {
    fn workers(&self) -> u32 {
        self.workers
    }

    fn scratch_bytes(&self, max_pixels: u64, max_coefficient_bytes: u64) -> u64 {
        let RenderSettings { apply_exif, decoder, limits, .. } = self.settings;
        // The decoded image and half as much again for what the decoder keeps, or its own planes and image; and the
        // rotated image where there may be one. Filters and planes of a view are small beside them.
        let halves = if decoder == DecoderKind::JpegDecoder { 6 } else { 3 };
        let rotated = if apply_exif { 2 } else { 0 };
        let pixels = max_pixels.min(limits.max_pixels);
        // Coefficients are of the largest of the images that are shown, too.
        let coefficients = max_coefficient_bytes.min(4 * most_coefficient_bytes(pixels) / 3);
        u64::from(self.workers) * (pixels * 3 * (halves + rotated) / 2 + coefficients)
    }

    fn start(
        &self,
        jobs: Receiver<RowJob>,
        context: &RenderContext,
        stages: &mut StageSet,
    ) -> Result<(), PipelineError> {
        for number in 0..self.workers {
            let mut worker = Worker {
                renderer: SampleRenderer::with_decoder(
                    &self.settings,
                    (self.make_decoder)(self.settings.decoder, self.settings.limits),
                ),
                settings: self.settings,
                recipe: Arc::clone(&context.recipe),
                seed: context.seed,
                jobs: jobs.clone(),
                bad_samples: Arc::clone(&context.bad_samples),
                decode: context.metrics.counters(DECODE, number),
                augment: context.metrics.counters(AUGMENT, number),
                metrics: Arc::clone(&context.metrics),
            };
            stages.spawn(format!("{RENDER_THREAD}{number}"), move |cancel| worker.run(cancel))?;
        }
        Ok(())
    }
}

/// One thread.
struct Worker {
    renderer: SampleRenderer,
    settings: RenderSettings,
    recipe: Arc<Recipe>,
    seed: u64,
    jobs: Receiver<RowJob>,
    bad_samples: Arc<BadSamples>,
    decode: Arc<StageCounters>,
    augment: Arc<StageCounters>,
    metrics: Arc<Metrics>,
}

impl Worker {
    fn run(&mut self, cancel: &Cancel) -> Result<(), StageExit> {
        loop {
            let job = self.decode.wait_input(|| cancel.recv(&self.jobs))?;
            self.metrics.rows.took();
            self.render(job)?;
        }
    }

    /// Fills the row, with the next sample of the row group where one is refused.
    fn render(&mut self, mut job: RowJob) -> Result<(), FailureCause> {
        let bad_samples = Arc::clone(&self.bad_samples);
        let shown = job.attempts(&bad_samples, |job, row, key| {
            Ok::<_, FailureCause>(self.attempt(job, row, key))
        })?;
        let label = job.group.labels[shown.row as usize];
        job.lease.commit(shown.key, label, job.valid);
        Ok(())
    }

    fn attempt(&mut self, job: &mut RowJob, row: u32, key: &SampleKey) -> Result<(), CodecError> {
        let _culprit = Culprit { key, path: &job.group.paths[row as usize] };
        let encoded = job.group.encoded(row);
        let meta = &job.group.metas[row as usize];
        let mut parts = job.lease.parts();
        self.recipe.draw(self.seed, key, &self.settings.displayed(meta), parts.plan);
        let mut timings = RenderTimings::default();
        let result =
            self.renderer.render(encoded, meta, parts.plan, &mut parts.views, &mut timings);
        let shown = u64::from(result.is_ok());
        self.decode.task(
            Duration::from_nanos(timings.decode_nanos),
            shown,
            encoded.len() as u64 * shown,
        );
        if result.is_ok() {
            self.augment.task(Duration::from_nanos(timings.augment_nanos), 1, 0);
        }
        result
    }
}

/// Names the sample that a worker panics over.
struct Culprit<'a> {
    key: &'a SampleKey,
    path: &'a str,
}

impl Drop for Culprit<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let (sample, epoch) = (self.key.sample.0, self.key.epoch);
            tracing::error!(sample, path = self.path, epoch, "a worker panicked over this sample");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_holds_what_the_largest_image_takes_in_each_decoder() {
        let of = |decoder, apply_exif, coefficients| {
            let settings = RenderSettings { decoder, apply_exif, ..RenderSettings::default() };
            CpuRenderer::new(settings, 3).scratch_bytes(1000, coefficients)
        };
        for (decoder, bytes) in [(DecoderKind::Baseline, 4500), (DecoderKind::JpegDecoder, 9000)] {
            assert_eq!(of(decoder, false, 0), 3 * bytes);
            assert_eq!(of(decoder, true, 0), 3 * (bytes + 3000));
            assert_eq!(of(decoder, false, 6000), 3 * (bytes + 6000));
            // Images over the limit are never decoded.
            assert_eq!(of(decoder, false, u64::MAX), 3 * (bytes + 8000));
        }
    }
}
