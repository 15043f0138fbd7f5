//! The folder of checkpoints of a run: writing, choosing, deleting.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use smog_terminal::failure::one_line;
use tch::Tensor;

use super::error::CheckpointError;
use super::state::{FileRecord, RunState};
use super::tensors;

const STATE_FILE: &str = "state.json";
const LATEST_FILE: &str = "latest";
const PREFIX: &str = "step-";
/// Folders under construction. What a killed run leaves of them is removed by the next.
const TEMPORARY_PREFIX: &str = ".writing-";

/// The checkpoints of one run.
#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
    keep: usize,
}

/// A complete checkpoint on disk, its small part read.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Its folder.
    pub dir: PathBuf,
    /// Its state.
    pub state: RunState,
}

impl Checkpoint {
    /// Opens the checkpoint in `dir` and checks that it is complete.
    ///
    /// # Errors
    /// If it is not, or is of another version.
    pub fn open(dir: &Path) -> Result<Self, CheckpointError> {
        let incomplete =
            |problem: String| CheckpointError::Incomplete { path: dir.to_owned(), problem };
        let text = fs::read(dir.join(STATE_FILE))
            .map_err(|error| incomplete(format!("{STATE_FILE}: {error}")))?;
        let head: serde_json::Value = serde_json::from_slice(&text)
            .map_err(|error| incomplete(format!("{STATE_FILE}: {error}")))?;
        // The version comes first: a later layout must be named as such, not as damage.
        if let Some(found) = head.get("version").and_then(serde_json::Value::as_u64)
            && found != u64::from(RunState::VERSION)
        {
            let found = u32::try_from(found).unwrap_or(u32::MAX);
            return Err(CheckpointError::Version {
                path: dir.to_owned(),
                found,
                expected: RunState::VERSION,
            });
        }
        let state: RunState = serde_json::from_value(head)
            .map_err(|error| incomplete(format!("{STATE_FILE}: {error}")))?;
        for (name, expected) in &state.files {
            let found =
                record(&dir.join(name)).map_err(|error| incomplete(format!("{name}: {error}")))?;
            if found != *expected {
                return Err(incomplete(format!("{name} is not what {STATE_FILE} says")));
            }
        }
        Ok(Self { dir: dir.to_owned(), state })
    }

    /// Reads the tensors of one part, such as `model`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn tensors(&self, part: &str) -> Result<HashMap<String, Tensor>, CheckpointError> {
        tensors::read(&self.dir.join(file_name(part)))
    }
}

impl Store {
    /// The checkpoints in `dir`, of which the newest `keep` stay.
    pub fn new(dir: PathBuf, keep: u32) -> Self {
        Self { dir, keep: keep.max(1) as usize }
    }

    /// Writes a checkpoint: complete under its final name, or not at all. A complete one of the same step and
    /// settings is left as it is, since it holds the same. An old one that cannot be deleted is warned of, and tried again
    /// with the next.
    ///
    /// # Errors
    /// If the disk refuses; what was complete before stays.
    pub fn write(
        &self,
        state: RunState,
        parts: &[(&str, Vec<(String, Tensor)>)],
    ) -> Result<PathBuf, CheckpointError> {
        self.write_sparing(state, parts, None)
    }

