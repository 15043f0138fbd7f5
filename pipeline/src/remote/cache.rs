//! Row groups that were fetched before, on disk.
//!
//! `DIR/<first half of the data set's digest>/<shard>-<row group>`, each file with the digest of its content
//! before it. Files appear by rename, so a process that is killed leaves a temporary file at most; a file that is
//! damaged is removed and fetched again. The bound holds for all processes that share the folder: who adds a file
//! counts what is there, under a lock.
//!
//! An epoch needs each row group once, in another order each time. So no row group is better to keep than
//! another: what is there stays, and when the cache is full nothing more is added. Replacing the least recently
//! used one would throw away just what the next epoch needs first. Room is made only from data sets that no
//! process uses any more.

use std::fs::{self, File, FileTimes};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::error::RemoteError;
use super::options::CacheOptions;
use crate::manifest::Digest;

/// What each file begins with: format and version.
const MAGIC: &[u8; 8] = b"smogrg\x00\x01";
/// Magic and digest.
const HEAD_BYTES: u64 = 8 + 32;
/// Held while the cache is counted and a file added.
const LOCK_FILE: &str = ".lock";
/// In the folder of each data set; its time says when it was last used.
const USED_FILE: &str = ".used";
/// How often that time is set.
const USED_EVERY: Duration = Duration::from_secs(30);
/// A data set that was not used for so long may be thrown out.
const UNUSED_AFTER: Duration = Duration::from_secs(300);

/// A part of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CachePart {
    /// A row group by its number in the shard.
    RowGroup(u32),
    Footer,
}

/// The cache of one data set.
#[derive(Debug)]
pub(crate) struct Cache {
    root: PathBuf,
    /// The data set's folder.
    dir: PathBuf,
    max_bytes: u64,
    /// When [`USED_FILE`] was set.
    used: Mutex<Instant>,
    /// Numbers temporary files.
    next: AtomicU64,
}

impl Cache {
    /// Creates the folders.
    pub(crate) fn open(options: &CacheOptions, dataset_digest: &str) -> Result<Self, RemoteError> {
        let root = options.dir.clone();
        let dir = root.join(dataset_digest.get(..32).unwrap_or(dataset_digest));
        let failed = |source| RemoteError::Cache { action: "use", dir: root.clone(), source };
        fs::create_dir_all(&dir).map_err(failed)?;
        File::create(dir.join(USED_FILE)).map_err(failed)?;
        let used = Mutex::new(Instant::now());
        Ok(Self { max_bytes: options.max_bytes, used, next: AtomicU64::new(0), root, dir })
    }

