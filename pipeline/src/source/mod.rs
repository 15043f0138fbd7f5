//! Where row groups come from.

mod advice;
mod error;
mod fetch;
mod files;
mod footer;
mod location;
mod memory;
mod open;
mod parquet;
mod places;
mod probe;
mod remote_splits;
mod rows;
mod subset;
mod synthetic;
mod table;
#[cfg(test)]
mod test_images;
mod thrift;
mod webdataset;

use std::path::Path;

use arrow::array::{Array, BinaryViewArray};

use crate::codec::most_coefficient_bytes;
use crate::remote::RemoteMetrics;
use crate::sample::{ImageMeta, RowGroupId, SampleId};

pub use self::parquet::ParquetSource;
pub use crate::archive::ArchiveError;
pub use advice::{mixing_advice, sorted_share};
pub(crate) use error::unchanged;
pub use error::{OpenError, SourceError};
pub use fetch::Fetch;
pub use files::SplitFiles;
pub use location::{Location, scheme};
pub use memory::MemorySource;
pub use open::{Found, find, find_with, open};
pub use remote_splits::RemoteSplits;
pub use rows::RowFacts;
pub use subset::SubsetSource;
pub use synthetic::SyntheticSource;
pub use table::TableSource;
pub use webdataset::WebDatasetSource;

/// Where a row group lies in the numbering of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowGroupInfo {
    /// Sample number of its first row.
    pub first_sample: SampleId,
    /// Rows in it; never 0.
    pub rows: u32,
    /// Encoded image bytes in it; an upper bound where the source cannot know without reading.
    pub bytes: u64,
}

/// A source of row groups. `read` is called from several threads at once and must give the same content
/// each time.
pub trait Source: Send + Sync {
    /// All row groups in sample order.
    fn row_groups(&self) -> &[RowGroupInfo];
    /// Names the content; part of the stream's resume state.
    fn digest(&self) -> &str;
    /// Class names by label; empty without labels.
    fn classes(&self) -> &[String];
    /// Largest width times height of any image, as far as known; sizes buffers.
    fn max_pixels(&self) -> u64;
    /// Most bytes of coefficients that a decoder keeps of any image (JPEG of several scans), as far as known.
    fn max_coefficient_bytes(&self) -> u64 {
        most_coefficient_bytes(self.max_pixels())
    }
    /// Bytes that it keeps in memory all along: where its rows lie.
    fn held_bytes(&self) -> u64 {
        0
    }
    /// Reads one row group.
    ///
    /// # Errors
    /// If the shard is missing, damaged or not what the manifest says; the error names shard and group.
    fn read(&self, group: RowGroupId) -> Result<RowGroup, SourceError>;

    /// The labels of one row group, as [`RowGroup::labels`].
    ///
    /// # Errors
    /// As [`Source::read`].
    fn labels(&self, group: RowGroupId) -> Result<Vec<i64>, SourceError> {
        Ok(self.read(group)?.labels)
    }

    /// The file that a row group lies in, for messages; `None` where there is none or no such row group.
    fn file(&self, group: RowGroupId) -> Option<&Path> {
        let _ = group;
        None
    }

    /// Row groups that are worth reading at the same time, since each takes long to arrive.
    fn reads_ahead(&self) -> u32 {
        1
    }

    /// Begins to read a row group without waiting for it. `None` where `read` is as good.
    fn fetch(&self, group: RowGroupId) -> Option<Fetch> {
        let _ = group;
        None
    }

    /// What was fetched over the network; `None` where nothing is.
    fn remote_metrics(&self) -> Option<RemoteMetrics> {
        None
    }

    /// Number of samples over all row groups.
    fn num_samples(&self) -> u64 {
        self.row_groups()
            .last()
            .map_or(0, |last| u64::from(last.first_sample.0) + u64::from(last.rows))
    }
}

/// The encoded samples of one row group; image bytes are views into the buffer that was read.
#[derive(Clone, Debug)]
pub struct RowGroup {
    /// Which one.
    pub id: RowGroupId,
    /// Sample number of row 0.
    pub first_sample: SampleId,
    /// Encoded images.
    pub images: BinaryViewArray,
    /// One per row.
    pub metas: Vec<ImageMeta>,
    /// Label per row; -1 where there is none.
    pub labels: Vec<i64>,
    /// Path of the original file per row, for messages.
    pub paths: Vec<String>,
}

impl RowGroup {
    /// Number of rows.
    pub fn rows(&self) -> u32 {
        self.images.len() as u32
    }

    /// Encoded bytes of the image in `row`.
    pub fn encoded(&self, row: u32) -> &[u8] {
        self.images.value(row as usize)
    }
}
