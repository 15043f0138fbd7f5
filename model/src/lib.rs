//! SMoG (Synchronous Momentum Grouping, ECCV 2022) over libtorch.
//!
//! ```text
//!              online branch (trained)                    momentum branch (moving average)
//! views ──► encoder f ─► projector g ─► predictor h     large views ──► f' ─► g' (─► h')
//!                            │ v             │ z                             │ t
//!                            ▼               │                               ▼
//!            groups G ──► G' = update        │                   y = nearest group of t in G
//!                            │               ▼                               │
//!                            └──────► logits n(z).n(G')/tau ──► cross entropy ◄┘
//! ```
//!
//! | module | duty |
//! | --- | --- |
//! | `encoder`, `heads`, `branch` | networks with torchvision's names; `network` walks their tensors |
//! | `backbone` | an encoder alone, and a linear classifier over it: for evaluation |
//! | `pairing` | which views go through which branch |
//! | `groups`, `loss` | assignment, synchronous update, logits, cross entropy |
//! | `smog` | the model: forward pass, moving average, state |
//! | `memory`, [`kmeans`] | recent projections and the reset of the groups |
//! | [`optim`], [`schedule`] | SGD, LARS, AdamW; learning rate and momentum as functions of the step |
//! | `stats`, [`knn`] | health of the groups; weighted k-NN |
//! | `finite` | whether a state is worth keeping |
//! | [`cuda`] | libtorch's CUDA half, opened when the program runs |
//! | [`device`] | streams, events, pinned memory and copies that do not wait |
//! | `torch` | kernels and switches of libtorch that tch does not bind |
//! | `guard` | the one boundary where a refusal of libtorch becomes a [`ModelError`] |
//!
//! Operations are tch's plain ones, which panic when libtorch refuses; callers wrap a step in [`guard()`].
//!
//! On a CPU, libtorch's OpenMP threads wait for each other by spinning. Where decode workers use the same cores, that
//! costs a multiple of the work itself: with three to five times as many busy threads as cores, a step took 1.3 s
//! with `OMP_WAIT_POLICY=PASSIVE` in the environment and 6.9 s without. `GOMP_SPINCOUNT=1000` costs little there, and makes
//! steps of small networks on free cores 1.2 times as fast. The variables are read when the program starts.

mod backbone;
mod branch;
mod config;
pub mod cuda;
pub mod device;
mod draw;
mod encoder;
mod error;
mod finite;
#[cfg(test)]
mod golden;
mod groups;
mod guard;
mod heads;
pub mod kmeans;
pub mod knn;
mod layers;
mod loss;
mod memory;
mod network;
pub mod optim;
mod pairing;
mod parameter;
pub mod schedule;
mod smog;
mod stats;
mod tensors;
mod torch;

pub use backbone::{Backbone, LinearHead};
pub use config::{
    Accumulate, Arch, Direction, EncoderConfig, GroupsConfig, GroupsInit, ModelConfig, Stem,
};
pub use error::ModelError;
pub use finite::first_not_finite;
pub use guard::guard;
pub use kmeans::{KMeansDistance, KMeansInit, KMeansSettings, ResetReport};
pub use memory::FeatureMemory;
pub use optim::{Optimizer, OptimizerConfig};
pub use parameter::Parameter;
pub use smog::{EncoderBranch, Precision, SmogModel, StepOutput};
pub use stats::{GroupFigures, GroupStats};
