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

use crate::source::footer;
use crate::source::thrift;

/// Bytes by which page headers are read.
const HEADER_BYTES: usize = 4096;
/// The longest page header: it may hold the smallest and the largest value.
const LONGEST_HEADER_BYTES: u64 = 64 << 20;

/// A file that any number of threads may read.
#[derive(Clone)]
pub(super) struct Positioned {
    file: Arc<File>,
    bytes: u64,
    /// Where reading was begun last.
    began: Arc<AtomicU64>,
    /// Where pages lie that are read with their headers in one piece, sorted.
    pages: Arc<[u64]>,
}

impl Positioned {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), bytes, began: Arc::default(), pages: Arc::default() })
    }

    /// For reading columns whose pages are known, at these places of the file.
    pub(super) fn with_pages(self, mut pages: Vec<u64>) -> Self {
        pages.sort_unstable();
        Self { pages: pages.into(), ..self }
    }

    /// Looks at the page header at a place of the file, in longer and longer pieces.
    fn check_page(&self, offset: u64) -> io::Result<()> {
        let most = self.bytes.saturating_sub(offset).min(LONGEST_HEADER_BYTES);
        let mut length = most.min(HEADER_BYTES as u64);
        loop {
            let mut bytes = vec![0; length as usize];
            self.file.read_exact_at(&mut bytes, offset)?;
            match thrift::check_page_header(&bytes) {
                // A collection that does not fit may only be cut off here.
                Err(_) if length < most => length = (length * 16).min(most),
                Err(problem) => return Err(footer::wrong_page(offset, &problem)),
                Ok(()) => return Ok(()),
            }
        }
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
        let at = At { file: self.clone(), position: start, is_checked: false };
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
        if self.pages.binary_search(&start).is_ok() {
            footer::check_page(start, &bytes)?;
        }
        Ok(bytes.into())
    }
}

/// The bytes from a page on. Its header is looked at before any of them is read.
pub(super) struct At {
    file: Positioned,
    position: u64,
    is_checked: bool,
}

impl Read for At {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if !self.is_checked {
            self.file.check_page(self.position)?;
            self.is_checked = true;
        }
        let read = self.file.file.read_at(out, self.position)?;
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
