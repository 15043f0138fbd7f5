//! The folders of a run: where a split is built, how it appears at the end, who may write.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::ShardError;
use super::figures::Figures;
use super::listing::Refused;
use super::plan::Plan;
use crate::manifest::{MANIFEST_FILE, Shard, sync_folder, write_atomic};

/// The plan, inside the folder that is being built and the finished one.
const PLAN_FILE: &str = ".plan.json";
/// One run at a time per output folder.
const LOCK_FILE: &str = ".smog-shard.lock";

/// The folder beside `src` that shards go to by default: its name with `-shards` appended.
///
/// # Errors
/// If `src` cannot be resolved or is the root of the file system.
pub fn default_out(src: &Path) -> Result<PathBuf, ShardError> {
    let full = fs::canonicalize(src).map_err(ShardError::io("find", src))?;
    // Keep the path as it was typed where it ends in a name.
    let base = if src.file_name().is_some() { src } else { &full };
    let Some(name) = base.file_name() else {
        let problem = "this is the root folder; say where to write with `--out`".to_owned();
        return Err(ShardError::Source { path: src.to_path_buf(), problem });
    };
    let mut name = name.to_os_string();
    name.push("-shards");
    Ok(base.with_file_name(name))
}

/// Creates the output folder and keeps every other run out of it. The lock ends with the process,
/// however that ends.
pub(super) fn lock(out: &Path) -> Result<File, ShardError> {
    fs::create_dir_all(out).map_err(ShardError::io("create folder", out))?;
    let path = out.join(LOCK_FILE);
    let file = File::create(&path).map_err(ShardError::io("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ShardError::Locked { out: out.to_path_buf() }),
        // Some network file systems have no locks; that alone should not keep anybody from working.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(error)) => Err(ShardError::io("lock", path)(error)),
    }
}

/// What is known of a finished shard.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShardRecord {
    /// `None` where every file of the shard was refused.
    pub(super) shard: Option<Shard>,
    pub(super) figures: Figures,
    pub(super) refused: Vec<Refused>,
}

/// The folders of one split.
pub(super) struct SplitFolder {
    out: PathBuf,
    /// `OUT/<split>`: appears as a whole at the end.
    pub(super) finished: PathBuf,
    /// `OUT/.<split>.partial`: everything is built here.
    pub(super) partial: PathBuf,
    /// `OUT/.<split>.old`: the finished folder that is being replaced.
    old: PathBuf,
}

impl SplitFolder {
    pub(super) fn new(out: &Path, split: &str) -> Self {
        Self {
            out: out.to_path_buf(),
            finished: out.join(split),
            partial: out.join(format!(".{split}.partial")),
            old: out.join(format!(".{split}.old")),
        }
    }

