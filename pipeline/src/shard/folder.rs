//! The folders of a run: where a split is built, how it appears at the end, who may write.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::compare;
use super::error::ShardError;
use super::figures::Figures;
use super::listing::{Refused, SplitListing};
use super::part::{Part, PartNote};
use super::plan::Plan;
use super::upload::RemoteSplit;
use crate::atomic::{sync_folder, write_atomic};
use crate::manifest::{MANIFEST_FILE, Shard};
use crate::source::{Location, OpenError};

/// The plan, inside the folder that is being built and the finished one.
pub(super) const PLAN_FILE: &str = ".plan.json";
/// File that lists what was left out, beside the manifest.
pub(super) const REFUSED_FILE: &str = "refused.jsonl";
/// One run at a time per output folder.
const LOCK_FILE: &str = ".smog-shard.lock";

/// The folder beside `src` that shards go to by default: its name, of a file without its ending, with
/// `-shards` appended.
///
/// # Errors
/// If `src` cannot be resolved or is the root of the file system.
pub fn default_out(src: &Path) -> Result<PathBuf, ShardError> {
    if let Location::Pattern(_) | Location::Url(_) = Location::parse(src) {
        let problem = "say where to write with `--out`".to_owned();
        return Err(ShardError::Source { path: src.to_path_buf(), problem });
    }
    let full = match fs::canonicalize(src) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(OpenError::Missing { path: src.to_path_buf() }.into());
        }
        full => full.map_err(ShardError::io("find", src))?,
    };
    // Keep the path as it was typed where it ends in a name.
    let base = if src.file_name().is_some() { src } else { &full };
    let name = if full.is_file() { base.file_stem() } else { base.file_name() };
    let Some(name) = name else {
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
    let file = open_lock(out, LOCK_FILE)?;
    let result = file.try_lock();
    locked(out, file, result)
}

/// As [`lock`], but lets other parts write at the same time; only the same part is kept out.
pub(super) fn lock_part(out: &Path, part: Part) -> Result<[File; 2], ShardError> {
    let all = open_lock(out, LOCK_FILE)?;
    let result = all.try_lock_shared();
    let all = locked(out, all, result)?;
    let own = open_lock(out, &part_lock_file(&part.file_name()))?;
    let result = own.try_lock();
    Ok([all, locked(out, own, result)?])
}

/// Removes what the locks of parts left; no part may be at work.
pub(super) fn remove_part_locks(out: &Path) -> Result<(), ShardError> {
    let (start, end) = (part_lock_file(""), ".lock");
    for entry in fs::read_dir(out).map_err(ShardError::io("read folder", out))? {
        let entry = entry.map_err(ShardError::io("read folder", out))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(start.trim_end_matches(end)) && name.ends_with(end) {
            fs::remove_file(entry.path()).map_err(ShardError::io("remove", entry.path()))?;
        }
    }
    Ok(())
}

fn part_lock_file(part: &str) -> String {
    format!(".smog-shard-part-{part}.lock")
}

fn open_lock(out: &Path, name: &str) -> Result<File, ShardError> {
    fs::create_dir_all(out).map_err(ShardError::io("create folder", out))?;
    let path = out.join(name);
    // Network file systems want a file open for reading for a shared lock, and for writing for the other.
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    options.open(&path).map_err(ShardError::io("create", path))
}

fn locked(out: &Path, file: File, result: Result<(), TryLockError>) -> Result<File, ShardError> {
    match result {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ShardError::Locked { out: out.to_path_buf() }),
        // Some network file systems have no locks; that alone should not keep anybody from working.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(error)) => Err(ShardError::io("lock", out)(error)),
    }
}

/// What is known of a finished shard.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShardRecord {
    /// `None` where every file of the shard was refused.
    pub(super) shard: Option<Shard>,
    pub(super) figures: Figures,
    pub(super) refused: Vec<Refused>,
}

impl ShardRecord {
    /// Whether both stand for the same rows, whatever the files are called.
    pub(super) fn same_content(&self, other: &Self) -> bool {
        let digest = |record: &Self| record.shard.as_ref().map(|shard| shard.blake3.clone());
        digest(self) == digest(other) && self.refused == other.refused
    }
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
    /// Where shards go to as they are finished. The folders then hold what is under way only.
    remote: Option<RemoteSplit>,
}

