//! What a run tells while it works and when it is done.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::listing::Refused;
use super::part::Part;

/// Told of progress. Every method may be left out.
pub trait ShardProgress: Sync {
    /// A split begins: files and bytes still to be read, shards in all and already finished by an earlier run.
    fn begin(&self, _split: &str, _files: u64, _bytes: u64, _shards: u32, _finished: u32) {}
    /// One more file was read and is in its shard, or was refused.
    fn advance(&self, _bytes: u64, _refused: Option<&Refused>) {}
    /// A merge begins to copy shards from other folders.
    fn begin_copy(&self, _split: &str, _shards: u64, _bytes: u64) {}
    /// A shard is complete and on the disk.
    fn shard(&self, _file: &str, _rows: u64, _bytes: u64) {}
    /// Something that a person should know.
    fn note(&self, _text: &str) {}
    /// The split is complete or failed.
    fn end(&self) {}
}

/// Silence.
impl ShardProgress for () {}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct ShardReport {
    /// Folder that holds the splits.
    pub out: PathBuf,
    /// One entry per split that was asked for.
    pub splits: Vec<SplitReport>,
}

/// What came of one split.
#[derive(Clone, Debug)]
pub struct SplitReport {
    /// Its name.
    pub split: String,
    /// Its folder; for a part, the hidden one where the split is built.
    pub dir: PathBuf,
    /// The part that was written, where it was one; all figures are of its shards alone.
    pub part: Option<Part>,
    /// Samples in it.
    pub num_samples: u64,
    /// Classes; 0 for a split without labels.
    pub num_classes: usize,
    /// Shards.
    pub num_shards: usize,
    /// Row groups.
    pub num_row_groups: usize,
    /// Encoded image bytes.
    pub image_bytes: u64,
    /// Bytes of all shards.
    pub shard_bytes: u64,
    /// Mean of width times height.
    pub mean_pixels: f64,
    /// Refused files by kind.
    pub refused: BTreeMap<String, u64>,
    /// Files that are no images by their name.
    pub num_other_files: u64,
    /// Shards that an earlier, unfinished run had left.
    pub num_resumed_shards: u32,
    /// The data set was there already; nothing was written.
    pub already_done: bool,
    /// Wall-clock time.
    pub seconds: f64,
}

impl SplitReport {
    /// Files that were left out.
    pub fn num_refused(&self) -> u64 {
        self.refused.values().sum()
    }
}

impl ShardReport {
    /// Files that were left out, over all splits.
    pub fn num_refused(&self) -> u64 {
        self.splits.iter().map(SplitReport::num_refused).sum()
    }

    /// Files that were looked at, over all splits.
    pub fn num_files(&self) -> u64 {
        self.num_refused() + self.splits.iter().map(|split| split.num_samples).sum::<u64>()
    }
}
