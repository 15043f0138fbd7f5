//! The renderer on a GPU, as the trainer sees it.

use std::sync::Arc;

use crossbeam::channel::Receiver;
use smog_pipeline::render::sample::RenderSettings;
use smog_pipeline::render::{RenderContext, Renderer, RowJob};
use smog_pipeline::runtime::{PipelineError, StageSet};

use super::gpu::GpuDevice;
use super::options::{CudaFacts, CudaOptions};
use super::{Device, DeviceRenderer, RouteCounts};
use crate::CudaError;
use crate::ring::DeviceRing;

/// Decodes and augments on a GPU. The stream's memory has to be the [`CudaRenderer::ring`].
#[derive(Debug)]
pub struct CudaRenderer {
    device: Arc<GpuDevice>,
    renderer: DeviceRenderer,
    options: CudaOptions,
}

impl CudaRenderer {
    /// Opens the driver and nvJPEG, compiles the kernels or takes them from the cache, and allocates what the stages
    /// need in common.
    ///
    /// # Errors
    /// If the options are out of range, something is missing ([`CudaError::is_missing`]), or a call fails.
    pub fn new(settings: RenderSettings, options: &CudaOptions) -> Result<Self, CudaError> {
        options.validate(settings.limits.max_pixels)?;
        let device = Arc::new(GpuDevice::open(options)?);
        let as_device: Arc<dyn Device> = device.clone();
        let renderer = DeviceRenderer::new(as_device, settings, options.unchecked, options.workers);
        Ok(Self { device, renderer, options: options.clone() })
    }

    /// Memory for the slots of the stream, on the device.
    pub fn ring(&self) -> DeviceRing {
        self.renderer.ring(self.options.kind)
    }

    /// What was found on the device.
    pub fn facts(&self) -> CudaFacts {
        *self.device.facts()
    }

    /// Images by the way they took.
    pub fn counts(&self) -> RouteCounts {
        self.renderer.counts()
    }
}

impl Renderer for CudaRenderer {
    fn workers(&self) -> u32 {
        self.renderer.workers()
    }

    fn queue_rows(&self) -> u32 {
        self.renderer.queue_rows()
    }

    fn scratch_bytes(&self, max_pixels: u64, max_coefficient_bytes: u64) -> u64 {
        self.renderer.scratch_bytes(max_pixels, max_coefficient_bytes)
    }

    fn start(
        &self,
        jobs: Receiver<RowJob>,
        context: &RenderContext,
        stages: &mut StageSet,
    ) -> Result<(), PipelineError> {
        let largest = context.recipe.view_sizes().into_iter().max().unwrap_or(0);
        if largest > self.options.max_side {
            return Err(super::cannot_start(CudaError::Options {
                key: "max_side",
                value: self.options.max_side.to_string(),
                expected: format!("at least {largest}, the largest view of the recipe"),
            }));
        }
        self.renderer.start(jobs, context, stages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Normalize, PixelKind};

    fn options() -> CudaOptions {
        let normalize = Normalize { scale: [1.0 / 255.0; 3], shift: [0.0; 3] };
        CudaOptions::new(0, PixelKind::Bf16, normalize, 2)
    }

    #[test]
    fn options_out_of_range_are_refused_before_anything_is_opened() {
        let of = |change: fn(&mut CudaOptions)| {
            let mut options = options();
            change(&mut options);
            CudaRenderer::new(RenderSettings::default(), &options).unwrap_err().to_string()
        };
        assert_eq!(
            of(|options| options.surface_bytes = 1000),
            "surface_bytes = 1000, expected at least 300000000: 3 bytes for each of the 100000000 pixels that an \
             image may have"
        );
        for (change, key) in [
            ((|options| options.workers = 0) as fn(&mut CudaOptions), "workers = 0"),
            (|options| options.staging_bytes = 7, "staging_bytes = 7"),
            (|options| options.max_batch_images = 5000, "max_batch_images = 5000"),
            (|options| options.max_views = 0, "max_views = 0"),
            (|options| options.max_side = 0, "max_side = 0"),
        ] {
            assert!(of(change).starts_with(key), "{}", of(change));
        }
    }

    #[test]
    fn without_a_gpu_the_renderer_says_what_is_missing() {
        match CudaRenderer::new(RenderSettings::default(), &options()) {
            Ok(renderer) => {
                println!(
                    "SKIPPED: there is a GPU ({:?}), so its absence was NOT tried",
                    renderer.facts()
                );
            }
            Err(error) => assert!(error.is_missing(), "{error}"),
        }
    }
}
