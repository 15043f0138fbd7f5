//! Training of a classifier over an encoder: the linear probe with augmented pictures, and fine-tuning.

mod job;
mod protocol;
mod score;
mod training;

pub use job::{Ended, Job, Report, TrainingFigures};
pub use protocol::{Decay, Protocol};
pub use score::Score;
