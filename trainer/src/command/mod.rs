//! The commands of the program, one module each.

pub(crate) mod devices;
pub(crate) mod embed;
pub(crate) mod eval;
pub(crate) mod export;
pub(crate) mod presets;
pub(crate) mod run;
