//! SMoG (Synchronous Momentum Grouping, ECCV 2022) over libtorch.
//!
//! x

mod config;
mod draw;
mod error;
mod guard;
pub mod kmeans;
pub mod knn;
mod memory;
pub mod optim;
mod parameter;
pub mod schedule;
mod smog;
mod stats;
mod tensors;

pub use config::{Arch, Direction, EncoderConfig, GroupsConfig, ModelConfig, Stem};
pub use error::ModelError;
pub use guard::guard;
pub use kmeans::{KMeansInit, KMeansSettings};
pub use memory::FeatureMemory;
pub use optim::{Optimizer, OptimizerConfig};
pub use parameter::Parameter;
pub use smog::{ResetReport, SmogModel, StepOutput};
pub use stats::{GroupFigures, GroupStats};
