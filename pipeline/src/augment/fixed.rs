//! The numbers that a plan becomes before pixels are touched: for renderers that make the same bytes elsewhere.
//!
//! Kernels here are loops over integers, so whoever takes the same multipliers and weights and rounds in the same
//! places gets the same views. What rounds is said in the file of each kernel.

pub use crate::augment::blend::Factor;
pub use crate::augment::blur::weights_into as blur_weights_into;
pub use crate::augment::crop::{COLUMN_UNIT, CropAxes, ROW_UNIT};
pub use crate::augment::filter::Axis;
pub use crate::augment::hue::fixed as hue_shift;