    /// The plan of the finished data set; `None` where nothing stands there. A data set without a
    /// readable plan counts as made otherwise.
    pub(super) fn finished_plan(&self) -> Result<Option<Option<Plan>>, ShardError> {
        match fs::symlink_metadata(&self.finished) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ShardError::io("read", &self.finished)(error)),
            Ok(_) => {}
        }
        if !self.finished.join(MANIFEST_FILE).is_file() {
            return Err(ShardError::Foreign { dir: self.finished.clone() });
        }
        Ok(Some(read_plan(&self.finished)))
    }

    /// Readies the folder for building and gives the records of the shards that are there already, by
    /// index. With another plan in it, it is emptied; the second value then says how the plans differ.
    pub(super) fn prepare(
        &self,
        plan: &Plan,
    ) -> Result<(Vec<Option<ShardRecord>>, Option<String>), ShardError> {
        let mut emptied = None;
        if self.partial.exists() {
            let difference = match read_plan(&self.partial) {
                Some(old) => old.difference(plan),
                // Killed before the plan was written: there is nothing to tell of.
                None => Some(String::new()),
            };
            if let Some(difference) = difference {
                fs::remove_dir_all(&self.partial)
                    .map_err(ShardError::io("remove folder", &self.partial))?;
                emptied = Some(difference).filter(|text| !text.is_empty());
            }
        }
        fs::create_dir_all(&self.partial)
            .map_err(ShardError::io("create folder", &self.partial))?;
        let path = self.partial.join(PLAN_FILE);
        write_json(&path, plan)?;
        let records = (0..plan.num_shards as usize).map(|shard| self.record(shard)).collect();
        Ok((records, emptied))
    }

    /// The record of a shard whose file is there in full.
    fn record(&self, shard: usize) -> Option<ShardRecord> {
        let text = fs::read(self.record_path(shard)).ok()?;
        let record: ShardRecord = serde_json::from_slice(&text).ok()?;
        let whole = record.shard.as_ref().is_none_or(|shard| {
            fs::metadata(self.partial.join(&shard.file)).is_ok_and(|file| file.len() == shard.bytes)
        });
        whole.then_some(record)
    }

    fn record_path(&self, shard: usize) -> PathBuf {
        self.partial.join(format!(".shard-{shard:05}.json"))
    }

    /// Notes that a shard is finished; its file is on the disk.
    pub(super) fn write_record(
        &self,
        shard: usize,
        record: &ShardRecord,
    ) -> Result<(), ShardError> {
        write_json(&self.record_path(shard), record)
    }

    /// Removes what no longer belongs, so that the folder holds `files`, manifest, report and plan.
    pub(super) fn tidy(&self, files: &[&str]) -> Result<(), ShardError> {
        let read = || ShardError::io("read folder", &self.partial);
        for entry in fs::read_dir(&self.partial).map_err(read())? {
            let entry = entry.map_err(read())?;
            let name = entry.file_name();
            let known =
                name.to_str().is_some_and(|name| name == PLAN_FILE || files.contains(&name));
            if !known {
                fs::remove_file(entry.path()).map_err(ShardError::io("remove", entry.path()))?;
            }
        }
        Ok(())
    }

    /// Lets the split appear. With a finished one in its place, that is moved aside first and removed last.
    pub(super) fn publish(&self) -> Result<(), ShardError> {
        sync_folder(&self.partial).map_err(ShardError::io("write", &self.partial))?;
        if self.finished.exists() {
            self.remove_old()?;
            fs::rename(&self.finished, &self.old)
                .map_err(ShardError::io("rename", &self.finished))?;
        }
        fs::rename(&self.partial, &self.finished)
            .map_err(ShardError::io("rename", &self.partial))?;
        sync_folder(&self.out).map_err(ShardError::io("write", &self.out))?;
        self.remove_old()
    }

    /// Removes a replaced data set; one may be left of a run that was killed.
    pub(super) fn remove_old(&self) -> Result<(), ShardError> {
        match fs::remove_dir_all(&self.old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ShardError::io("remove folder", &self.old)(error))
            }
            _ => Ok(()),
        }
    }
}

fn read_plan(dir: &Path) -> Option<Plan> {
    serde_json::from_slice(&fs::read(dir.join(PLAN_FILE)).ok()?).ok()
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ShardError> {
    let text = serde_json::to_vec_pretty(value)
        .map_err(|error| ShardError::io("write", path)(error.into()))?;
    write_atomic(path, &text).map_err(ShardError::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_folder_stands_beside_the_source() {
        let dir = tempfile::tempdir().unwrap();
        let src = dir.path().join("birds");
        fs::create_dir(&src).unwrap();
        let expected = dir.path().join("birds-shards");
        assert_eq!(default_out(&src).unwrap(), expected);
        assert_eq!(default_out(&src.join("")).unwrap(), expected);
        assert!(default_out(Path::new("/")).unwrap_err().to_string().contains("--out"));
    }

    #[test]
    fn only_one_run_at_a_time_may_write() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        assert!(matches!(lock(dir.path()), Err(ShardError::Locked { .. })));
        drop(held);
        lock(dir.path()).unwrap();
    }
}
