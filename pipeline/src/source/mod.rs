//! Where row groups come from.

mod parquet;
mod rows;
mod synthetic;

use std::path::PathBuf;

use arrow::array::{Array, BinaryViewArray};

use crate::sample::{ImageMeta, RowGroupId, SampleId};

pub use self::parquet::{OpenError, ParquetSource};
pub use rows::RowFacts;
pub use synthetic::SyntheticSource;

/// Where a row group lies in the numbering of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowGroupInfo {
    /// Sample number of its first row.
    pub first_sample: SampleId,
    /// Rows in it; never 0.
    pub rows: u32,
    /// Encoded image bytes in it.
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
    /// Reads one row group.
    ///
    /// # Errors
    /// If the shard is missing, damaged or not what the manifest says; the error names shard and group.
    fn read(&self, group: RowGroupId) -> Result<RowGroup, SourceError>;

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

/// A row group that cannot be read. Always fatal: a data set that changes under a run is not a bad sample.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The file cannot be opened or read.
    #[error("cannot read shard {}", shard.display())]
    Io {
        /// The shard.
        shard: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file is not the Parquet file that the manifest describes.
    #[error("shard {} row group {row_group}: {problem}", shard.display())]
    Damaged {
        /// The shard.
        shard: PathBuf,
        /// Row group within the shard.
        row_group: u32,
        /// What was found and what was expected.
        problem: String,
    },
    /// The Parquet reader refused it.
    #[error("shard {} row group {row_group} is not readable Parquet", shard.display())]
    Parquet {
        /// The shard.
        shard: PathBuf,
        /// Row group within the shard.
        row_group: u32,
        /// The cause.
        #[source]
        source: ::parquet::errors::ParquetError,
    },
}
