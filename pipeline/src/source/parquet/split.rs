//! A split by its manifest, and how bytes of its shards become rows.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_schema};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::ChunkReader;

use super::super::rows;
use super::super::{RowGroup, RowGroupInfo, SourceError, footer, places};
use super::range::FileRange;
use crate::manifest::{Digest, Manifest, ShardRowGroup};
use crate::sample::{RowGroupId, SampleId};

/// What is known of a split, and how its bytes become rows.
pub(super) struct Split {
    pub(super) manifest: Manifest,
    pub(super) groups: Vec<RowGroupInfo>,
    /// Shard and row group within it, by [`RowGroupId`].
    pub(super) places: Vec<(u32, u32)>,
    pub(super) shards: Vec<ShardFile>,
}

pub(super) struct ShardFile {
    /// Or its URL.
    pub(super) path: PathBuf,
    /// Read when the first of its row groups is asked for.
    pub(super) footer: OnceLock<ArrowReaderMetadata>,
}

impl Split {
    pub(super) fn new(manifest: Manifest, path: impl Fn(&str) -> PathBuf) -> Self {
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

    pub(super) fn place(&self, group: RowGroupId) -> Option<(&Path, u32)> {
        let &(shard, number) = self.places.get(group.0 as usize)?;
        Some((&self.shards[shard as usize].path, number))
    }

    /// Shard and row group within it.
    pub(super) fn numbers(&self, group: RowGroupId) -> Result<(u32, u32), SourceError> {
        self.places.get(group.0 as usize).copied().ok_or_else(|| {
            self.damaged(group, format!("the split has {} row groups", self.places.len()))
        })
    }

    pub(super) fn damaged(&self, group: RowGroupId, problem: String) -> SourceError {
        let (shard, row_group) =
            self.place(group).unwrap_or((Path::new(&self.manifest.split), group.0));
        SourceError::Damaged { shard: shard.to_path_buf(), row_group, problem }
    }

    /// The given columns of one row group, with one read of the bytes that they span.
    pub(super) fn read_local(
        &self,
        group: RowGroupId,
        columns: &[&str],
    ) -> Result<RecordBatch, SourceError> {
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
    pub(super) fn span(
        &self,
        group: RowGroupId,
        columns: &[&str],
    ) -> Result<Range<u64>, SourceError> {
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
    pub(super) fn batch(
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
    pub(super) fn row_group(
        &self,
        group: RowGroupId,
        batch: &RecordBatch,
    ) -> Result<RowGroup, SourceError> {
        let info = self.groups[group.0 as usize];
        rows::row_group(group, info, batch, self.manifest.classes.len())
            .map_err(|problem| self.damaged(group, problem))
    }

    pub(super) fn footer(
        &self,
        group: RowGroupId,
        shard: u32,
    ) -> Result<&ArrowReaderMetadata, SourceError> {
        let footer = self.shards[shard as usize].footer.get();
        footer.ok_or_else(|| self.damaged(group, "its footer was not read".to_owned()))
    }

    /// Reads the footer of a shard on this machine. It is compared with its digest where the manifest has one; row
    /// groups are not, which costs as much as a worker needs for a twentieth of its images.
    pub(super) fn read_local_footer(
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
    pub(super) fn read_footer<R: ChunkReader>(
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
