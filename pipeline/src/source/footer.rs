//! Footers and page headers, looked at before the Parquet reader parses them: see [`thrift`].

use std::io;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::{FooterTail, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::ChunkReader;

use super::places::TAIL_BYTES;
use super::thrift::{self, Problem};

/// The footer of a file as it lies there, without the file's last eight bytes.
pub(super) fn bytes<R: ChunkReader>(reader: &R) -> Result<Bytes, ParquetError> {
    let file_bytes = reader.len();
    let too_short = |length| {
        ParquetError::EOF(format!("a footer of {length} bytes in a file of {file_bytes} bytes"))
    };
    let end = file_bytes.checked_sub(TAIL_BYTES).ok_or_else(|| too_short(TAIL_BYTES))?;
    let length = length(&reader.get_bytes(end, TAIL_BYTES as usize)?)?;
    let start = end.checked_sub(length).ok_or_else(|| too_short(length))?;
    reader.get_bytes(start, length as usize)
}

/// Length of the footer by the end of a file, without its last eight bytes.
pub(super) fn length(end: &[u8]) -> Result<u64, ParquetError> {
    let tail = end.last_chunk().ok_or_else(|| {
        ParquetError::EOF(format!("a file of {} bytes is too short for Parquet", end.len()))
    })?;
    let tail = FooterTail::try_new(tail)?;
    if tail.is_encrypted_footer() {
        return Err(ParquetError::General("its footer is encrypted".to_owned()));
    }
    Ok(tail.metadata_length() as u64)
}

/// Parses what [`bytes()`] gave.
pub(super) fn parse(footer: &[u8]) -> Result<ParquetMetaData, ParquetError> {
    thrift::check_footer(footer).map_err(|problem| refused("its footer", &problem))?;
    ParquetMetaDataReader::decode_metadata(footer)
}

/// Looks at the page header that `bytes`, from `offset` of the file on, begin with.
pub(super) fn check_page(offset: u64, bytes: &[u8]) -> io::Result<()> {
    thrift::check_page_header(bytes).map_err(|problem| wrong_page(offset, &problem))
}

pub(super) fn wrong_page(offset: u64, problem: &Problem) -> io::Error {
    let what = format!("the page header at {offset}");
    io::Error::new(io::ErrorKind::InvalidData, refused(&what, problem))
}

/// The error for what a check refused.
pub(super) fn refused(what: &str, problem: &Problem) -> ParquetError {
    ParquetError::General(format!("{what} is damaged: {}", problem.text()))
}
