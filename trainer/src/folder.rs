//! The folder of a run.
//!
//! ```text
//! RUN/
//!   config.toml      resolved settings; made first, so its presence is what makes a folder a run
//!   init.safetensors the encoder that the run began with; only with --init
//!   allowed-changes.toml  what --allow-change let in that no checkpoint has yet
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
/// Names that are tried for a run whose name nobody chose.
const MOST_NAMES: u32 = 100;

/// A run's folder, locked against other processes while this value lives.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    _lock: File,
}

impl RunFolder {
    /// Checks that a new run may have this folder: it is not there, or holds at most logs and notes.
    ///
    /// # Errors
    /// If a run or something else is there.
    pub fn check_new(path: &Path) -> Result<(), TrainError> {
        if path.join(CONFIG_FILE).is_file() {
            return Err(TrainError::Exists { path: path.to_owned() });
        }
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(TrainError::io("use as run folder", path)(error)),
        };
        for entry in entries.flatten().map(|entry| entry.path()) {
            if !is_beside_a_run(&entry) {
                let found = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
                return Err(TrainError::NotEmpty { path: path.to_owned(), found });
            }
        }
        Ok(())
    }

    /// Makes the folder of a new run and stores its settings.
    ///
    /// # Errors
    /// If a run is there already, or another process works on it.
    pub fn create(path: &Path, config: &RunConfig) -> Result<Self, TrainError> {
        Self::check_new(path)?;
        fs::create_dir_all(path).map_err(TrainError::io("create", path))?;
        let folder = Self::lock(path)?;
        // Somebody may have been faster.
        Self::check_new(path)?;
        folder.store(config)?;
        Ok(folder)
    }

    /// [`RunFolder::create`] under a name that nobody chose: with `-2`, `-3`, ... behind it where it is taken, as by a job
    /// that began in the same second.
    ///
    /// # Errors
    /// If the disk refuses, or a hundred names are taken.
    pub fn create_numbered(path: &Path, config: &RunConfig) -> Result<Self, TrainError> {
        let mut created = Self::create(path, config);
        for number in 2..=MOST_NAMES {
            if !matches!(created, Err(TrainError::Exists { .. } | TrainError::Locked { .. })) {
                break;
            }
            let mut name = path.as_os_str().to_owned();
            name.push(format!("-{number}"));
            created = Self::create(Path::new(&name), config);
        }
        created
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

/// Whether it is what people and schedulers put into a run's folder before the run: hidden files, logs, settings, scripts.
fn is_beside_a_run(path: &Path) -> bool {
    let text =
        |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let (name, extension) = (text(path.file_name()), text(path.extension()));
    let kinds = ["log", "out", "err", "txt", "md", "toml", "json", "sh", "sbatch"];
    name.starts_with('.') || (path.is_file() && kinds.contains(&extension.as_str()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_nobody_chose_takes_a_number_where_it_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runs/demo");
        let config = RawConfig::preset("demo").unwrap().resolve().unwrap();
        let create = || RunFolder::create_numbered(&path, &config).unwrap();
        // At work, and done.
        let first = create();
        drop(create());
        let names = [first.path().to_owned(), create().path().to_owned()];
        assert_eq!(names, [path.clone(), path.with_file_name("demo-3")]);
        assert!(path.with_file_name("demo-2").join(CONFIG_FILE).is_file());
        // One that is locked and has no settings yet.
        std::fs::remove_file(path.join(CONFIG_FILE)).unwrap();
        assert_eq!(create().path(), path.with_file_name("demo-4"));
    }

    #[test]
    fn a_folder_of_other_things_is_no_place_for_a_run_and_one_of_logs_is() {
        let dir = tempfile::tempdir().unwrap();
        RunFolder::check_new(&dir.path().join("new")).unwrap();
        RunFolder::check_new(dir.path()).unwrap();
        fs::write(dir.path().join("slurm-17.out"), "").unwrap();
        fs::write(dir.path().join(".lock"), "").unwrap();
        RunFolder::check_new(dir.path()).unwrap();
        for name in ["0001.jpg", "train", "checkpoints"] {
            let other = dir.path().join("photos");
            fs::create_dir_all(&other).unwrap();
            match name {
                "0001.jpg" => fs::write(other.join(name), "").unwrap(),
                _ => fs::create_dir(other.join(name)).unwrap(),
            }
            let text = RunFolder::check_new(&other).unwrap_err().to_string();
            assert!(text.contains(name) && text.contains("is no run"), "{text}");
            // And what it says of a run agrees with what --resume says.
            assert!(matches!(stored_settings(&other), Err(TrainError::NotARun { .. })));
            fs::remove_dir_all(&other).unwrap();
        }
        let run = dir.path().join("run");
        fs::create_dir(&run).unwrap();
        fs::write(run.join(CONFIG_FILE), "").unwrap();
        assert!(matches!(RunFolder::check_new(&run), Err(TrainError::Exists { .. })));
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(RunFolder::check_new(&dir.path().join("file")).is_err());
    }
}
