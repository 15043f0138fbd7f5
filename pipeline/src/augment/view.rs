//! Makes one view: runs the kernels in the order of the plan.

use crate::augment::ViewPlan;
use crate::augment::crop::CropResize;
use crate::augment::flip;
use crate::codec::Pixels;

/// All kernels with their scratch memory; one per worker. Nothing is allocated once the largest view and
/// image were seen, apart from filter tables inside the resizer.
#[derive(Default)]
pub(crate) struct ViewKernels {
    crop: CropResize,
}

impl ViewKernels {
    /// Renders `plan` from `image` into `view`, `size * size * 3` bytes.
    pub(crate) fn render(&mut self, image: &Pixels, plan: &ViewPlan, view: &mut [u8]) {
        self.crop.apply(image, &plan.crop, plan.size, view);
        if plan.flip {
            flip::horizontal(view, plan.size);
        }
    }
}
