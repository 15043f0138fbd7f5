//! Where the bytes of images lie, and how they are read in shuffled order.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::order::{OrderSettings, order};
use crate::sample::RowGroupId;
use crate::shard::check::{Refusal, Rejection};
use crate::shard::error::ShardError;
use crate::source::{RowGroup, RowGroupInfo, Source as _, SourceError, TableSource, unchanged};
use crate::stamp::Stamp;

/// Memory for the row groups among which rows of a Parquet file are shuffled.
const SHUFFLE_BYTES: u64 = 96 << 20;
/// Memory for those that are needed before and behind, as bytes under way reach that far.
const AHEAD_BYTES: u64 = 96 << 20;
/// Most row groups in memory.
const MAX_GROUPS: u64 = 512;

/// Where the bytes lie.
pub(super) enum Place {
    /// In files below this folder.
    Folder(PathBuf),
    /// In tars.
    Tars(TarPlaces),
    /// In rows of Parquet files.
    Table(Box<TableRows>),
}

impl fmt::Debug for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Folder(_) => "Folder",
            Self::Tars(_) => "Tars",
            Self::Table(_) => "Table",
        })
    }
}

fn too_large(bytes: u64, limit: u64) -> Refusal {
    let reason = format!("the file has {bytes} bytes or more, the limit is {limit}");
    Refusal { kind: "too_large", reason }
}

fn unreadable(error: impl fmt::Display) -> Refusal {
    Refusal { kind: "unreadable", reason: error.to_string() }
}

/// Whether an error says something of the one file that was asked for. All others (I/O errors, stale handles, no
/// memory, too many open files, ...) say that the disk, the mount or this machine fails, so that the next file would
/// do no better.
pub(super) fn is_of_one_file(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::NotFound
            | Kind::PermissionDenied
            | Kind::IsADirectory
            | Kind::NotADirectory
            | Kind::InvalidFilename
            // It became shorter while it was read.
            | Kind::UnexpectedEof
    )
}

/// What becomes of a file that cannot be read: it is left out, or the run ends.
fn rejected(path: &Path, error: io::Error) -> Rejection {
    // Where its folder is gone, too, somebody took away more than a file: a disk or a mount.
    let is_alone = error.kind() != io::ErrorKind::NotFound
        || path.parent().is_none_or(|folder| folder.as_os_str().is_empty() || folder.is_dir());
    if is_of_one_file(&error) && is_alone {
        return unreadable(error).into();
    }
    ShardError::Unreadable { path: path.to_path_buf(), source: error }.into()
}

/// Reads a whole file of at most `limit` bytes; it may have grown since it was listed.
pub(super) fn file(path: &Path, limit: u64) -> Result<Vec<u8>, Rejection> {
    let failed = |error| rejected(path, error);
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    if length > limit {
        return Err(too_large(length, limit).into());
    }
    // The length is known, so this is one read; the second is there to find the end.
    let mut bytes = vec![0; length as usize];
    file.read_exact(&mut bytes).map_err(failed)?;
    file.take(limit + 1 - length).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(bytes.len() as u64, limit).into());
    }
    Ok(bytes)
}

/// Members of tars.
pub(super) struct TarPlaces {
    pub(super) tars: Vec<(PathBuf, Stamp)>,
    /// Tar and position in it, by file of the listing.
    pub(super) places: Vec<(u32, u64)>,
}

impl TarPlaces {
    /// A tar that cannot be read holds many images, so it ends the run.
    pub(super) fn member(&self, file: usize, bytes: u64, limit: u64) -> Result<Vec<u8>, Rejection> {
        if bytes > limit {
            return Err(too_large(bytes, limit).into());
        }
        let (tar, offset) = self.places[file];
        let (path, stamp) = &self.tars[tar as usize];
        let failed = |source| ShardError::Unreadable { path: path.clone(), source };
        // Opened for each read: there may be more tars than a process may have files.
        let tar = File::open(path).map_err(failed)?;
        unchanged(path, *stamp, &tar).map_err(ShardError::ReadSource)?;
        let mut content = vec![0; bytes as usize];
        tar.read_exact_at(&mut content, offset).map_err(failed)?;
        Ok(content)
    }
}

/// A row group that is being read or in memory.
type Slot = Arc<Mutex<Option<Arc<RowGroup>>>>;

/// Rows of Parquet files. A row cannot be read alone, so the row groups used last are kept; the order of
/// [`TableRows::shuffled`] never needs more of them than that.
pub(super) struct TableRows {
    source: TableSource,
    /// Row over all files, by file of the listing.
    rows: Vec<u32>,
    recent: Mutex<VecDeque<(RowGroupId, Slot)>>,
    /// Row groups among which rows are shuffled.
    window: u32,
    capacity: usize,
}

impl TableRows {
    pub(super) fn new(source: TableSource, rows: Vec<u32>) -> Self {
        let largest = source.row_groups().iter().map(|group| group.bytes).max().unwrap_or(0).max(1);
        let window = (SHUFFLE_BYTES / largest).clamp(1, MAX_GROUPS) as u32;
        let ahead = (AHEAD_BYTES / largest).clamp(2, MAX_GROUPS) as usize;
        let capacity = window as usize + 1 + ahead;
        Self { source, rows, recent: Mutex::default(), window, capacity }
    }

    /// The row group and the row in it.
    fn locate(&self, row: u32) -> (RowGroupId, u32) {
        let groups: &[RowGroupInfo] = self.source.row_groups();
        let group = groups.partition_point(|group| group.first_sample.0 <= row) - 1;
        (RowGroupId(group as u32), row - groups[group].first_sample.0)
    }

    /// A row group that cannot be read holds many images, so it ends the run.
    pub(super) fn image(&self, file: usize, limit: u64) -> Result<Vec<u8>, Rejection> {
        let (group, row) = self.locate(self.rows[file]);
        let group = self.group(group).map_err(ShardError::ReadSource)?;
        let bytes = group.encoded(row);
        match bytes.len() as u64 {
            0 => Err(unreadable("the row has no image bytes").into()),
            length if length > limit => Err(too_large(length, limit).into()),
            _ => Ok(bytes.to_vec()),
        }
    }

    fn group(&self, id: RowGroupId) -> Result<Arc<RowGroup>, SourceError> {
        let slot = {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            let known = recent.iter().position(|(known, _)| *known == id);
            let entry = known.and_then(|at| recent.remove(at)).unwrap_or((id, Slot::default()));
            let slot = Arc::clone(&entry.1);
            recent.push_back(entry);
            if recent.len() > self.capacity {
                recent.pop_front();
            }
            slot
        };
        let mut content = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = &*content {
            return Ok(Arc::clone(group));
        }
        let group = Arc::new(self.source.read(id)?);
        *content = Some(Arc::clone(&group));
        Ok(group)
    }

    /// Row groups in shuffled order, rows shuffled within a window of them: a full shuffle where all fit.
    pub(super) fn shuffled(&self, seed: u64) -> Vec<u32> {
        let num_rows = self.source.num_samples() as usize;
        let mut file_of_row = vec![u32::MAX; num_rows];
        for (file, &row) in self.rows.iter().enumerate() {
            file_of_row[row as usize] = file as u32;
        }
        let settings = OrderSettings::Window { row_groups: self.window };
        order(settings, self.source.row_groups(), seed)
            .rows(0, 0)
            .map(|row| file_of_row[row.sample.0 as usize])
            .filter(|&file| file != u32::MAX)
            .collect()
    }
}
