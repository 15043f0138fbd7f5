//! Evaluation of an encoder over finite streams: k-NN, linear and fine-tuned classifiers, groups against labels,
//! pictures of what groups hold.

pub mod clusters;
mod features;
mod groups;
mod holdout;
pub mod knn;
pub mod labels;
pub mod linear;
pub mod splits;
pub mod subset;
pub mod supervised;

pub use features::{EvalStream, Features, Interrupted, Part, Progress, left_out};
pub use groups::{GroupPictures, GroupPicturesReport, draw_groups};
