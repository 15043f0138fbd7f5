//! Makes one view: runs the kernels in the order of the plan.

use crate::augment::crop::CropResize;
use crate::augment::planes::Planes;
use crate::augment::{
    JitterOp, JitterPlan, ViewPlan, blur, brightness, contrast, flip, gray, hue, saturation,
    solarize,
};
use crate::codec::Pixels;

/// All kernels with their scratch memory; one per worker. Nothing is allocated once the largest view and
/// image were seen, apart from filter tables inside the resizer.
#[derive(Default)]
pub(crate) struct ViewKernels {
    crop: CropResize,
    planes: Planes,
    blur: blur::Blur,
}

impl ViewKernels {
    /// Renders `plan` from `image` into `view`, `size * size * 3` bytes.
    pub(crate) fn render(&mut self, image: &Pixels, plan: &ViewPlan, view: &mut [u8]) {
        self.crop.apply(image, &plan.crop, plan.size, view);
        if plan.flip {
            flip::horizontal(view, plan.size);
        }
        let colours = plan.jitter.is_some() || plan.gray;
        if !colours && plan.blur.is_none() && plan.solarize.is_none() {
            return;
        }
        let planes = &mut self.planes;
        planes.read(view, plan.size);
        if let Some(jitter) = &plan.jitter {
            apply_jitter(planes, jitter);
        }
        if plan.gray {
            gray::apply(planes);
        }
        if let Some(sigma) = plan.blur {
            self.blur.apply(planes, sigma);
        }
        if let Some(threshold) = plan.solarize {
            solarize::apply(planes, threshold);
        }
        planes.write(view);
    }
}

fn apply_jitter(planes: &mut Planes, jitter: &JitterPlan) {
    for op in jitter.order {
        match op {
            JitterOp::Brightness => brightness::apply(planes, jitter.brightness),
            JitterOp::Contrast => contrast::apply(planes, jitter.contrast),
            JitterOp::Saturation => saturation::apply(planes, jitter.saturation),
            JitterOp::Hue => hue::apply(planes, jitter.hue),
        }
    }
}
