//! Row groups from the shards of one split.
//!
//! A row group is read with one positioned read of its byte range (one range request where it is remote), so
//! any number of threads may read at once, and image bytes stay where they were read: the Arrow views point into
//! that one buffer.

mod remote;

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use bytes::{Buf as _, Bytes};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_schema};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};

use super::rows::{self, COLUMNS, RowFacts};
use super::{Fetch, OpenError, RowGroup, RowGroupInfo, Source, SourceError, footer, places};
use crate::codec::most_coefficient_bytes;
use crate::manifest::{Digest, Manifest, ShardRowGroup};
use crate::remote::{RemoteMetrics, RemoteOptions, RemoteUrl};
use crate::sample::{RowGroupId, SampleId};
use remote::RemoteShards;

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

/// What is known of a split, and how its bytes become rows.
struct Split {
    manifest: Manifest,
    groups: Vec<RowGroupInfo>,
    /// Shard and row group within it, by [`RowGroupId`].
    places: Vec<(u32, u32)>,
    shards: Vec<ShardFile>,
}

struct ShardFile {
    /// Or its URL.
    path: PathBuf,
    /// Read when the first of its row groups is asked for.
    footer: OnceLock<ArrowReaderMetadata>,
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

impl Split {
    fn new(manifest: Manifest, path: impl Fn(&str) -> PathBuf) -> Self {
        let (mut groups, mut places, mut shards) = (Vec::new(), Vec::new(), Vec::new());
        let mut first_sample = 0;
        for (index, shard) in manifest.shards.iter().enumerate() {
            for (number, &ShardRowGroup { rows, bytes, .. }) in shard.row_groups.iter().enumerate()
            {
                groups.push(RowGroupInfo { first_sample: SampleId(first_sample), rows, bytes });
                places.push((index as u32, number as u32));
                first_sample += rows; // the manifest was validated: the sum fits
            }
            shards.push(ShardFile { path: path(&shard.file), footer: OnceLock::new() });
        }
        Self { manifest, groups, places, shards }
    }

    fn place(&self, group: RowGroupId) -> Option<(&Path, u32)> {
        let &(shard, number) = self.places.get(group.0 as usize)?;
        Some((&self.shards[shard as usize].path, number))
    }

    /// Shard and row group within it.
    fn numbers(&self, group: RowGroupId) -> Result<(u32, u32), SourceError> {
        self.places.get(group.0 as usize).copied().ok_or_else(|| {
            self.damaged(group, format!("the split has {} row groups", self.places.len()))
        })
    }

    fn damaged(&self, group: RowGroupId, problem: String) -> SourceError {
        let (shard, row_group) =
            self.place(group).unwrap_or((Path::new(&self.manifest.split), group.0));
        SourceError::Damaged { shard: shard.to_path_buf(), row_group, problem }
    }

    /// The given columns of one row group, with one read of the bytes that they span.
    fn read_local(&self, group: RowGroupId, columns: &[&str]) -> Result<RecordBatch, SourceError> {
        let (shard, row_group) = self.numbers(group)?;
        let path = &self.shards[shard as usize].path;
        let io = |source| SourceError::Io { shard: path.clone(), source };
        if self.shards[shard as usize].footer.get().is_none() {
            self.read_local_footer(shard, row_group, &File::open(path).map_err(io)?)?;
        }
        let span = self.span(group, columns)?;
        // Files are opened for each read: a data set may have more shards than a process may have files.
        let mut bytes = vec![0; (span.end - span.start) as usize];
        File::open(path).and_then(|file| file.read_exact_at(&mut bytes, span.start)).map_err(io)?;
        self.batch(group, columns, span.start, bytes.into())
    }