    /// A part that is there and whole.
    pub(crate) fn get(
        &self,
        shard: u32,
        part: CachePart,
        expected: Option<Digest>,
    ) -> Option<Bytes> {
        self.touch();
        let path = self.path(shard, part);
        let found = read(&path, expected);
        match found {
            Ok(content) => Some(content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "removed from the cache");
                // Another process may have been faster.
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// Keeps a part, if there is room. A cache that cannot be written must not end the run.
    pub(crate) fn put(&self, shard: u32, part: CachePart, content: &[u8]) {
        if let Err(error) = self.try_put(shard, part, content) {
            tracing::warn!(dir = %self.dir.display(), %error, "cannot write to the cache");
        }
    }

    fn try_put(&self, shard: u32, part: CachePart, content: &[u8]) -> io::Result<()> {
        let bytes = HEAD_BYTES + content.len() as u64;
        if bytes > self.max_bytes {
            return Ok(());
        }
        // Ends with the process, however that ends.
        let lock = File::create(self.root.join(LOCK_FILE))?;
        lock.lock()?;
        if !self.make_room(bytes)? {
            return Ok(());
        }
        let path = self.path(shard, part);
        if path.exists() {
            // Another process was faster.
            return Ok(());
        }
        let number = self.next.fetch_add(1, Relaxed);
        let temporary = path.with_extension(format!("{}-{number}.tmp", std::process::id()));
        let mut file = File::create(&temporary)?;
        // Not synced: after a loss of power the digest tells whether the content arrived.
        let written = file
            .write_all(MAGIC)
            .and_then(|()| file.write_all(&Digest::of(content).0))
            .and_then(|()| file.write_all(content))
            .and_then(|()| fs::rename(&temporary, &path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Whether `bytes` more fit, after data sets that nobody uses are thrown out, the longest unused first.
    fn make_room(&self, bytes: u64) -> io::Result<bool> {
        let (mut total, mut unused) = (0, Vec::new());
        for entry in fs::read_dir(&self.root)?.flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let dir = entry.path();
            let held = held_bytes(&dir, dir == self.dir)?;
            total += held;
            if dir != self.dir {
                let used = fs::metadata(dir.join(USED_FILE)).and_then(|file| file.modified());
                let used = used.unwrap_or(SystemTime::UNIX_EPOCH);
                if used.elapsed().is_ok_and(|time| time >= UNUSED_AFTER) {
                    unused.push((used, held, dir));
                }
            }
        }
        unused.sort();
        for (_, held, dir) in unused {
            if total + bytes <= self.max_bytes {
                break;
            }
            tracing::info!(dir = %dir.display(), bytes = held, "removed from the cache: not in use");
            fs::remove_dir_all(&dir)?;
            total -= held;
        }
        Ok(total + bytes <= self.max_bytes)
    }

    /// Says that the data set is in use.
    fn touch(&self) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.elapsed() < USED_EVERY {
            return;
        }
        *used = Instant::now();
        drop(used);
        let times = FileTimes::new().set_modified(SystemTime::now());
        let path = self.dir.join(USED_FILE);
        // Thrown out after the machine slept: begin anew.
        let touched = fs::create_dir_all(&self.dir)
            .and_then(|()| File::options().create(true).append(true).open(path))
            .and_then(|file| file.set_times(times));
        if let Err(error) = touched {
            tracing::debug!(dir = %self.dir.display(), %error, "cannot touch the cache");
        }
    }

    fn path(&self, shard: u32, part: CachePart) -> PathBuf {
        self.dir.join(match part {
            CachePart::RowGroup(number) => format!("{shard:06}-{number:06}"),
            CachePart::Footer => format!("{shard:06}-footer"),
        })
    }
}

/// Reads a file of the cache and compares its content with its digest.
fn read(path: &Path, expected: Option<Digest>) -> io::Result<Bytes> {
    let wrong = |problem: &str| io::Error::new(io::ErrorKind::InvalidData, problem.to_owned());
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut head = [0; HEAD_BYTES as usize];
    file.read_exact(&mut head)?;
    let (magic, digest) = head.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(wrong("it is no file of this cache"));
    }
    let mut content = Vec::with_capacity(length.saturating_sub(HEAD_BYTES) as usize);
    file.read_to_end(&mut content)?;
    let found = Digest::of(&content);
    if found.0 != *digest {
        return Err(wrong("its content has another digest"));
    }
    if expected.is_some_and(|expected| expected != found) {
        return Err(wrong("it holds another row group"));
    }
    Ok(content.into())
}

/// Bytes of the files in a data set's folder. Temporary files of processes that were killed are removed where
/// `tidy` says so; the lock is held, so nobody writes one now.
fn held_bytes(dir: &Path, tidy: bool) -> io::Result<u64> {
    let mut held = 0;
    for entry in fs::read_dir(dir)?.flatten() {
        let path = entry.path();
        if tidy && path.extension().is_some_and(|ending| ending == "tmp") {
            fs::remove_file(path)?;
            continue;
        }
        // One that was just removed counts nothing.
        held += entry.metadata().map_or(0, |file| file.len());
    }
    Ok(held)
}

#[cfg(test)]
mod tests;
