//! Augmentation: recipes say what may happen, plans say what does, kernels do it.

mod blend;
mod blur;
mod brightness;
mod contrast;
mod crop;
mod draw;
mod filter;
mod gray;
mod hue;
mod plan;
mod planes;
mod presets;
mod recipe;
mod saturation;
mod simd;
mod solarize;
mod validate;
mod view;

pub use plan::{CropBox, JitterOp, JitterPlan, SamplePlan, ViewPlan};
pub use recipe::{Blur, CropRule, Jitter, Recipe, RecipeError, Solarize, ViewRecipe};
pub use simd::Simd;
pub use view::ViewKernels;
