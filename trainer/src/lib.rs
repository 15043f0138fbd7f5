//! Training of SMoG: settings, the step loop, checkpoints and evaluation.

pub mod images;
pub mod settings;
