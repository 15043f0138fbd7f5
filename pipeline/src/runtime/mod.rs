//! What every stage runs on: named threads under a panic guard, cancellation, metrics, errors.

mod error;
pub mod metrics;

pub use error::{FailureCause, PipelineError, StageFailure};
