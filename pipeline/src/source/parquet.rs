//! Row groups from the shards of one split.
//!
//! A row group is read with one positioned read of its byte range, so any number of threads may read at
//! once, and image bytes stay where they were read: the Arrow views point into that one buffer.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use bytes::{Buf, Bytes};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_schema};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};

use super::rows::{self, COLUMNS, RowFacts};
use super::{RowGroup, RowGroupInfo, Source, SourceError};
use crate::manifest::{Manifest, ManifestError, ShardRowGroup};
use crate::sample::{RowGroupId, SampleId};

/// A split that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The manifest is missing or wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A shard of the manifest is not there.
    #[error("shard {} is missing: its manifest lists it; copy it again or write the data set anew", shard.display())]
    MissingShard {
        /// The shard.
        shard: PathBuf,
    },
    /// A shard is not as long as the manifest says.
    #[error(
        "shard {} is {found} bytes long, its manifest says {expected}: it was cut off or replaced",
        shard.display()
    )]
    ShardSize {
        /// The shard.
        shard: PathBuf,
        /// Length of the file in bytes.
        found: u64,
        /// Length in the manifest.
        expected: u64,
    },
    /// A shard cannot be looked at.
    #[error("cannot read shard {}", shard.display())]
    Io {
        /// The shard.
        shard: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// The Parquet shards of one split.
pub struct ParquetSource {
    manifest: Manifest,
    groups: Vec<RowGroupInfo>,
    /// Shard and row group within it, by [`RowGroupId`].
    places: Vec<(u32, u32)>,
    shards: Vec<ShardFile>,
}

struct ShardFile {
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
        let manifest = Manifest::read(split_dir)?;
        let (mut groups, mut places, mut shards) = (Vec::new(), Vec::new(), Vec::new());
        let mut first_sample = 0;
        for (index, shard) in manifest.shards.iter().enumerate() {
            let path = split_dir.join(&shard.file);
            match std::fs::metadata(&path) {
                Ok(found) if found.len() == shard.bytes => {}
                Ok(found) => {
                    return Err(OpenError::ShardSize {
                        shard: path,
                        found: found.len(),
                        expected: shard.bytes,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(OpenError::MissingShard { shard: path });
                }
                Err(source) => return Err(OpenError::Io { shard: path, source }),
            }
            for (number, &ShardRowGroup { rows, bytes }) in shard.row_groups.iter().enumerate() {
                groups.push(RowGroupInfo { first_sample: SampleId(first_sample), rows, bytes });
                places.push((index as u32, number as u32));
                first_sample += rows; // the manifest was validated: the sum fits
            }
            shards.push(ShardFile { path, footer: OnceLock::new() });
        }
        Ok(Self { manifest, groups, places, shards })
    }

    /// What the manifest says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Shard file and row group within it, for messages.
    pub fn place(&self, group: RowGroupId) -> Option<(&Path, u32)> {
        let &(shard, number) = self.places.get(group.0 as usize)?;
        Some((&self.shards[shard as usize].path, number))
    }

    /// Reads what is known of the rows of a group, without the images: for looking at a large data set.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn read_facts(&self, group: RowGroupId) -> Result<RowFacts, SourceError> {
        let batch = self.batch(group, &COLUMNS[1..])?;
        rows::facts(&batch, self.manifest.classes.len())
            .map_err(|problem| self.damaged(group, problem))
    }

    fn damaged(&self, group: RowGroupId, problem: String) -> SourceError {
        let (shard, row_group) =
            self.place(group).unwrap_or((Path::new(&self.manifest.split), group.0));
        SourceError::Damaged { shard: shard.to_path_buf(), row_group, problem }
    }

    /// The given columns of one row group, with one read of the bytes that they span.
    fn batch(&self, group: RowGroupId, columns: &[&str]) -> Result<RecordBatch, SourceError> {
        let Some(&(shard, row_group)) = self.places.get(group.0 as usize) else {
            let problem = format!("the split has {} row groups", self.places.len());
            return Err(self.damaged(group, problem));
        };
        let path = &self.shards[shard as usize].path;
        let io = |source| SourceError::Io { shard: path.clone(), source };
        let parquet = |source| SourceError::Parquet { shard: path.clone(), row_group, source };
        let damaged = |problem| self.damaged(group, problem);

        let footer = self.footer(shard, row_group)?;
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
            return Err(damaged(format!("its columns lie at {start}..{end} of {listed} bytes")));
        }
        // Files are opened for each read: a data set may have more shards than a process may have files.
        let mut bytes = vec![0; (end - start) as usize];
        File::open(path).and_then(|file| file.read_exact_at(&mut bytes, start)).map_err(io)?;
        let range = FileRange { start, bytes: bytes.into(), file_bytes: listed };
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
            .ok_or_else(|| damaged(format!("it does not hold its {rows} rows")))
    }

    fn footer(&self, shard: u32, row_group: u32) -> Result<&ArrowReaderMetadata, SourceError> {
        let file = &self.shards[shard as usize];
        if let Some(footer) = file.footer.get() {
            return Ok(footer);
        }
        let parquet = |source| SourceError::Parquet { shard: file.path.clone(), row_group, source };
        let damaged =
            |problem| SourceError::Damaged { shard: file.path.clone(), row_group, problem };
        let opened = File::open(&file.path)
            .map_err(|source| SourceError::Io { shard: file.path.clone(), source })?;
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&opened).map_err(parquet)?;
        let labelled = !self.manifest.classes.is_empty();
        let schema = reading_schema(&metadata, labelled).map_err(parquet)?.map_err(damaged)?;
        let listed = &self.manifest.shards[shard as usize].row_groups;
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
        Ok(file.footer.get_or_init(|| footer))
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
        &self.groups
    }

    fn digest(&self) -> &str {
        &self.manifest.digest
    }

    fn classes(&self) -> &[String] {
        &self.manifest.classes
    }

    fn max_pixels(&self) -> u64 {
        self.manifest.sizes.max_pixels
    }

    fn read(&self, group: RowGroupId) -> Result<RowGroup, SourceError> {
        let batch = self.batch(group, &COLUMNS)?;
        let info = self.groups[group.0 as usize];
        rows::row_group(group, info, &batch, self.manifest.classes.len())
            .map_err(|problem| self.damaged(group, problem))
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

impl ChunkReader for FileRange {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.tail(start)?.reader())
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
