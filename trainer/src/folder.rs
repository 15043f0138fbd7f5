//! The folder of a run.
//!
//! ```text
//! RUN/
//!   config.toml      resolved settings; made first, so its presence is what makes a folder a run
//!   init.safetensors the encoder that the run began with; only with --init
//!   metrics.jsonl    one line per thing that happened
//!   checkpoints/     see crate::checkpoint
//!   eval/            results of `smog-trainer eval`, one JSON file each
//!   diverged/        the state of a run whose loss became not a number
//!   .lock            held while a process works on the run
//! ```

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::checkpoint::{Store, replace, write_synced};
use crate::error::TrainError;
use crate::settings::{RawConfig, RunConfig};

const CONFIG_FILE: &str = "config.toml";
/// File name of the encoder that a run with `--init` began with.
pub(crate) const INIT_FILE: &str = "init.safetensors";
const LOCK_FILE: &str = ".lock";

/// A run's folder, locked against other processes while this value lives.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    _lock: File,
}

impl RunFolder {
    /// Makes the folder of a new run and stores its settings.
    ///
    /// # Errors
    /// If a run is there already, or another process works on it.
    pub fn create(path: &Path, config: &RunConfig) -> Result<Self, TrainError> {
        if path.join(CONFIG_FILE).exists() || path.join("checkpoints").exists() {
            return Err(TrainError::Exists { path: path.to_owned() });
        }
        fs::create_dir_all(path).map_err(TrainError::io("create", path))?;
        let folder = Self::lock(path)?;
        folder.store(config)?;
        Ok(folder)
    }

    /// Opens the folder of a run in order to go on with it.
    ///
    /// # Errors
    /// If there is no run, or another process works on it.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        if !path.join(CONFIG_FILE).is_file() {
            return Err(TrainError::NotARun { path: path.to_owned() });
        }
        Self::lock(path)
    }

    fn lock(path: &Path) -> Result<Self, TrainError> {
        let file = path.join(LOCK_FILE);
        let lock = File::create(&file).map_err(TrainError::io("create", &file))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(TrainError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(TrainError::io("lock", &file)(source)),
        }
    }

    /// Stores the settings.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn store(&self, config: &RunConfig) -> Result<(), TrainError> {
        replace(&self.path.join(CONFIG_FILE), |temporary| {
            Ok(write_synced(temporary, config.to_toml().as_bytes())?)
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its checkpoints, of which the newest `keep` stay.
    pub fn checkpoints(&self, keep: u32) -> Store {
        checkpoints(&self.path, keep)
    }
}

/// The settings that a run was started with.
///
/// # Errors
/// If the folder holds no run or its settings cannot be read.
pub fn stored_settings(run: &Path) -> Result<RawConfig, TrainError> {
    let path = run.join(CONFIG_FILE);
    if !path.is_file() {
        return Err(TrainError::NotARun { path: run.to_owned() });
    }
    Ok(RawConfig::default().with_file(&path)?)
}

/// The checkpoints of the run in `run`.
pub fn checkpoints(run: &Path, keep: u32) -> Store {
    Store::new(run.join("checkpoints"), keep)
}
