//! `--init`: the encoder of a file as the beginning of a run.

use std::fmt;
use std::path::PathBuf;

use smog_model::{ModelError, SmogModel};

use crate::checkpoint::{replace, tensors};
use crate::error::TrainError;
use crate::folder::{INIT_FILE, RunFolder, stored_settings};
use crate::settings::RunConfig;

/// A file that a run began with.
#[derive(Debug)]
pub(crate) struct Initial {
    path: PathBuf,
    num_loaded: usize,
    left_out: Vec<String>,
}

/// Takes over the file that `run.init` names, where it names one: the run's own copy of it if there is one already. `folder` is
/// that of a run without a checkpoint, which may have begun with another file.
pub(crate) fn load(
    model: &mut SmogModel,
    config: &RunConfig,
    folder: Option<&RunFolder>,
) -> Result<Option<Initial>, TrainError> {
    let Some(given) = &config.run.init else { return Ok(None) };
    let copy = folder
        .filter(|folder| began_with(folder).as_ref() == Some(given))
        .map(|folder| folder.path().join(INIT_FILE))
        .filter(|copy| copy.is_file());
    let path = copy.unwrap_or_else(|| given.clone());
    let tensors = tensors::read(&path)?;
    let num_tensors = tensors.len();
    let refused = |source: ModelError| TrainError::Init { path: path.clone(), source };
    let left_out = smog_model::guard(|| model.load_encoder(tensors))
        .and_then(|result| result)
        .map_err(refused)?;
    Ok(Some(Initial { num_loaded: num_tensors - left_out.len(), left_out, path }))
}

/// The file that the run in this folder began with, as far as its settings say.
fn began_with(folder: &RunFolder) -> Option<PathBuf> {
    stored_settings(folder.path()).ok()?.resolve().ok()?.run.init
}

impl Initial {
    /// Removes the copy of a file that the run began with before, so that it never passes for one of this file.
    pub(crate) fn make_room(&self, folder: &RunFolder) -> Result<(), TrainError> {
        let copy = folder.path().join(INIT_FILE);
        if self.path == copy || !copy.exists() {
            return Ok(());
        }
        std::fs::remove_file(&copy).map_err(TrainError::io("remove", &copy))
    }

    /// Copies the file into the run's folder, so that the run can begin again without it.
    pub(crate) fn keep(&self, folder: &RunFolder) -> Result<(), TrainError> {
        let copy = folder.path().join(INIT_FILE);
        if self.path == copy {
            return Ok(());
        }
        Ok(replace(&copy, |temporary| {
            std::fs::copy(&self.path, temporary).map(|_| ()).map_err(|source| {
                crate::checkpoint::CheckpointError::Io {
                    action: "copy",
                    path: self.path.clone(),
                    source,
                }
            })
        })?)
    }
}

impl fmt::Display for Initial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "init: the encoder begins with {} tensors of {}",
            self.num_loaded,
            self.path.display()
        )?;
        if !self.left_out.is_empty() {
            write!(f, "; left out, as part of a classifier: {}", self.left_out.join(", "))?;
        }
        Ok(())
    }
}
