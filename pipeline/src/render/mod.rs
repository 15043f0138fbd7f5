//! From encoded rows to views in slot rows: the outer seam, with one implementation per kind of device.

mod bad;
pub mod sample;

pub use bad::{BadSampleLimit, BadSamplePolicy};
