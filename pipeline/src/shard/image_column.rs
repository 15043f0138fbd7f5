//! The column of image bytes, written without going through Arrow.
//!
//! It is nearly all of a shard, and nothing is computed of it: no dictionary, no compression, no statistics.
//! Parquet's general writer would copy each image three times to come to the same bytes. Here the one page
//! of a row group is streamed into the file out of the buffers that the images were read into.

use std::io::{self, Read};

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::reader::{ChunkReader, Length};
use parquet::schema::types::ColumnDescPtr;

/// The images of one row group as a column chunk: one page of plain byte arrays.
pub(super) struct ImageColumn<'a> {
    /// Header of the page and definition levels.
    head: Bytes,
    images: Vec<&'a [u8]>,
    length: u64,
}

impl<'a> ImageColumn<'a> {
    /// The chunk for these images, at least one, of an optional value inside an optional group.
    ///
    /// # Errors
    /// If they are more bytes than a page can have, 2 GiB.
    pub(super) fn new(images: Vec<&'a [u8]>) -> Result<Self, ParquetError> {
        // A run of as many levels 2 (group and value are there) as there are rows, behind its length.
        let mut run = Vec::new();
        varint(images.len() as u64 * 2, &mut run);
        run.push(2);
        let mut levels = (run.len() as u32).to_le_bytes().to_vec();
        levels.append(&mut run);

        let values: u64 = images.iter().map(|image| 4 + image.len() as u64).sum();
        let page = i32::try_from(levels.len() as u64 + values).map_err(|_| {
            ParquetError::General(format!("{values} image bytes are too many for one row group"))
        })?;
        let mut head = page_header(page, images.len() as i32);
        head.append(&mut levels);
        let length = head.len() as u64 + values;
        Ok(Self { head: head.into(), images, length })
    }

    /// What the writer of the column would have said at its end.
    ///
    /// # Errors
    /// If the description of the column does not go with these facts.
    pub(super) fn close(&self, column: ColumnDescPtr) -> Result<ColumnCloseResult, ParquetError> {
        let rows = self.images.len() as i64;
        let page = PageEncodingStats {
            page_type: PageType::DATA_PAGE,
            encoding: Encoding::PLAIN,
            count: 1,
        };
        let metadata = ColumnChunkMetaData::builder(column)
            .set_compression(Compression::UNCOMPRESSED)
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE])
            .set_page_encoding_stats(vec![page])
            .set_total_compressed_size(self.length as i64)
            .set_total_uncompressed_size(self.length as i64)
            .set_num_values(rows)
            .set_data_page_offset(0)
            .build()?;
        let mut offset_index = OffsetIndexBuilder::new();
        offset_index.append_row_count(rows);
        offset_index.append_offset_and_size(0, self.length as i32);
        offset_index.append_unencoded_byte_array_data_bytes(Some(
            self.images.iter().map(|image| image.len() as i64).sum(),
        ));
        Ok(ColumnCloseResult {
            bytes_written: self.length,
            rows_written: rows as u64,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: Some(offset_index.build()),
        })
    }
}

impl Length for ImageColumn<'_> {
    fn len(&self) -> u64 {
        self.length
    }
}

impl<'a> ChunkReader for ImageColumn<'a> {
    type T = Pieces<'a>;

    fn get_read(&self, _start: u64) -> Result<Self::T, ParquetError> {
        Ok(Pieces { head: self.head.clone(), images: self.images.clone(), piece: 0, offset: 0 })
    }

    fn get_bytes(&self, _start: u64, _length: usize) -> Result<Bytes, ParquetError> {
        Err(ParquetError::NYI("the image column is only read from its start".to_owned()))
    }
}

/// The bytes of the chunk: head, then length and content of each image.
pub(super) struct Pieces<'a> {
    head: Bytes,
    images: Vec<&'a [u8]>,
    /// 0 for the head, then two for each image.
    piece: usize,
    /// Where in the piece.
    offset: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < out.len() {
            let length;
            let piece: &[u8] = match self.piece.checked_sub(1) {
                None => &self.head,
                Some(piece) => {
                    let Some(image) = self.images.get(piece / 2) else { break };
                    length = (image.len() as u32).to_le_bytes();
                    if piece % 2 == 0 { &length } else { image }
                }
            };
            let rest = &piece[self.offset..];
            let taken = rest.len().min(out.len() - filled);
            out[filled..filled + taken].copy_from_slice(&rest[..taken]);
            filled += taken;
            self.offset += taken;
            if self.offset == piece.len() {
                (self.piece, self.offset) = (self.piece + 1, 0);
            }
        }
        Ok(filled)
    }
}

/// The header of a page of the first version in Thrift's compact protocol.
fn page_header(page_bytes: i32, num_values: i32) -> Vec<u8> {
    const I32: u8 = 5;
    const STRUCT: u8 = 12;
    const STOP: u8 = 0;
    // The upper half of a field's byte is how far its number is from that of the field before.
    let number = |skip: u8, value: i32, out: &mut Vec<u8>| {
        out.push(skip << 4 | I32);
        varint(u64::from((value << 1 ^ value >> 31) as u32), out);
    };
    let mut out = Vec::new();
    number(1, 0, &mut out); // type: data page
    number(1, page_bytes, &mut out); // uncompressed size
    number(1, page_bytes, &mut out); // compressed size
    out.push(2 << 4 | STRUCT); // data page header
    number(1, num_values, &mut out);
    number(1, 0, &mut out); // values are plain
    number(1, 3, &mut out); // definition levels are run lengths
    number(1, 3, &mut out); // as repetition levels would be
    out.extend([STOP, STOP]);
    out
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
