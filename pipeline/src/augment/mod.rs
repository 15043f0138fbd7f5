//! Augmentation: recipes say what may happen, plans say what does, kernels do it.

mod blend;
mod blur;
mod brightness;
mod contrast;
mod crop;
mod draw;
mod filter;
pub mod fixed;
mod gray;
mod hue;
mod plan;
mod planes;
mod presets;
mod recipe;
mod saturation;
mod solarize;
mod validate;
mod view;

pub use crate::simd::Simd;
pub use plan::{CropBox, JitterOp, JitterPlan, SamplePlan, ViewPlan};
pub use recipe::{Blur, CropRule, Jitter, Recipe, RecipeError, Solarize, ViewRecipe};
pub use view::ViewKernels;
