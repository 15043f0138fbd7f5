//! Why shards could not be written.

use std::io;
use std::path::PathBuf;

use crate::manifest::ManifestError;

/// A run that did not lead to a data set. What it finished is kept and used by the next run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// An option is out of range.
    #[error("{option} = {value}, expected {expected}")]
    Option {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        expected: String,
    },
    /// The source is no folder of images.
    #[error("{}: {problem}", path.display())]
    Source {
        /// The source.
        path: PathBuf,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// A folder or file of the source or the output cannot be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: `read folder`, `write`, ...
        action: &'static str,
        /// The folder or file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The split already exists and was made otherwise.
    #[error(
        "{} already exists and {difference}; use `--overwrite` to replace it or `--out` to write elsewhere",
        dir.display()
    )]
    Exists {
        /// The folder of the split.
        dir: PathBuf,
        /// How it differs from what this run would write.
        difference: String,
    },
    /// The folder of the split exists and is no data set, so it is never replaced.
    #[error(
        "{} already exists and is not a data set of this program; move it away or use `--out`",
        dir.display()
    )]
    Foreign {
        /// The folder.
        dir: PathBuf,
    },
    /// Another run writes to the same folder.
    #[error("another run is writing to {}; wait for it or use `--out`", out.display())]
    Locked {
        /// The output folder.
        out: PathBuf,
    },
    /// Not one image could be used.
    #[error(
        "split `{split}`: none of {num_files} files is a usable image, so no data set was written; \
         the first: {example}"
    )]
    NothingUsable {
        /// The split.
        split: String,
        /// Files that were looked at.
        num_files: u64,
        /// One of them with its reason.
        example: String,
    },
    /// The Parquet writer refused.
    #[error("cannot write {}", path.display())]
    Parquet {
        /// The shard.
        path: PathBuf,
        /// The cause.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// The manifest could not be written or the one that is there is damaged.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A worker thread panicked: a fault of this program.
    #[error("a worker panicked: {message}")]
    Panic {
        /// What it said.
        message: String,
    },
}

impl ShardError {
    /// For `map_err`: an I/O error with what was tried and where.
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
