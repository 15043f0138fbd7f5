//! One sample, encoded bytes to finished views: decoded once, every view made from it.

use std::time::Instant;

use crate::augment::{SamplePlan, ViewKernels};
use crate::codec::{
    CodecError, DecodeLimits, DecoderKind, ImageDecoder, Orientation, Pixels, decoder,
};
use crate::sample::ImageMeta;

/// Gives out the memory that views are written to.
pub trait RowViews {
    /// The view at `index`, in the order of the plan: `size * size * 3` bytes, rows of RGB8 pixels.
    fn view(&mut self, index: usize) -> &mut [u8];
}

/// How samples are decoded; the same for every renderer of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenderSettings {
    /// Library for JPEG.
    pub decoder: DecoderKind,
    /// Largest image.
    pub limits: DecodeLimits,
    /// Let the decoder reduce an image by 2, 4 or 8 where every crop still has at least as many pixels as
    /// its view. Faster, and slightly other pixels; off by default.
    pub scaled_decode: bool,
    /// Rotate images as their EXIF tag says. Off by default: PIL and torchvision leave pixels as stored, so
    /// reference recipes train so. Plans must then be drawn for [`RenderSettings::displayed`].
    pub apply_exif: bool,
}

impl RenderSettings {
    /// What the drawing of plans must take for the image: `meta` with width and height as they are after
    /// the rotation that [`SampleRenderer`] applies.
    #[must_use]
    pub fn displayed(&self, meta: &ImageMeta) -> ImageMeta {
        let (width, height) = self.orientation(meta).size(meta.width, meta.height);
        ImageMeta { width, height, ..*meta }
    }

    fn orientation(&self, meta: &ImageMeta) -> Orientation {
        if self.apply_exif {
            Orientation::from_tag(meta.orientation)
        } else {
            Orientation::AsStored
        }
    }
}

/// Time spent, summed over calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RenderTimings {
    /// Nanoseconds in the decoder, rotation included.
    pub decode_nanos: u64,
    /// Nanoseconds in crop, resize and all that follows.
    pub augment_nanos: u64,
}

/// Renders samples one after the other; one per worker. Buffers are kept from sample to sample, and no
/// sample leaves a trace in the next.
pub struct SampleRenderer {
    settings: RenderSettings,
    decoder: Box<dyn ImageDecoder>,
    kernels: ViewKernels,
    decoded: Pixels,
    rotated: Pixels,
}

impl SampleRenderer {
    /// A renderer with empty buffers.
    pub fn new(settings: &RenderSettings) -> Self {
        Self {
            settings: *settings,
            decoder: decoder(settings.decoder, settings.limits),
            kernels: ViewKernels::default(),
            decoded: Pixels::default(),
            rotated: Pixels::default(),
        }
    }

    /// Decodes `encoded` and writes every view of `plan`. `meta` is the header as stored; the plan was drawn
    /// for [`RenderSettings::displayed`] of it.
    ///
    /// # Errors
    /// If the image is refused. The views are then partly written or not at all.
    ///
    /// # Panics
    /// If a view's memory is not `size * size * 3` bytes.
    pub fn render(
        &mut self,
        encoded: &[u8],
        meta: &ImageMeta,
        plan: &SamplePlan,
        views: &mut dyn RowViews,
        timings: &mut RenderTimings,
    ) -> Result<(), CodecError> {
        let start = Instant::now();
        let max_scale = if self.settings.scaled_decode { useful_scale(plan) } else { 1 };
        self.decoder.decode(encoded, meta, max_scale, &mut self.decoded)?;
        let orientation = self.settings.orientation(meta);
        let image = orientation.apply(&self.decoded, &mut self.rotated);
        let decoded = Instant::now();
        for (index, view) in plan.views.iter().enumerate() {
            self.kernels.render(image, view, views.view(index));
        }
        timings.decode_nanos += (decoded - start).as_nanos() as u64;
        timings.augment_nanos += decoded.elapsed().as_nanos() as u64;
        Ok(())
    }
}

/// The largest reduction that leaves every crop with at least the pixels of its view, on both axes.
fn useful_scale(plan: &SamplePlan) -> u32 {
    let fits = |scale: u32| {
        plan.views.iter().all(|view| {
            let side = f64::from(view.size * scale);
            view.crop.width >= side && view.crop.height >= side
        })
    };
    [8, 4, 2].into_iter().find(|&scale| fits(scale)).unwrap_or(1)
}

#[cfg(test)]
mod tests;