impl SplitFolder {
    pub(super) fn new(out: &Path, split: &str) -> Self {
        Self {
            out: out.to_path_buf(),
            finished: out.join(split),
            partial: out.join(format!(".{split}.partial")),
            old: out.join(format!(".{split}.old")),
            remote: None,
        }
    }

    /// The folders of a split that is uploaded.
    pub(super) fn remote(stage: &Path, split: &str, remote: RemoteSplit) -> Self {
        Self { remote: Some(remote), ..Self::new(stage, split) }
    }

    /// Whether shards are uploaded, so that they are not here.
    pub(super) fn is_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// The split's place for messages: its folder, or its URL.
    pub(super) fn place(&self) -> PathBuf {
        self.remote.as_ref().map_or_else(|| self.finished.clone(), |remote| remote.url().to_path())
    }

    /// File name of a shard.
    pub(super) fn shard_name(&self, split: &str, shard: usize, num_shards: usize) -> String {
        let name = Plan::shard_name(split, shard, num_shards);
        self.remote.as_ref().map_or(name.clone(), |remote| remote.shard_name(&name))
    }

    /// The plan of the finished data set; `None` where nothing stands there. A data set without a
    /// readable plan counts as made otherwise.
    fn finished_plan(&self) -> Result<Option<Option<Plan>>, ShardError> {
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

    /// The folder of all splits.
    pub(super) fn out(&self) -> &Path {
        &self.out
    }

    /// Whether the finished data set is the one that `plan` describes; `listing` is what the plan was made for, where
    /// it is at hand.
    ///
    /// # Errors
    /// If it is another one, unless that may be replaced, or what stands there is none.
    pub(super) fn is_finished(
        &self,
        plan: &Plan,
        listing: Option<&SplitListing>,
        overwrite: bool,
    ) -> Result<bool, ShardError> {
        if let Some(remote) = &self.remote {
            remote.begin(plan);
            // What an earlier run left here is of no use.
            for dir in [&self.finished, &self.partial] {
                remove_folder(dir)?;
            }
            return match remote.finished(&self.finished, REFUSED_FILE)? {
                Some(false) if !overwrite => Err(ShardError::Exists {
                    dir: self.place(),
                    difference: "was made of other images or with other options".to_owned(),
                }),
                found => Ok(found == Some(true)),
            };
        }
        let difference = match self.finished_plan()? {
            None => return Ok(false),
            Some(Some(finished)) => match listing {
                Some(listing) if !overwrite && finished.source_digest != plan.source_digest => {
                    Some(format!("was {}", compare::others(listing, &self.finished, &finished)))
                }
                _ => finished.difference(plan),
            },
            Some(None) => Some("does not say how it was made".to_owned()),
        };
        match difference {
            None => Ok(true),
            Some(_) if overwrite => Ok(false),
            Some(difference) => Err(ShardError::Exists { dir: self.finished.clone(), difference }),
        }
    }

    /// Readies the folder for building. With another plan in it, it is emptied; the value then says how the
    /// plans differ.
    ///
    /// # Errors
    /// If it cannot be written, or holds parts of another plan: those are somebody else's work.
    pub(super) fn prepare(&self, plan: &Plan) -> Result<Option<String>, ShardError> {
        let mut emptied = None;
        if self.partial.exists() {
            let difference = match read_plan(&self.partial) {
                Some(old) => old.difference(plan),
                // Killed before the plan was written: there is nothing to tell of.
                None => Some(String::new()),
            };
            if let Some(difference) = difference {
                if !PartNote::read_all(&self.partial)?.is_empty() {
                    return Err(ShardError::OtherParts { dir: self.partial.clone(), difference });
                }
                fs::remove_dir_all(&self.partial)
                    .map_err(ShardError::io("remove folder", &self.partial))?;
                emptied = Some(difference).filter(|text| !text.is_empty());
            }
        }
        fs::create_dir_all(&self.partial)
            .map_err(ShardError::io("create folder", &self.partial))?;
        write_json(&self.partial.join(PLAN_FILE), plan)?;
        Ok(emptied)
    }

    /// Readies the folder for a part of the plan: others may be writing there at the same time.
    ///
    /// # Errors
    /// If it cannot be written or holds the work of another plan.
    pub(super) fn prepare_part(&self, plan: &Plan, note: &PartNote) -> Result<(), ShardError> {
        fs::create_dir_all(&self.partial)
            .map_err(ShardError::io("create folder", &self.partial))?;
        if let Some(difference) = read_plan(&self.partial).and_then(|old| old.difference(plan)) {
            return Err(ShardError::OtherParts { dir: self.partial.clone(), difference });
        }
        let note_path = self.partial.join(note.file_name());
        write_json(&note_path, note)?;
        // Parts that begin together all write the plan, each under a name of its own at first.
        let path = self.partial.join(PLAN_FILE);
        let own = self.partial.join(format!("{PLAN_FILE}-{}", note.part.file_name()));
        write_json(&own, plan)?;
        fs::rename(&own, &path).map_err(ShardError::io("rename", own))
    }

    /// The records of the shards that are there in full, by index.
    ///
    /// # Errors
    /// If they lie in a store that cannot be reached.
    pub(super) fn records(&self, plan: &Plan) -> Result<Vec<Option<ShardRecord>>, ShardError> {
        if let Some(remote) = &self.remote {
            return remote.records(plan.num_shards as usize);
        }
        let mut records: Vec<Option<ShardRecord>> = (0..plan.num_shards as usize)
            .map(|shard| serde_json::from_slice(&fs::read(self.record_path(shard)).ok()?).ok())
            .collect();
        if records.iter().all(Option::is_some) {
            // A run that was killed while it finished may have given some files their last names.
            let num_files =
                records.iter().flatten().filter(|record| record.shard.is_some()).count();
            let files = records.iter_mut().flatten().filter_map(|record| record.shard.as_mut());
            for (index, shard) in files.enumerate() {
                if !self.holds(shard) {
                    shard.file = Plan::shard_name(&plan.split, index, num_files);
                }
            }
        }
        for record in &mut records {
            let shard = record.as_ref().and_then(|record| record.shard.as_ref());
            if shard.is_some_and(|shard| !self.holds(shard)) {
                *record = None;
            }
        }
        Ok(records)
    }

    /// Whether the file of a shard is there in full.
    pub(super) fn holds(&self, shard: &Shard) -> bool {
        fs::metadata(self.partial.join(&shard.file)).is_ok_and(|file| file.len() == shard.bytes)
    }

    /// The plan that the folder for building was readied for.
    pub(super) fn unfinished_plan(&self) -> Option<Plan> {
        read_plan(&self.partial)
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
        if let Some(remote) = &self.remote {
            return remote.push(shard, record, &self.partial);
        }
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
        if let Some(remote) = &self.remote {
            let plan = self.unfinished_plan();
            let num_shards = plan.map_or(0, |plan| plan.num_shards as usize);
            remote.publish(&self.partial, REFUSED_FILE, num_shards)?;
        }
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
        remove_folder(&self.old)
    }
}

/// Removes a folder that may be there.
fn remove_folder(dir: &Path) -> Result<(), ShardError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ShardError::io("remove folder", dir)(error))
        }
        _ => Ok(()),
    }
}

pub(super) fn read_plan(dir: &Path) -> Option<Plan> {
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

    #[test]
    fn parts_write_together_but_none_twice_and_not_beside_a_whole_run() {
        let dir = tempfile::tempdir().unwrap();
        let part = |text: &str| text.parse::<Part>().unwrap();
        let held = lock_part(dir.path(), part("1/2")).unwrap();
        let other = lock_part(dir.path(), part("2/2")).unwrap();
        assert!(matches!(lock_part(dir.path(), part("1/2")), Err(ShardError::Locked { .. })));
        assert!(matches!(lock(dir.path()), Err(ShardError::Locked { .. })));
        drop((held, other));
        let _whole = lock(dir.path()).unwrap();
        assert!(matches!(lock_part(dir.path(), part("1/2")), Err(ShardError::Locked { .. })));
        remove_part_locks(dir.path()).unwrap();
        let left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(left, [LOCK_FILE]);
    }
}