    /// The place of columns of a row group in its file. The footer was read.
    fn span(&self, group: RowGroupId, columns: &[&str]) -> Result<Range<u64>, SourceError> {
        let (shard, row_group) = self.numbers(group)?;
        let footer = self.footer(group, shard)?;
        let mask = ProjectionMask::columns(footer.parquet_schema(), columns.iter().copied());
        let chunks = footer.metadata().row_group(row_group as usize);
        let (mut start, mut end) = (u64::MAX, 0);
        for (leaf, column) in chunks.columns().iter().enumerate() {
            if mask.leaf_included(leaf) {
                let (from, length) = column.byte_range();
                start = start.min(from);
                end = end.max(from.saturating_add(length));
            }
        }
        let listed = self.manifest.shards[shard as usize].bytes;
        if start > end || end > listed {
            let problem = format!("its columns lie at {start}..{end} of {listed} bytes");
            return Err(self.damaged(group, problem));
        }
        Ok(start..end)
    }

    /// Columns of a row group from the bytes of its file that begin at `start`. The footer was read.
    fn batch(
        &self,
        group: RowGroupId,
        columns: &[&str],
        start: u64,
        bytes: Bytes,
    ) -> Result<RecordBatch, SourceError> {
        let (shard, row_group) = self.numbers(group)?;
        let path = &self.shards[shard as usize].path;
        let parquet = |source| SourceError::Unreadable { shard: path.clone(), row_group, source };
        let footer = self.footer(group, shard)?;
        let mask = ProjectionMask::columns(footer.parquet_schema(), columns.iter().copied());
        let file_bytes = self.manifest.shards[shard as usize].bytes;
        let range = FileRange { start, bytes, file_bytes };
        let rows = self.groups[group.0 as usize].rows;
        let mut reader = ParquetRecordBatchReaderBuilder::new_with_metadata(range, footer.clone())
            .with_row_groups(vec![row_group as usize])
            .with_projection(mask)
            .with_batch_size(rows as usize)
            .build()
            .map_err(parquet)?;
        reader
            .next()
            .transpose()
            .map_err(|error| parquet(ParquetError::from(error)))?
            .filter(|batch| batch.num_rows() == rows as usize)
            .ok_or_else(|| self.damaged(group, format!("it does not hold its {rows} rows")))
    }

    /// Rows from all columns that are read.
    fn row_group(&self, group: RowGroupId, batch: &RecordBatch) -> Result<RowGroup, SourceError> {
        let info = self.groups[group.0 as usize];
        rows::row_group(group, info, batch, self.manifest.classes.len())
            .map_err(|problem| self.damaged(group, problem))
    }

    fn footer(&self, group: RowGroupId, shard: u32) -> Result<&ArrowReaderMetadata, SourceError> {
        let footer = self.shards[shard as usize].footer.get();
        footer.ok_or_else(|| self.damaged(group, "its footer was not read".to_owned()))
    }

    /// Reads the footer of a shard on this machine. It is compared with its digest where the manifest has one; row
    /// groups are not, which costs as much as a worker needs for a twentieth of its images.
    fn read_local_footer(
        &self,
        shard: u32,
        row_group: u32,
        file: &File,
    ) -> Result<(), SourceError> {
        let listed = &self.manifest.shards[shard as usize];
        let Some(span) = listed.footer else { return self.read_footer(shard, row_group, file) };
        let path = &self.shards[shard as usize].path;
        let mut bytes = vec![0; span.bytes as usize];
        file.read_exact_at(&mut bytes, span.offset)
            .map_err(|source| SourceError::Io { shard: path.clone(), source })?;
        let found = Digest::of(&bytes);
        if found != span.blake3 {
            let problem = format!(
                "its footer has the digest {found}, its manifest says {}: the file was changed or damaged; copy it \
                 again, and see `smog-tools verify`",
                span.blake3
            );
            return Err(SourceError::Damaged { shard: path.clone(), row_group, problem });
        }
        let bytes = bytes.into();
        let range = FileRange { start: span.offset, bytes, file_bytes: listed.bytes };
        self.read_footer(shard, row_group, &range)
    }

