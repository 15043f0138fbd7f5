//! Row groups that were fetched before, on disk.
//!
//! `DIR/smog-row-groups/<first half of the data set's digest>/<shard>-<row group>`, each file with the digest of its
//! content before it. What else lies in `DIR` is neither counted nor touched. Files appear by rename, so a process
//! that is killed leaves a temporary file at most; a file that is damaged is removed and fetched again.
//!
//! The bound holds for all processes that share the folder: the file that is locked holds the sum of all bytes, and
//! who adds a file raises the sum and creates the file in its full length before it lets go. Everything is counted anew
//! by the first file that a process adds and where the sum says that the cache is full. It may be too high, by what a
//! killed process did not write, but not too low. The lock is held for moments and waited for no longer than seconds;
//! what cannot be added is not, as the run has its row group already.
//!
//! An epoch needs each row group once, in another order each time. So no row group is better to keep than
//! another: what is there stays, and when the cache is full nothing more is added. Replacing the least recently
//! used one would throw away just what the next epoch needs first. Room is made only from data sets that no
//! process uses any more.

use std::fs::{self, File, FileTimes, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::error::RemoteError;
use super::options::CacheOptions;
use crate::manifest::Digest;

/// Folder of the cache inside the one that was named.
const ROOT: &str = "smog-row-groups";
/// Letters of a data set's digest that name its folder.
const NAME_LETTERS: usize = 32;
/// What each file begins with: format and version.
const MAGIC: &[u8; 8] = b"smogrg\x00\x01";
/// Magic and digest.
const HEAD_BYTES: u64 = 8 + 32;
/// Locked while the sum of bytes that it holds is looked at and raised.
const LOCK_FILE: &str = ".lock";
/// How long the lock is waited for, and how often it is tried.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_LOOK: Duration = Duration::from_millis(5);
/// How long nothing is added after the cache was full or could not be written.
const REST: Duration = Duration::from_secs(60);
/// A temporary file that is older was left by a process that was killed.
const TEMPORARY_FOR: Duration = Duration::from_secs(3600);
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
    /// Whether this process has counted what is there.
    counted: AtomicBool,
    /// Since when nothing is added, and for how long.
    resting: Mutex<Option<Instant>>,
    rest: Duration,
}

impl Cache {
    /// Creates the folders.
    pub(crate) fn open(options: &CacheOptions, dataset_digest: &str) -> Result<Self, RemoteError> {
        let root = options.dir.join(ROOT);
        let dir = root.join(dataset_digest.get(..NAME_LETTERS).unwrap_or(dataset_digest));
        let cache = Self {
            root,
            dir,
            max_bytes: options.max_bytes,
            used: Mutex::new(Instant::now()),
            next: AtomicU64::new(0),
            counted: AtomicBool::new(false),
            resting: Mutex::new(None),
            rest: REST,
        };
        let failed = |source| RemoteError::Cache { action: "use", dir: cache.root.clone(), source };
        cache.set_used().map_err(failed)?;
        Ok(cache)
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
        let bytes = HEAD_BYTES + content.len() as u64;
        let path = self.path(shard, part);
        if bytes > self.max_bytes || self.is_resting() || path.exists() {
            return;
        }
        match self.add(&path, content, bytes) {
            Ok(true) => return,
            Ok(false) => tracing::debug!(dir = %self.root.display(), "the cache is full"),
            Err(error) => {
                let seconds = self.rest.as_secs();
                tracing::warn!(
                    dir = %self.root.display(), %error, "cannot write to the cache; not trying again for {seconds} s"
                );
            }
        }
        *self.resting.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn is_resting(&self) -> bool {
        let since = *self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() < self.rest)
    }

    /// Writes a file of `bytes` bytes; gives whether there was room.
    fn add(&self, path: &Path, content: &[u8], bytes: u64) -> io::Result<bool> {
        let number = self.next.fetch_add(1, Relaxed);
        let temporary = path.with_extension(format!("{}-{number}.tmp", std::process::id()));
        let Some(mut file) = self.reserve(&temporary, bytes)? else { return Ok(false) };
        // Not synced: after a loss of power the digest tells whether the content arrived.
        let written = file
            .write_all(MAGIC)
            .and_then(|()| file.write_all(&Digest::of(content).0))
            .and_then(|()| file.write_all(content))
            .and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written.map(|()| true)
    }

