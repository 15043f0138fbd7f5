//! Row groups from the shards of one split.
//!
//! A row group is read with one positioned read of its byte range (one range request where it is remote), so
//! any number of threads may read at once, and image bytes stay where they were read: the Arrow views point into
//! that one buffer.

mod range;
mod remote;
mod split;

use std::io;
use std::path::Path;
use std::sync::Arc;

use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use super::rows::{self, COLUMNS, RowFacts};
use super::{Fetch, OpenError, RowGroup, RowGroupInfo, Source, SourceError};
use crate::codec::most_coefficient_bytes;
use crate::manifest::Manifest;
use crate::remote::{RemoteMetrics, RemoteOptions, RemoteUrl};
use crate::sample::RowGroupId;
use remote::RemoteShards;
use split::{ShardFile, Split};

/// All columns but the images.
const FACTS: &[&str] = COLUMNS.split_at(1).1;

/// What a footer that was parsed takes beside its row groups: the schema, twice, with all names.
const SHARD_BYTES: u64 = 16 << 10;
/// What it takes for a row group: the list of columns, the place in our own lists.
const GROUP_BYTES: u64 = (size_of::<RowGroupMetaData>() + 64) as u64;
/// What it takes for a column of a row group: places, encodings, smallest and largest value.
const COLUMN_BYTES: u64 = (size_of::<ColumnChunkMetaData>() + 512) as u64;

/// The Parquet shards of one split.
pub struct ParquetSource {
    split: Arc<Split>,
    files: Files,
}

/// How the bytes of shards are had.
enum Files {
    Local,
    Remote(Box<RemoteShards>),
}

impl ParquetSource {
    /// Opens the split in `split_dir`: reads its manifest and compares the length of every shard with it.
    /// Footers are read later, one by one.
    ///
    /// # Errors
    /// If the manifest cannot be used, or a shard is missing or has another length.
    pub fn open(split_dir: &Path) -> Result<Self, OpenError> {
        let split = Split::new(Manifest::read(split_dir)?, |file| split_dir.join(file));
        for (listed, ShardFile { path, .. }) in split.manifest.shards.iter().zip(&split.shards) {
            let shard = path.clone();
            match std::fs::metadata(path) {
                Ok(found) if found.len() == listed.bytes => {}
                Ok(found) => {
                    let (found, expected) = (found.len(), listed.bytes);
                    return Err(OpenError::ShardSize { shard, found, expected });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(OpenError::MissingShard { shard });
                }
                Err(source) => return Err(OpenError::Io { path: shard, source }),
            }
        }
        Ok(Self { split: Arc::new(split), files: Files::Local })
    }

    /// Opens the split behind `url`: fetches its manifest. Shards are fetched as they are needed, row group by
    /// row group.
    ///
    /// # Errors
    /// If the manifest cannot be fetched or used, or the cache cannot be made.
    pub fn open_remote(url: &RemoteUrl, options: &RemoteOptions) -> Result<Self, OpenError> {
        let (manifest, shards) = RemoteShards::open(url, options)?;
        let split = Split::new(manifest, |file| url.join(file).to_path());
        Ok(Self { split: Arc::new(split), files: Files::Remote(Box::new(shards)) })
    }

    /// What the manifest says.
    pub fn manifest(&self) -> &Manifest {
        &self.split.manifest
    }

    /// Whether its shards lie behind a URL.
    pub fn is_remote(&self) -> bool {
        matches!(self.files, Files::Remote(_))
    }

    /// Shard file and row group within it, for messages.
    pub fn place(&self, group: RowGroupId) -> Option<(&Path, u32)> {
        self.split.place(group)
    }

    /// Length of a shard's file as it lies there now.
    ///
    /// # Errors
    /// If it is not there or cannot be looked at.
    pub fn shard_length(&self, shard: usize) -> Result<u64, SourceError> {
        let path = &self.split.shards[shard].path;
        match &self.files {
            Files::Local => std::fs::metadata(path)
                .map(|file| file.len())
                .map_err(|source| SourceError::Io { shard: path.clone(), source }),
            Files::Remote(remote) => remote.shard_length(&self.split, shard),
        }
    }

    /// Reads what is known of the rows of a group, without the images: for looking at a large data set. Of a
    /// remote one only these columns are fetched, which the manifest has no digest of.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn read_facts(&self, group: RowGroupId) -> Result<RowFacts, SourceError> {
        let batch = match &self.files {
            Files::Local => self.split.read_local(group, FACTS)?,
            Files::Remote(remote) => remote.read_columns(&self.split, group, FACTS)?,
        };
        rows::facts(&batch, self.split.manifest.classes.len())
            .map_err(|problem| self.split.damaged(group, problem))
    }
}

impl Source for ParquetSource {
    fn row_groups(&self) -> &[RowGroupInfo] {
        &self.split.groups
    }

    fn digest(&self) -> &str {
        &self.split.manifest.digest
    }

    fn classes(&self) -> &[String] {
        &self.split.manifest.classes
    }

    fn max_pixels(&self) -> u64 {
        self.split.manifest.sizes.max_pixels
    }

    fn max_coefficient_bytes(&self) -> u64 {
        let known = self.split.manifest.sizes.max_coefficient_bytes;
        known.unwrap_or_else(|| most_coefficient_bytes(self.max_pixels()))
    }

    /// Footers are read one by one, and all are kept.
    fn held_bytes(&self) -> u64 {
        let (shards, groups) = (self.split.shards.len() as u64, self.split.groups.len() as u64);
        shards * SHARD_BYTES + groups * (GROUP_BYTES + COLUMNS.len() as u64 * COLUMN_BYTES)
    }

    fn labels(&self, group: RowGroupId) -> Result<Vec<i64>, SourceError> {
        Ok(self.read_facts(group)?.labels)
    }

    fn read(&self, group: RowGroupId) -> Result<RowGroup, SourceError> {
        match &self.files {
            Files::Local => {
                let batch = self.split.read_local(group, &COLUMNS)?;
                self.split.row_group(group, &batch)
            }
            Files::Remote(remote) => remote.read(&self.split, group),
        }
    }

    fn file(&self, group: RowGroupId) -> Option<&Path> {
        self.place(group).map(|(shard, _)| shard)
    }

    fn reads_ahead(&self) -> u32 {
        match &self.files {
            Files::Local => 1,
            Files::Remote(remote) => remote.concurrent_reads(),
        }
    }

    fn fetch(&self, group: RowGroupId) -> Option<Fetch> {
        match &self.files {
            Files::Local => None,
            Files::Remote(remote) => Some(remote.fetch(&self.split, group)),
        }
    }

    fn remote_metrics(&self) -> Option<RemoteMetrics> {
        match &self.files {
            Files::Local => None,
            Files::Remote(remote) => Some(remote.metrics()),
        }
    }
}

#[cfg(test)]
mod tests;