    /// Reads the footer of a shard and compares it with the manifest.
    fn read_footer<R: ChunkReader>(
        &self,
        shard: u32,
        row_group: u32,
        reader: &R,
    ) -> Result<(), SourceError> {
        let file = &self.shards[shard as usize];
        let parquet =
            |source| SourceError::Unreadable { shard: file.path.clone(), row_group, source };
        let damaged =
            |problem| SourceError::Damaged { shard: file.path.clone(), row_group, problem };
        let metadata =
            footer::bytes(reader).and_then(|footer| footer::parse(&footer)).map_err(parquet)?;
        let listed = &self.manifest.shards[shard as usize];
        places::check(&metadata, listed.bytes).map_err(damaged)?;
        let labelled = !self.manifest.classes.is_empty();
        let schema = reading_schema(&metadata, labelled).map_err(parquet)?.map_err(damaged)?;
        let listed = &listed.row_groups;
        let found = metadata.row_groups();
        if found.len() != listed.len() {
            return Err(damaged(format!(
                "the file has {} row groups, its manifest says {}",
                found.len(),
                listed.len()
            )));
        }
        for (number, (found, listed)) in found.iter().zip(listed).enumerate() {
            if found.num_rows() != i64::from(listed.rows) {
                return Err(SourceError::Damaged {
                    shard: file.path.clone(),
                    row_group: number as u32,
                    problem: format!(
                        "it has {} rows, its manifest says {}",
                        found.num_rows(),
                        listed.rows
                    ),
                });
            }
        }
        let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
        let footer = ArrowReaderMetadata::try_new(Arc::new(metadata), options).map_err(parquet)?;
        // Another thread may have been faster; both footers say the same.
        file.footer.get_or_init(|| footer);
        Ok(())
    }
}

/// The Arrow schema to read with: as in the file, but image bytes and paths as views.
fn reading_schema(
    metadata: &ParquetMetaData,
    labelled: bool,
) -> Result<Result<Schema, String>, ParquetError> {
    let schema = parquet_to_arrow_schema(metadata.file_metadata().schema_descr(), None)?;
    if let Err(problem) = rows::check_columns(&schema, labelled) {
        return Ok(Err(problem));
    }
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Struct(parts) if field.name() == "image" => {
                let parts: Vec<Field> = parts
                    .iter()
                    .map(|part| match part.name().as_str() {
                        "bytes" => part.as_ref().clone().with_data_type(DataType::BinaryView),
                        "path" => part.as_ref().clone().with_data_type(DataType::Utf8View),
                        _ => part.as_ref().clone(),
                    })
                    .collect();
                field.as_ref().clone().with_data_type(DataType::Struct(parts.into()))
            }
            _ => field.as_ref().clone(),
        })
        .collect();
    Ok(Ok(Schema::new(fields)))
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

/// The part of a file that holds one row group, in memory, under its offsets in the file.
struct FileRange {
    start: u64,
    bytes: Bytes,
    file_bytes: u64,
}

impl FileRange {
    fn tail(&self, start: u64) -> Result<Bytes, ParquetError> {
        match start.checked_sub(self.start) {
            Some(offset) if offset <= self.bytes.len() as u64 => {
                Ok(self.bytes.slice(offset as usize..))
            }
            _ => Err(ParquetError::EOF(format!("offset {start} lies outside of the row group"))),
        }
    }
}

impl Length for FileRange {
    fn len(&self) -> u64 {
        self.file_bytes
    }
}

/// The bytes from a page on. Its header is looked at before any of them is read.
struct Page {
    offset: u64,
    bytes: Bytes,
    is_checked: bool,
}

impl Read for Page {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if !self.is_checked {
            footer::check_page(self.offset, &self.bytes)?;
            self.is_checked = true;
        }
        (&mut self.bytes).reader().read(out)
    }
}

impl ChunkReader for FileRange {
    type T = Page;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(Page { offset: start, bytes: self.tail(start)?, is_checked: false })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let tail = self.tail(start)?;
        if length > tail.len() {
            return Err(ParquetError::EOF(format!(
                "{length} bytes at offset {start} reach beyond the row group"
            )));
        }
        Ok(tail.slice(..length))
    }
}

#[cfg(test)]
mod tests;