    /// [`Store::write`] that leaves the checkpoint of the step `spare`, too, where it would be deleted as an old one.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_sparing(
        &self,
        mut state: RunState,
        parts: &[(&str, Vec<(String, Tensor)>)],
        spare: Option<u64>,
    ) -> Result<PathBuf, CheckpointError> {
        let step = state.step;
        let name = folder_name(step);
        let (temporary, target) =
            (self.dir.join(format!("{TEMPORARY_PREFIX}{name}")), self.dir.join(&name));
        let is_there = Checkpoint::open(&target).is_ok_and(|there| {
            there.state.config_digest == state.config_digest && there.state.stream == state.stream
        });
        if !is_there {
            let built = build(&temporary, &mut state, parts);
            if built.is_err() {
                // On a full disk it would take the room that the next attempt needs.
                let _ = remove(&temporary);
            }
            built?;
            remove(&target)?;
            fs::rename(&temporary, &target).map_err(CheckpointError::io("rename", &temporary))?;
            sync_dir(&self.dir)?;
        }
        self.point_to(&name)?;
        self.delete_old(step, spare);
        Ok(target)
    }

    /// Takes the checkpoint of `step` out of those that a run goes on from, and points to the newest complete one before
    /// it, whose step it gives. What was taken out lies in `folder` then, in place of one of that step that an earlier end
    /// of the run left there. Where there is none before it, it stays.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn set_aside(&self, step: u64, folder: &Path) -> Result<Option<u64>, CheckpointError> {
        let older = |number: &u64| *number < step && self.of_step(*number).is_ok();
        let Some(good) = self.steps().into_iter().rev().find(older) else { return Ok(None) };
        let (from, to) = (self.dir.join(folder_name(step)), folder.join(folder_name(step)));
        let moved = fs::create_dir_all(folder)
            .map_err(CheckpointError::io("create", folder))
            .and_then(|()| remove(&to))
            .and_then(|()| fs::rename(&from, &to).map_err(CheckpointError::io("rename", &from)));
        // Either leads to the good one, and on a full disk one may be all there is.
        let pointed = self.point_to(&folder_name(good));
        moved.and_then(|()| sync_dir(&self.dir)).or(pointed)?;
        Ok(Some(good))
    }

    /// The checkpoint that `latest` names, or else the newest complete one.
    ///
    /// # Errors
    /// If there is none, or it was written by another version.
    pub fn newest(&self) -> Result<Checkpoint, CheckpointError> {
        let latest = fs::read_to_string(self.dir.join(LATEST_FILE)).unwrap_or_default();
        let latest = latest.trim();
        let mut names = self.names();
        // A name and nothing else: `latest` must not lead out of the folder.
        if let Some(at) = names.iter().position(|name| name == latest) {
            let name = names.remove(at);
            names.push(name);
        }
        let mut other_version = None;
        for name in names.iter().rev() {
            match Checkpoint::open(&self.dir.join(name)) {
                Ok(checkpoint) => return Ok(checkpoint),
                Err(error @ CheckpointError::Version { .. }) => {
                    other_version = other_version.or(Some(error))
                }
                Err(error) => tracing::warn!("passed over: {error}"),
            }
        }
        Err(other_version.unwrap_or(CheckpointError::None { path: self.dir.clone() }))
    }

    /// The checkpoint of one step.
    ///
    /// # Errors
    /// If it is not there or not complete.
    pub fn of_step(&self, step: u64) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::open(&self.folder_of(step))
    }

    /// Where the checkpoint of one step lies, if there is one.
    pub(crate) fn folder_of(&self, step: u64) -> PathBuf {
        self.dir.join(folder_name(step))
    }

    /// Steps of the checkpoints that are there, complete or not, oldest first.
    pub fn steps(&self) -> Vec<u64> {
        self.names().iter().filter_map(|name| name[PREFIX.len()..].parse().ok()).collect()
    }

    /// Folders that are named like checkpoints, oldest first.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.dir)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| {
                name.strip_prefix(PREFIX).is_some_and(|number| number.parse::<u64>().is_ok())
            })
            .collect();
        names.sort_by_key(|name| name[PREFIX.len()..].parse::<u64>().unwrap_or(0));
        names
    }

    fn point_to(&self, name: &str) -> Result<(), CheckpointError> {
        replace(&self.dir.join(LATEST_FILE), |temporary| {
            write_synced(temporary, format!("{name}\n").as_bytes())
        })
    }

    /// Deletes all but the newest, never those of the steps `current` and `spare`, and what killed runs left behind. What
    /// cannot be deleted, as where another process of a network file system has a file of it open, is warned of and stays
    /// until the next call: the new checkpoint is whole.
    pub fn delete_old(&self, current: u64, spare: Option<u64>) {
        self.delete_old_by(current, spare, &remove);
    }

    pub(super) fn delete_old_by(
        &self,
        current: u64,
        spare: Option<u64>,
        remove: &dyn Fn(&Path) -> Result<(), CheckpointError>,
    ) {
        let delete = |path: &Path| {
            if let Err(error) = remove(path) {
                tracing::warn!("{}; it stays for now", one_line(&error));
            }
        };
        let names = self.names();
        let surplus = names.len().saturating_sub(self.keep);
        for name in names.iter().take(surplus) {
            let step = name[PREFIX.len()..].parse().ok();
            if step != Some(current) && (step.is_none() || step != spare) {
                delete(&self.dir.join(name));
            }
        }
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) {
                delete(&entry.path());
            }
        }
    }
}

fn folder_name(step: u64) -> String {
    format!("{PREFIX}{step:08}")
}

/// Makes the folder of a checkpoint, and fills in the digests of its files.
fn build(
    folder: &Path,
    state: &mut RunState,
    parts: &[(&str, Vec<(String, Tensor)>)],
) -> Result<(), CheckpointError> {
    remove(folder)?;
    fs::create_dir_all(folder).map_err(CheckpointError::io("create", folder))?;
    state.files = BTreeMap::new();
    for (part, tensors) in parts {
        let path = folder.join(file_name(part));
        tensors::write(&path, tensors)?;
        let file = File::open(&path).and_then(|file| file.sync_all());
        file.map_err(CheckpointError::io("write", &path))?;
        let record = record(&path).map_err(CheckpointError::io("read back", &path))?;
        state.files.insert(file_name(part), record);
    }
    let text = serde_json::to_vec_pretty(&state).map_err(|error| CheckpointError::Tensors {
        path: folder.join(STATE_FILE),
        problem: error.to_string(),
    })?;
    write_synced(&folder.join(STATE_FILE), &text)?;
    sync_dir(folder)
}

fn file_name(part: &str) -> String {
    format!("{part}.safetensors")
}

fn record(path: &Path) -> std::io::Result<FileRecord> {
    let mut hasher = blake3::Hasher::new();
    let bytes = std::io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(FileRecord { bytes, blake3: hasher.finalize().to_hex().to_string() })
}

/// Writes a file and waits until it is on the disk.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(CheckpointError::io("write", path))
}

/// Writes a file by `write` under a temporary name beside `path`, then puts it in place: whole, or not at all.
pub(crate) fn replace<E: From<CheckpointError>>(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!("{TEMPORARY_PREFIX}{name}"));
    let done = write(&temporary).and_then(|()| {
        File::open(&temporary)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&temporary, path))
            .map_err(CheckpointError::io("write", path))
            .map_err(E::from)
    });
    if done.is_err() {
        let _ = fs::remove_file(&temporary);
        return done;
    }
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => sync_dir(parent)?,
        None => sync_dir(Path::new("."))?,
    }
    Ok(())
}

fn sync_dir(path: &Path) -> Result<(), CheckpointError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(CheckpointError::io("write", path))
}

fn remove(path: &Path) -> Result<(), CheckpointError> {
    let done = match fs::symlink_metadata(path) {
        Ok(entry) if entry.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match done {
        // Somebody else may be at it.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(CheckpointError::io("remove", path)),
    }
}
