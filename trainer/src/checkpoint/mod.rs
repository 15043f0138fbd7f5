//! Checkpoints: a folder each, complete or not there.
//!
//! ```text
//! RUN/checkpoints/
//!   step-00001200/           renamed into place as a whole, after everything in it is on the disk
//!     model.safetensors      online.*, momentum.*, groups
//!     optimizer.safetensors  moments
//!     memory.safetensors     features for the next reset; only with resets
//!     state.json             written last: position, counters, settings, digests of the files above
//!   latest                   name of the newest, replaced atomically
//! ```
//!
//! A folder whose `state.json` is missing or whose files have another length or digest is never resumed
//! from; the newest complete one is. Writing is done on the training thread: on the CPU there is no spare
//! core to hide it on, and a checkpoint is short against the stretch between two of them.

mod error;
mod state;
mod store;
pub mod tensors;

#[cfg(test)]
mod tests;

pub use error::CheckpointError;
pub use state::{FileRecord, RunState};
pub use store::{Checkpoint, Store};
pub(crate) use store::{replace, write_synced};
