//! Changes of settings that `--allow-change` let in, until there is a checkpoint that has them.
//!
//! A run that is killed before that goes on by the same plain `--resume` as any other. They are kept beside the settings of the
//! run, which a person may edit, and count for the checkpoint that they were allowed for only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::checkpoint::{replace, write_synced};
use crate::error::TrainError;
use crate::folder::RunFolder;
use crate::settings::Difference;

const FILE: &str = "allowed-changes.toml";

#[derive(Default, Serialize, Deserialize)]
struct Allowed {
    /// Of the checkpoint that has other values.
    step: u64,
    /// The new values, as TOML, by the full names of the settings.
    values: BTreeMap<String, String>,
}

/// The values that were allowed for a run that goes on at the checkpoint of this step.
pub(super) fn read(folder: &RunFolder, step: u64) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(folder.path().join(FILE)).unwrap_or_default();
    // Where it cannot be read, they are asked for again.
    let allowed: Allowed = toml::from_str(&text).unwrap_or_default();
    if allowed.step == step { allowed.values } else { BTreeMap::new() }
}

/// Keeps the changes that were allowed for a run that goes on at the checkpoint of this step.
pub(crate) fn keep_allowed(
    folder: &RunFolder,
    step: u64,
    changes: &[Difference],
) -> Result<(), TrainError> {
    let path = folder.path().join(FILE);
    if changes.is_empty() && !path.exists() {
        return Ok(());
    }
    let values = changes.iter().map(|change| (change.key.clone(), change.now.clone())).collect();
    let text = toml::to_string(&Allowed { step, values })
        .expect("a number and a table of texts are what TOML can hold");
    replace(&path, |temporary| Ok(write_synced(temporary, text.as_bytes())?))
}
