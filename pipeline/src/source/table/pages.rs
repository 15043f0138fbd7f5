//! Parts of a row group: runs of pages of the image column, so that a row group need not be read as a whole.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parquet::column::page::PageReader as _;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::page_index::offset_index::{OffsetIndexMetaData, PageLocation};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

/// Bytes by which page headers are read.
const HEADER_BYTES: usize = 4096;

/// A file that any number of threads may read.
#[derive(Clone)]
pub(super) struct Positioned {
    file: Arc<File>,
    bytes: u64,
    /// Where reading was begun last.
    began: Arc<AtomicU64>,
}

impl Positioned {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), bytes, began: Arc::default() })
    }
}

impl Length for Positioned {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Positioned {
    type T = BufReader<At>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        self.began.store(start, Ordering::Relaxed);
        let at = At { file: Arc::clone(&self.file), position: start };
        Ok(BufReader::with_capacity(HEADER_BYTES, at))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        // What a damaged file claims is held against its length before memory is taken for it.
        if start.checked_add(length as u64).is_none_or(|end| end > self.bytes) {
            return Err(ParquetError::EOF(format!(
                "{length} bytes at {start} reach beyond the file's {}",
                self.bytes
            )));
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}

/// A position in a file.
pub(super) struct At {
    file: Arc<File>,
    position: u64,
}

impl Read for At {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(out, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

/// Where the pages of a column chunk lie: from the file's offset index, or else by going from page header to
/// page header.
pub(super) fn locations(
    file: &Positioned,
    metadata: &ParquetMetaData,
    row_group: usize,
    column: usize,
) -> Result<OffsetIndexMetaData, ParquetError> {
    let index = metadata.page_index_for_row_group(row_group);
    if let Some(index) = index.offset_index(column) {
        return Ok(index.clone());
    }
    let group = metadata.row_group(row_group);
    let chunk = group.column(column);
    let (start, length) = chunk.byte_range();
    let rows = usize::try_from(group.num_rows())?;
    let mut reader = SerializedPageReader::new(Arc::new(file.clone()), chunk, rows, None)?;
    let mut pages: Vec<PageLocation> = Vec::new();
    let mut first_row = 0;
    while let Some(page) = reader.peek_next_page()? {
        let offset = file.began.load(Ordering::Relaxed);
        reader.skip_next_page()?;
        if let Some(last) = pages.last_mut() {
            last.compressed_page_size = i32::try_from(offset as i64 - last.offset)?;
        }
        if page.is_dict {
            continue;
        }
        let rows = page.num_rows.or(page.num_levels).unwrap_or(0) as i64;
        let compressed_page_size =
            i32::try_from((start + length).saturating_sub(offset)).unwrap_or(i32::MAX);
        pages.push(PageLocation {
            offset: offset as i64,
            compressed_page_size,
            first_row_index: first_row,
        });
        first_row += rows;
    }
    if first_row != group.num_rows() {
        return Err(ParquetError::General(format!(
            "the pages of row group {row_group} hold {first_row} rows, expected {}",
            group.num_rows()
        )));
    }
    Ok(OffsetIndexMetaData { page_locations: pages, unencoded_byte_array_data_bytes: None })
}
