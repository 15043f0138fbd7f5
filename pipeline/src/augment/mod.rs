//! Augmentation: recipes say what may happen, plans say what does, kernels do it.

mod crop;
mod draw;
mod flip;
mod plan;
mod presets;
mod recipe;
mod validate;
mod view;

pub use plan::{CropBox, JitterOp, JitterPlan, SamplePlan, ViewPlan};
pub use recipe::{Blur, CropRule, Jitter, Recipe, RecipeError, Solarize, ViewRecipe};
pub(crate) use view::ViewKernels;