    /// Creates a file in its full length, which others then count; `None` where there is no room for it.
    fn reserve(&self, temporary: &Path, bytes: u64) -> io::Result<Option<File>> {
        let lock = self.lock()?;
        let known = self.counted.load(Relaxed).then(|| read_sum(&lock)).flatten();
        let fits = |sum: u64| sum.saturating_add(bytes) <= self.max_bytes;
        let sum = match known {
            Some(sum) if fits(sum) => sum,
            _ => self.make_room(bytes)?,
        };
        self.counted.store(true, Relaxed);
        if !fits(sum) {
            write_sum(&lock, sum)?;
            return Ok(None);
        }
        let file = match File::create(temporary) {
            // Thrown out by another process, or removed by a person.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.set_used()?;
                File::create(temporary)?
            }
            file => file?,
        };
        let reserved = file.set_len(bytes).and_then(|()| write_sum(&lock, sum + bytes));
        reserved.inspect_err(|_| _ = fs::remove_file(temporary))?;
        Ok(Some(file))
    }

    /// The lock ends with the process, however that ends; one that was stopped keeps it.
    fn lock(&self) -> io::Result<File> {
        let path = self.root.join(LOCK_FILE);
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if started.elapsed() >= LOCK_WAIT => {
                    let text = format!("another process keeps {LOCK_FILE} locked");
                    return Err(io::Error::new(io::ErrorKind::TimedOut, text));
                }
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_LOOK),
            }
        }
    }

    /// Counts what is there, and throws out data sets that nobody uses, the longest unused first, until `bytes` more
    /// fit. Gives the bytes that stay.
    fn make_room(&self, bytes: u64) -> io::Result<u64> {
        let (mut sum, mut unused) = (0, Vec::new());
        for entry in fs::read_dir(&self.root)?.flatten() {
            let Some(used) = last_used(&entry) else { continue };
            let dir = entry.path();
            let held = held_bytes(&dir);
            sum += held;
            if dir != self.dir && used.elapsed().is_ok_and(|time| time >= UNUSED_AFTER) {
                unused.push((used, held, dir));
            }
        }
        unused.sort();
        for (_, held, dir) in unused {
            if sum + bytes <= self.max_bytes {
                break;
            }
            match remove(&dir) {
                Ok(()) => {
                    tracing::info!(dir = %dir.display(), bytes = held, "removed from the cache: not in use");
                    sum -= held;
                }
                Err(error) => {
                    tracing::warn!(dir = %dir.display(), %error, "cannot be removed from the cache");
                    sum = sum - held + held_bytes(&dir);
                }
            }
        }
        Ok(sum)
    }

    /// Says that the data set is in use.
    fn touch(&self) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.elapsed() < USED_EVERY {
            return;
        }
        *used = Instant::now();
        drop(used);
        if let Err(error) = self.set_used() {
            tracing::debug!(dir = %self.dir.display(), %error, "cannot touch the cache");
        }
    }

    /// Creates the data set's folder, where it is not there (any more), and sets the time of its use.
    fn set_used(&self) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let file = File::options().create(true).append(true).open(self.dir.join(USED_FILE))?;
        file.set_times(FileTimes::new().set_modified(SystemTime::now()))
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

/// When a data set of this cache was used last; `None` for all that is none.
fn last_used(entry: &fs::DirEntry) -> Option<SystemTime> {
    let name = entry.file_name();
    let is_digest = name.len() == NAME_LETTERS
        && name.as_encoded_bytes().iter().all(|letter| letter.is_ascii_hexdigit());
    if !is_digest || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
        return None;
    }
    fs::metadata(entry.path().join(USED_FILE)).and_then(|file| file.modified()).ok()
}

/// Bytes of the files in a data set's folder. Temporary files of processes that were killed are removed.
fn held_bytes(dir: &Path) -> u64 {
    let is_left = |path: &Path, file: &fs::Metadata| {
        let age = file.modified().ok().and_then(|time| time.elapsed().ok());
        path.extension().is_some_and(|ending| ending == "tmp")
            && age.is_some_and(|age| age >= TEMPORARY_FOR)
    };
    // What cannot be read was put there by another user, or was just removed: it counts nothing.
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    files
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        .filter(|(path, file)| !is_left(path, file) || fs::remove_file(path).is_err())
        .map(|(_, file)| file.len())
        .sum()
}

/// Removes a data set's folder. What marks it as one goes last, so that one that was removed by half is still known.
fn remove(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name() != USED_FILE {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_file(dir.join(USED_FILE))?;
    fs::remove_dir(dir)
}

/// The sum of all bytes, as it was noted last.
fn read_sum(lock: &File) -> Option<u64> {
    let mut bytes = [0; 8];
    lock.read_exact_at(&mut bytes, 0).ok()?;
    Some(u64::from_le_bytes(bytes))
}

fn write_sum(lock: &File, sum: u64) -> io::Result<()> {
    lock.write_all_at(&sum.to_le_bytes(), 0)
}

#[cfg(test)]
mod tests;
