//! Part of a shard's file in memory, as the Parquet reader wants it.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::super::footer;

/// The part of a file that holds one row group, in memory, under its offsets in the file.
pub(super) struct FileRange {
    pub(super) start: u64,
    pub(super) bytes: Bytes,
    pub(super) file_bytes: u64,
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
pub(super) struct Page {
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
