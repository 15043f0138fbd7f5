//! Why a manifest cannot be used.

use std::path::PathBuf;

use super::MANIFEST_FILE;
use super::splits::quoted;

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
    /// The folder holds data sets, but not the split that was asked for.
    #[error("{} has no split `{split}`; it has {}", dir.display(), quoted(found))]
    NoSplit {
        /// The folder that was looked at.
        dir: PathBuf,
        /// The split that was asked for.
        split: String,
        /// Splits that are there, at least one.
        found: Vec<String>,
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
