//! One Parquet file: its footer, its columns, and the parts that it is read in.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;
use parquet::file::metadata::page_index::PageIndexBuilder;
use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader,
};
use parquet::file::reader::ChunkReader;

use super::columns::{Columns, reading_schema};
use super::pages::{self, Positioned};
use crate::source::error::OpenError;
use crate::source::{footer, places, thrift};
use crate::stamp::Stamp;

/// Row groups with more image bytes are read in parts.
const WHOLE_BYTES: u64 = 32 << 20;
/// Aimed size of a part.
const PART_BYTES: u64 = 16 << 20;

/// A file that was opened.
pub(super) struct TableFile {
    pub(super) path: PathBuf,
    pub(super) metadata: ArrowReaderMetadata,
    pub(super) stamp: Stamp,
}

/// Rows of a file that are read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) file: u32,
    pub(super) row_group: u32,
    /// First row within the file's row group.
    pub(super) first_row: u32,
    pub(super) rows: u32,
    /// Bytes that the images take in memory, page headers and all.
    pub(super) bytes: u64,
}

pub(super) fn table(file: &Path, problem: String) -> OpenError {
    OpenError::Table { file: file.to_path_buf(), problem }
}

impl TableFile {
    /// Reads the footer of a file; its parts go to `parts`, what it is to `digest`.
    pub(super) fn open(
        path: &Path,
        number: u32,
        digest: &mut blake3::Hasher,
        parts: &mut Vec<Part>,
    ) -> Result<(Self, Columns), OpenError> {
        let io = |source| OpenError::Io { path: path.to_path_buf(), source };
        let parquet = |source| OpenError::Parquet { file: path.to_path_buf(), source };
        let file = File::open(path).map_err(io)?;
        let stamp = Stamp::of(&file).map_err(io)?;
        let file = Positioned::new(file).map_err(io)?;
        let footer = footer::bytes(&file).map_err(parquet)?;
        let mut metadata = footer::parse(&footer).map_err(parquet)?;
        digest.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        digest.update(&stamp.bytes.to_le_bytes());
        digest.update(blake3::hash(&footer).as_bytes());
        let columns =
            Columns::find(&metadata).map_err(parquet)?.map_err(|problem| table(path, problem))?;
        let leaf = metadata
            .file_metadata()
            .schema_descr()
            .columns()
            .iter()
            .position(|leaf| leaf.path().string() == columns.bytes())
            .ok_or_else(|| table(path, format!("it has no column `{}`", columns.bytes())))?;
        places::check(&metadata, stamp.bytes).map_err(|problem| table(path, problem))?;
        let large = |group: usize| image_bytes(&metadata, group, leaf) > WHOLE_BYTES;
        let large: Vec<usize> = (0..metadata.num_row_groups()).filter(|&g| large(g)).collect();
        if !large.is_empty() {
            metadata = with_pages(&file, metadata, &large, leaf).map_err(parquet)?;
        }
        for row_group in 0..metadata.num_row_groups() {
            let place = (number, row_group as u32);
            parts_of(&metadata, place, leaf, parts).map_err(|problem| table(path, problem))?;
        }
        let schema = reading_schema(&metadata, &columns).map_err(parquet)?;
        let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
        let metadata =
            ArrowReaderMetadata::try_new(Arc::new(metadata), options).map_err(parquet)?;
        Ok((Self { path: path.to_path_buf(), metadata, stamp }, columns))
    }
}

fn image_bytes(metadata: &ParquetMetaData, row_group: usize, leaf: usize) -> u64 {
    metadata.row_group(row_group).column(leaf).uncompressed_size().max(0) as u64
}

/// The same with the places of the image pages of `groups`.
fn with_pages(
    file: &Positioned,
    metadata: ParquetMetaData,
    groups: &[usize],
    leaf: usize,
) -> Result<ParquetMetaData, ParquetError> {
    for column in metadata.row_groups().iter().flat_map(|group| group.columns()) {
        check_offset_index(file, column)?;
    }
    let mut reader = ParquetMetaDataReader::new_with_metadata(metadata)
        .with_column_index_policy(PageIndexPolicy::Skip)
        .with_offset_index_policy(PageIndexPolicy::Optional);
    reader.read_page_indexes(file)?;
    let metadata = reader.finish()?;
    let num_columns = metadata.file_metadata().schema_descr().num_columns();
    let mut index = PageIndexBuilder::new(metadata.num_row_groups(), num_columns);
    for &group in groups {
        index.put_offset_index(pages::locations(file, &metadata, group, leaf)?, group, leaf);
    }
    Ok(metadata.into_builder().set_page_index(Some(Arc::new(index.build()))).build())
}

/// Looks at the offset index of a column, where it has one, before the reader parses it.
fn check_offset_index(file: &Positioned, column: &ColumnChunkMetaData) -> Result<(), ParquetError> {
    let (Some(offset), Some(length)) = (column.offset_index_offset(), column.offset_index_length())
    else {
        return Ok(());
    };
    let what = format!("the offset index of column `{}`", column.column_path().string());
    let (Ok(offset), Ok(length)) = (u64::try_from(offset), usize::try_from(length)) else {
        return Err(ParquetError::General(format!("{what} has {length} bytes at {offset}")));
    };
    let bytes = file.get_bytes(offset, length)?;
    thrift::check_offset_index(&bytes).map_err(|problem| footer::refused(&what, &problem))
}

/// Appends the parts of a row group of a file: all of it, or runs of pages.
fn parts_of(
    metadata: &ParquetMetaData,
    (file, row_group): (u32, u32),
    leaf: usize,
    parts: &mut Vec<Part>,
) -> Result<(), String> {
    let group = metadata.row_group(row_group as usize);
    let all = group.num_rows() as u32; // places::check() saw that it fits
    let bytes = image_bytes(metadata, row_group as usize, leaf);
    if all == 0 {
        return Ok(());
    }
    let index = metadata.page_index_for_row_group(row_group as usize);
    let Some(pages) = index.page_locations(leaf).filter(|_| bytes > WHOLE_BYTES) else {
        parts.push(Part { file, row_group, first_row: 0, rows: all, bytes });
        return Ok(());
    };
    let chunk = group.column(leaf);
    let (start, stored) = chunk.byte_range();
    // Every part reads the dictionary, which lies before the first page.
    let dictionary = pages.first().map_or(0, |page| (page.offset as u64).saturating_sub(start));
    let unpacked = |stored_part: u64| {
        (u128::from(stored_part) * u128::from(bytes)).div_ceil(u128::from(stored.max(1))) as u64
    };
    let mut first_row = 0;
    let mut part_stored = dictionary;
    for (number, page) in pages.iter().enumerate() {
        part_stored += page.compressed_page_size.max(0) as u64;
        let end = pages.get(number + 1).map_or(i64::from(all), |next| next.first_row_index);
        let end = u32::try_from(end)
            .ok()
            .filter(|&end| end <= all && end >= first_row)
            .ok_or_else(|| format!("the page index of row group {row_group} is damaged"))?;
        let full = unpacked(part_stored) >= PART_BYTES || end == all;
        if full && end > first_row {
            let bytes = unpacked(part_stored);
            parts.push(Part { file, row_group, first_row, rows: end - first_row, bytes });
            (first_row, part_stored) = (end, dictionary);
        }
    }
    Ok(())
}
