//! One shard file: rows gathered into row groups, bytes hashed on their way to the disk.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, Int64Array, StringArray, StructArray};
use arrow::datatypes::{Field, Fields, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use serde_json::json;

use super::error::ShardError;
use super::figures::Figures;
use super::image_column::ImageColumn;
use super::schema;
use crate::atomic::sync_folder;
use crate::manifest::{self, Digest, Shard, ShardRowGroup, Span, VERSION};
use crate::sample::ImageMeta;

/// Bytes that are hashed and written at a time: enough for the hash to use the whole width of the
/// processor, and still in its cache when they are written.
const BLOCK_BYTES: usize = 256 << 10;

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
    writer: SerializedFileWriter<HashingFile>,
    columns: ArrowRowGroupWriterFactory,
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
        let (writer, columns) = ArrowWriter::try_new(
            HashingFile::new(file),
            format.schema.clone(),
            Some(format.properties.clone()),
        )
        .and_then(ArrowWriter::into_serialized_writer)
        .map_err(|error| failure(&temporary, error))?;
        Ok(Self {
            format,
            path,
            temporary,
            writer,
            columns,
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
        self.write_row_group(&rows).map_err(|error| failure(&self.temporary, error))?;
        // What lies in the buffer of the writer belongs to this row group, too.
        self.writer.flush().map_err(ShardError::io("write", &self.temporary))?;
        let span = self.writer.inner_mut().end_span();
        let span = Some(span.map_err(ShardError::io("write", &self.temporary))?);
        self.groups.push(ShardRowGroup { rows: rows.len() as u32, bytes, span });
        Ok(())
    }

    fn write_row_group(&mut self, rows: &[Row]) -> Result<(), ParquetError> {
        let images = ImageColumn::new(rows.iter().map(|row| row.bytes.as_slice()).collect())?;
        let close = images.close(self.writer.schema_descr().column(0))?;
        let mut writers = self.columns.create_column_writers(self.groups.len())?.into_iter();
        // The library's writer for the images; the other columns keep their places.
        writers.next();
        let mut group = self.writer.next_row_group()?;
        group.append_column(&images, close)?;
        for (field, array) in facts(&self.format.schema, rows)? {
            for leaf in compute_leaves(&field, &array)? {
                let mut writer = writers.next().ok_or_else(|| {
                    ParquetError::General("there are more columns than writers".to_owned())
                })?;
                writer.write(&leaf)?;
                writer.close()?.append_to_row_group(&mut group)?;
            }
        }
        group.close()?;
        Ok(())
    }

    /// Completes the file; it keeps its temporary name until [`WrittenShard::commit`]. A shard without rows
    /// leaves no file.
    pub(super) fn finish(mut self) -> Result<WrittenShard, ShardError> {
        if !self.rows.is_empty() {
            self.end_row_group()?;
        }
        if self.groups.is_empty() {
            drop(self.writer);
            fs::remove_file(&self.temporary).map_err(ShardError::io("remove", &self.temporary))?;
            return Ok(WrittenShard { file: None, figures: self.figures });
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
        let mut written =
            self.writer.into_inner().map_err(|error| failure(&self.temporary, error))?;
        let footer = written.end_span().map_err(ShardError::io("write", &self.temporary))?;
        let (file, bytes, digest) = written.finish();
        let shard = Shard {
            file: self.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes,
            blake3: digest.to_hex().to_string(),
            footer: Some(footer),
            row_groups: self.groups,
        };
        let file = UnnamedFile { file, temporary: self.temporary, path: self.path, shard };
        Ok(WrittenShard { file: Some(file), figures: self.figures })
    }
}

/// A shard of which every byte was written, but may not be on the disk yet.
pub(super) struct WrittenShard {
    file: Option<UnnamedFile>,
    figures: Figures,
}

struct UnnamedFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    shard: Shard,
}

impl WrittenShard {
    /// Gives the file its name once it is on the disk: fsync, rename, fsync of the folder.
    pub(super) fn commit(self) -> Result<(Option<Shard>, Figures), ShardError> {
        let Some(UnnamedFile { file, temporary, path, shard }) = self.file else {
            return Ok((None, self.figures));
        };
        file.sync_all().map_err(ShardError::io("write", &temporary))?;
        fs::rename(&temporary, &path).map_err(ShardError::io("rename", &temporary))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        sync_folder(folder).map_err(ShardError::io("write", folder))?;
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

/// The columns of one row group behind the image bytes, in the order of the schema.
fn facts(schema: &Schema, rows: &[Row]) -> Result<Vec<(Field, ArrayRef)>, ParquetError> {
    let number = |value: &dyn Fn(&Row) -> i32| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(value(row))).collect::<Int32Array>())
    };
    let paths: StringArray = rows.iter().map(|row| Some(row.path.as_str())).collect();
    let parts: Fields = schema::image_parts().iter().skip(1).cloned().collect();
    let image = StructArray::new(parts.clone(), vec![Arc::new(paths) as ArrayRef], None);
    let ids: Int64Array = rows.iter().map(|row| Some(i64::from(row.id))).collect();
    let labels: Int64Array = rows.iter().map(|row| row.label.map(i64::from)).collect();
    let subsampling: StringArray =
        rows.iter().map(|row| Some(row.meta.subsampling.as_str())).collect();
    let progressive: BooleanArray = rows.iter().map(|row| Some(row.meta.progressive)).collect();
    schema
        .fields()
        .iter()
        .map(|field| {
            let array: ArrayRef = match field.name().as_str() {
                "image" => {
                    let data_type = arrow::datatypes::DataType::Struct(parts.clone());
                    let field = field.as_ref().clone().with_data_type(data_type);
                    return Ok((field, Arc::new(image.clone()) as ArrayRef));
                }
                "label" => Arc::new(labels.clone()),
                "id" => Arc::new(ids.clone()),
                "width" => number(&|row| row.meta.width as i32),
                "height" => number(&|row| row.meta.height as i32),
                "components" => number(&|row| i32::from(row.meta.components)),
                "subsampling" => Arc::new(subsampling.clone()),
                "orientation" => number(&|row| i32::from(row.meta.orientation)),
                "progressive" => Arc::new(progressive.clone()),
                "flags" => number(&|row| row.meta.flags.0 as i32),
                name => {
                    return Err(ParquetError::General(format!("the schema has a column `{name}`")));
                }
            };
            Ok((field.as_ref().clone(), array))
        })
        .collect()
}

