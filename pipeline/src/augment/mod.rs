//! Augmentation: recipes say what may happen, plans say what does, kernels do it.

mod plan;
mod recipe;

pub use plan::{CropBox, JitterOp, JitterPlan, SamplePlan, ViewPlan};
pub use recipe::{Blur, CropRule, Jitter, Recipe, RecipeError, Solarize, ViewRecipe};
