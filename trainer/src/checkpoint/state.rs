//! The part of a checkpoint that is not tensors: `state.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use smog_pipeline::stream::StreamState;

/// Everything that a resume needs beside the tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Version of this record, [`RunState::VERSION`].
    pub version: u32,
    /// Steps done; also the next step, counted from 0. Learning rate and momentum follow from it.
    pub step: u64,
    /// Steps since the last reset of the groups, or since the start.
    pub steps_since_reset: u64,
    /// Resets so far.
    pub num_resets: u64,
    /// Loss of the last step; for people.
    pub last_loss: Option<f64>,
    /// Time spent in training so far, over all sittings.
    pub trained_seconds: f64,
    /// Position in the data.
    pub stream: StreamState,
    /// Digest of the settings that decide what a run computes.
    pub config_digest: String,
    /// All settings, as resolved.
    pub config: toml::Table,
    /// Versions of the programs that wrote it; for people.
    pub versions: BTreeMap<String, String>,
    /// Length and BLAKE3 of every other file of the checkpoint. Filled in by the writer.
    pub files: BTreeMap<String, FileRecord>,
}

impl RunState {
    /// Version that this program writes and reads.
    pub const VERSION: u32 = 1;
}

/// What a file of a checkpoint must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Length in bytes.
    pub bytes: u64,
    /// BLAKE3 in hexadecimal.
    pub blake3: String,
}
