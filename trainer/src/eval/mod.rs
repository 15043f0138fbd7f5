//! Evaluation of an encoder over finite streams: k-NN accuracy, and pictures of what groups hold.

mod features;
mod groups;
mod holdout;
pub mod knn;

pub use features::{EvalStream, Features, Progress};
pub use groups::{GroupPictures, GroupPicturesReport, draw_groups};