/// Hashes what is written, as a whole and by span, so that digests cost no second reading.
struct HashingFile {
    file: File,
    hasher: blake3::Hasher,
    block: Vec<u8>,
    bytes: u64,
    span_offset: u64,
    span_hasher: blake3::Hasher,
}

impl HashingFile {
    fn new(file: File) -> Self {
        let block = Vec::with_capacity(BLOCK_BYTES);
        let hasher = blake3::Hasher::new();
        Self { file, span_hasher: hasher.clone(), hasher, block, bytes: 0, span_offset: 0 }
    }

    fn write_block(&mut self) -> io::Result<()> {
        self.hasher.update(&self.block);
        self.span_hasher.update(&self.block);
        self.file.write_all(&self.block)?;
        self.bytes += self.block.len() as u64;
        self.block.clear();
        Ok(())
    }

    /// What was written since the last span ended.
    fn end_span(&mut self) -> io::Result<Span> {
        self.write_block()?;
        let span = Span {
            offset: self.span_offset,
            bytes: self.bytes - self.span_offset,
            blake3: Digest(*self.span_hasher.finalize().as_bytes()),
        };
        self.span_offset = self.bytes;
        self.span_hasher.reset();
        Ok(span)
    }

    /// The file, its length and its digest. The last span has ended.
    fn finish(self) -> (File, u64, blake3::Hash) {
        (self.file, self.bytes, self.hasher.finalize())
    }
}

impl Write for HashingFile {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let taken = data.len().min(BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(&data[..taken]);
        if self.block.len() == BLOCK_BYTES {
            self.write_block()?;
        }
        Ok(taken)
    }

    /// Blocks are written when they are full and at the end of a span.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
