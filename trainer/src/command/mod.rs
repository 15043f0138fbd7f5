//! The commands of the program, one module each.

pub(crate) mod eval;
pub(crate) mod presets;
pub(crate) mod run;
