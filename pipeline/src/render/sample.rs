//! One sample, encoded bytes to finished views: decoded once, every view made from it.

use std::time::Instant;

use crate::augment::{CropBox, SamplePlan, ViewKernels};
use crate::codec::{
    CodecError, DecodeLimits, DecodeRequest, DecoderKind, ImageDecoder, Orientation, Pixels,
    Region, decoder,
};
use crate::runtime::{AUGMENT, DECODE};
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

    /// How the image is turned before its views are made.
    pub fn orientation(&self, meta: &ImageMeta) -> Orientation {
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

/// The decoding half of [`SampleRenderer`], for renderers that make views elsewhere. Which samples are bad is decided
/// here alone.
pub struct SampleDecoder {
    settings: RenderSettings,
    decoder: Box<dyn ImageDecoder>,
    decoded: Pixels,
}

impl SampleDecoder {
    /// With the decoder that the settings name.
    pub fn new(settings: &RenderSettings) -> Self {
        Self::with_decoder(settings, decoder(settings.decoder, settings.limits))
    }

    /// With another one.
    pub fn with_decoder(settings: &RenderSettings, decoder: Box<dyn ImageDecoder>) -> Self {
        Self { settings: *settings, decoder, decoded: Pixels::default() }
    }

    /// The part of the image that the views show, as stored: [`RenderSettings::orientation`] is not applied.
    ///
    /// # Errors
    /// If the image is refused.
    pub fn decode(
        &mut self,
        encoded: &[u8],
        meta: &ImageMeta,
        plan: &SamplePlan,
    ) -> Result<&Pixels, CodecError> {
        let max_scale = if self.settings.scaled_decode { useful_scale(plan) } else { 1 };
        // Boxes are in pixels as shown, so of an image that is turned all of it is decoded.
        let stored = self.settings.orientation(meta) == Orientation::AsStored;
        let region = stored.then(|| needed(plan, max_scale));
        let request = DecodeRequest { max_scale, region };
        self.decoder.decode(encoded, meta, &request, &mut self.decoded)?;
        Ok(&self.decoded)
    }
}

/// Renders samples one after the other; one per worker. Buffers are kept from sample to sample, and no
/// sample leaves a trace in the next.
pub struct SampleRenderer {
    decoder: SampleDecoder,
    kernels: ViewKernels,
    rotated: Pixels,
}

impl SampleRenderer {
    /// A renderer with empty buffers.
    pub fn new(settings: &RenderSettings) -> Self {
        Self::with_decoder(settings, decoder(settings.decoder, settings.limits))
    }

    /// A renderer with another decoder than the settings name.
    pub fn with_decoder(settings: &RenderSettings, decoder: Box<dyn ImageDecoder>) -> Self {
        Self {
            decoder: SampleDecoder::with_decoder(settings, decoder),
            kernels: ViewKernels::default(),
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
        let span = tracing::trace_span!(DECODE, bytes = encoded.len()).entered();
        let orientation = self.decoder.settings.orientation(meta);
        let decoded = self.decoder.decode(encoded, meta, plan)?;
        let image = orientation.apply(decoded, &mut self.rotated);
        drop(span);
        let _span = tracing::trace_span!(AUGMENT, views = plan.views.len()).entered();
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

/// The part of the image that the views show, with what their filters read beside it.
fn needed(plan: &SamplePlan, max_scale: u32) -> Region {
    let [mut left, mut top, mut right, mut bottom] = [f64::MAX, f64::MAX, 0.0, 0.0];
    for view in &plan.views {
        let CropBox { x, y, width, height } = view.crop;
        // A box on whole pixels is cut out before it is resized, but it may be between pixels of a reduced
        // image. The triangle reaches as far as a pixel of the view is wide, or one of the image.
        let whole = max_scale == 1 && [x, y, width, height].iter().all(|side| side.fract() == 0.0);
        let reach = |length: f64| match whole {
            true => 0.0,
            false => (length / f64::from(view.size)).max(f64::from(max_scale)) + 1.0,
        };
        (left, right) = (left.min(x - reach(width)), right.max(x + width + reach(width)));
        (top, bottom) = (top.min(y - reach(height)), bottom.max(y + height + reach(height)));
    }
    // Casts cut off below 0; what lies outside the image is cut off by the decoder.
    let [x, y] = [left, top].map(|edge| edge.floor() as u32);
    let [right, bottom] = [right, bottom].map(|edge| edge.ceil() as u32);
    Region { x, y, width: right.saturating_sub(x), height: bottom.saturating_sub(y) }
}

#[cfg(test)]
mod tests;
