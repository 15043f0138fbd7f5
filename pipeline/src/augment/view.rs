//! Makes one view: runs the kernels in the order of the plan.

use crate::augment::crop::CropResize;
use crate::augment::planes::Planes;
use crate::augment::{
    JitterOp, JitterPlan, Simd, ViewPlan, blur, brightness, contrast, gray, hue, saturation,
    solarize,
};
use crate::codec::Pixels;

/// All kernels with their scratch memory; one per worker. Nothing is allocated once the largest view and
/// image were seen.
///
/// [`render`](Self::render) is what a sample needs. The single steps are there to be measured, and to be
/// compared with other implementations: they work on a view between [`load`](Self::load) and
/// [`store`](Self::store).
#[derive(Default)]
pub struct ViewKernels {
    simd: Simd,
    crop: CropResize,
    planes: Planes,
    blur: blur::Blur,
}

impl std::fmt::Debug for ViewKernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViewKernels").field("side", &self.planes.side).finish_non_exhaustive()
    }
}

impl ViewKernels {
    /// Kernels that use the given instructions; the default is the best that the processor has. The views
    /// are the same.
    pub fn new(simd: Simd) -> Self {
        Self { simd, ..Self::default() }
    }

    /// Renders `plan` from `image` into `view`.
    ///
    /// # Panics
    /// If `view` is not `size * size * 3` bytes.
    pub fn render(&mut self, image: &Pixels, plan: &ViewPlan, view: &mut [u8]) {
        let Self { simd, crop, planes, .. } = self;
        crop.apply(*simd, image, &plan.crop, plan.size, plan.flip, planes);
        if let Some(jitter) = &plan.jitter {
            self.jitter(jitter);
        }
        if plan.gray {
            self.grayscale();
        }
        if let Some(sigma) = plan.blur {
            self.blur(sigma);
        }
        if let Some(threshold) = plan.solarize {
            self.solarize(threshold);
        }
        self.store(view);
    }

    /// Takes up a finished view of `side * side * 3` bytes.
    pub fn load(&mut self, view: &[u8], side: u32) {
        self.planes.read(self.simd, view, side);
    }

    /// Writes the view as rows of RGB8 pixels.
    pub fn store(&self, view: &mut [u8]) {
        self.planes.write(self.simd, view);
    }

    fn jitter(&mut self, jitter: &JitterPlan) {
        for op in jitter.order {
            match op {
                JitterOp::Brightness => self.brightness(jitter.brightness),
                JitterOp::Contrast => self.contrast(jitter.contrast),
                JitterOp::Saturation => self.saturation(jitter.saturation),
                JitterOp::Hue => self.hue(jitter.hue),
            }
        }
    }

    /// Blends with black.
    pub fn brightness(&mut self, factor: f32) {
        brightness::apply(self.simd, &mut self.planes, factor);
    }

    /// Blends with the mean grey level.
    pub fn contrast(&mut self, factor: f32) {
        contrast::apply(self.simd, &mut self.planes, factor);
    }

    /// Blends with the greyscale image.
    pub fn saturation(&mut self, factor: f32) {
        saturation::apply(self.simd, &mut self.planes, factor);
    }

    /// Turns the colour circle by `turns`, -0.5 to 0.5.
    pub fn hue(&mut self, turns: f32) {
        hue::apply(self.simd, &mut self.planes, turns);
    }

    /// Greyscale.
    pub fn grayscale(&mut self) {
        gray::apply(self.simd, &mut self.planes);
    }

    /// Gaussian blur with standard deviation `sigma` in pixels.
    pub fn blur(&mut self, sigma: f32) {
        self.blur.apply(self.simd, &mut self.planes, sigma);
    }

    /// Inverts values of at least `threshold`.
    pub fn solarize(&mut self, threshold: u8) {
        solarize::apply(self.simd, &mut self.planes, threshold);
    }
}

#[cfg(test)]
mod tests;
