//! One shard file: rows gathered into row groups, bytes hashed on their way to the disk.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray,
    StructArray,
};
use arrow::datatypes::Schema;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use serde_json::json;

use super::error::ShardError;
use super::figures::Figures;
use super::schema;
use crate::manifest::{self, Shard, ShardRowGroup, VERSION};
use crate::sample::ImageMeta;

/// One row.
pub(super) struct Row {
    /// Number of the file in the sorted listing of its split.
    pub(super) id: u32,
    pub(super) path: String,
    pub(super) label: Option<u32>,
    pub(super) bytes: Vec<u8>,
    pub(super) meta: ImageMeta,
}

/// What is the same for all shards of a split.
pub(super) struct ShardFormat {
    pub(super) schema: Arc<Schema>,
    pub(super) properties: WriterProperties,
    pub(super) row_group_rows: usize,
    pub(super) row_group_bytes: u64,
    pub(super) split: String,
    pub(super) shuffle_seed: Option<u64>,
    pub(super) check: &'static str,
}

/// A shard that is being written, under a temporary name.
pub(super) struct ShardWriter<'a> {
    format: &'a ShardFormat,
    path: PathBuf,
    temporary: PathBuf,
    writer: ArrowWriter<HashingFile>,
    rows: Vec<Row>,
    rows_bytes: u64,
    groups: Vec<ShardRowGroup>,
    figures: Figures,
}

impl<'a> ShardWriter<'a> {
    /// Begins the shard `path`; `path.tmp` is replaced if an earlier run left one.
    pub(super) fn create(path: PathBuf, format: &'a ShardFormat) -> Result<Self, ShardError> {
        let mut temporary = path.clone().into_os_string();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let file = File::create(&temporary).map_err(ShardError::io("create", &temporary))?;
        let file = HashingFile { file, hasher: blake3::Hasher::new(), bytes: 0 };
        let writer =
            ArrowWriter::try_new(file, format.schema.clone(), Some(format.properties.clone()))
                .map_err(|error| failure(&temporary, error))?;
        Ok(Self {
            format,
            path,
            temporary,
            writer,
            rows: Vec::new(),
            rows_bytes: 0,
            groups: Vec::new(),
            figures: Figures::default(),
        })
    }

    /// Adds a row; ends the row group before it where it would grow over a limit.
    pub(super) fn push(&mut self, row: Row) -> Result<(), ShardError> {
        let bytes = row.bytes.len() as u64;
        let full = self.rows.len() >= self.format.row_group_rows
            || self.rows_bytes + bytes > self.format.row_group_bytes;
        if full && !self.rows.is_empty() {
            self.end_row_group()?;
        }
        self.figures.add(&row.meta);
        self.rows_bytes += bytes;
        self.rows.push(row);
        Ok(())
    }

    fn end_row_group(&mut self) -> Result<(), ShardError> {
        let rows = std::mem::take(&mut self.rows);
        let bytes = std::mem::take(&mut self.rows_bytes);
        let group = ShardRowGroup { rows: rows.len() as u32, bytes };
        let failure = |error| failure(&self.temporary, error);
        let batch = batch(&self.format.schema, rows, bytes)
            .map_err(|error| failure(ParquetError::ArrowError(error.to_string())))?;
        self.writer.write(&batch).map_err(failure)?;
        drop(batch);
        self.writer.flush().map_err(failure)?;
        self.groups.push(group);
        Ok(())
    }

    /// Completes the file and gives it its name: fsync, rename, fsync of the folder. A shard without rows
    /// leaves no file.
    pub(super) fn finish(mut self) -> Result<(Option<Shard>, Figures), ShardError> {
        if !self.rows.is_empty() {
            self.end_row_group()?;
        }
        if self.groups.is_empty() {
            drop(self.writer);
            fs::remove_file(&self.temporary).map_err(ShardError::io("remove", &self.temporary))?;
            return Ok((None, self.figures));
        }
        let facts = json!({
            "format": manifest::FORMAT,
            "version": VERSION,
            "split": self.format.split,
            "shuffle_seed": self.format.shuffle_seed,
            "check": self.format.check,
            "rows": self.groups.iter().map(|group| u64::from(group.rows)).sum::<u64>(),
            "image_bytes": self.groups.iter().map(|group| group.bytes).sum::<u64>(),
        });
        self.writer.append_key_value_metadata(schema::shard_facts(&facts));
        let written = self.writer.into_inner().map_err(|error| failure(&self.temporary, error))?;
        written.file.sync_all().map_err(ShardError::io("write", &self.temporary))?;
        fs::rename(&self.temporary, &self.path)
            .map_err(ShardError::io("rename", &self.temporary))?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        manifest::sync_folder(folder).map_err(ShardError::io("write", folder))?;
        let shard = Shard {
            file: self.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: written.bytes,
            blake3: written.hasher.finalize().to_hex().to_string(),
            row_groups: self.groups,
        };
        Ok((Some(shard), self.figures))
    }
}

fn failure(path: &Path, error: ParquetError) -> ShardError {
    // A full disk arrives wrapped; it should read as what it is.
    match error {
        ParquetError::External(error) if error.is::<io::Error>() => match error.downcast() {
            Ok(source) => ShardError::Io { action: "write", path: path.into(), source: *source },
            Err(error) => {
                ShardError::Parquet { path: path.into(), source: ParquetError::External(error) }
            }
        },
        source => ShardError::Parquet { path: path.into(), source },
    }
}

/// The columns of one row group, in the order of the schema.
fn batch(
    schema: &Arc<Schema>,
    rows: Vec<Row>,
    image_bytes: u64,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let number = |value: &dyn Fn(&Row) -> i32| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(value(row))).collect::<Int32Array>())
    };
    // A row group is at most one image above MAX_ROW_GROUP_BYTES, and images are at most 1 GiB: offsets fit.
    let mut bytes = BinaryBuilder::with_capacity(rows.len(), image_bytes as usize);
    rows.iter().for_each(|row| bytes.append_value(&row.bytes));
    let paths: StringArray = rows.iter().map(|row| Some(row.path.as_str())).collect();
    let image = StructArray::new(
        schema::image_parts(),
        vec![Arc::new(bytes.finish()) as ArrayRef, Arc::new(paths)],
        None,
    );
    let subsampling: StringArray =
        rows.iter().map(|row| Some(row.meta.subsampling.as_str())).collect();
    let progressive: BooleanArray = rows.iter().map(|row| Some(row.meta.progressive)).collect();
    let mut columns: Vec<ArrayRef> = vec![Arc::new(image)];
    if schema.field_with_name("label").is_ok() {
        let labels: Int64Array = rows.iter().map(|row| row.label.map(i64::from)).collect();
        columns.push(Arc::new(labels));
    }
    let ids: Int64Array = rows.iter().map(|row| Some(i64::from(row.id))).collect();
    columns.push(Arc::new(ids));
    columns.push(number(&|row| row.meta.width as i32));
    columns.push(number(&|row| row.meta.height as i32));
    columns.push(number(&|row| i32::from(row.meta.components)));
    columns.push(Arc::new(subsampling));
    columns.push(number(&|row| i32::from(row.meta.orientation)));
    columns.push(Arc::new(progressive));
    columns.push(number(&|row| row.meta.flags.0 as i32));
    RecordBatch::try_new(schema.clone(), columns)
}

/// Hashes what is written, so that a shard's digest costs no second reading.
struct HashingFile {
    file: File,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Write for HashingFile {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.file.write(data)?;
        self.hasher.update(&data[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
