//! Why shards could not be written.

use std::io;
use std::path::PathBuf;

use crate::manifest::ManifestError;
use crate::remote::RemoteError;
use crate::source::{OpenError, SourceError};

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
    /// The source cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The source holds no images, or others than expected.
    #[error("{}: {problem}", path.display())]
    Source {
        /// The source.
        path: PathBuf,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// The source has other splits.
    #[error("{}: there is no split `{split}`; there is {}", path.display(), found.join(", "))]
    NoSplit {
        /// The source.
        path: PathBuf,
        /// The split that was asked for.
        split: String,
        /// Splits that are there.
        found: Vec<String>,
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
    /// An image, or the tar that holds it, cannot be read, for a reason that is not the image's own.
    #[error(
        "cannot read {}. No image is left out for that, as the disk, the mount or this machine may be at fault. What is \
         finished is kept: once the file can be read, the same command goes on",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A tar or Parquet file of the source cannot be read or was changed.
    #[error(
        "images of the source cannot be read, and none is left out for that. What is finished is kept: once they can be \
         read, the same command goes on"
    )]
    ReadSource(#[source] SourceError),
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
    /// The folder where the split is built holds shards that this run or merge cannot use.
    #[error(
        "{} holds the parts of a run that {difference}; remove that folder if they are not needed any more, \
         or use `--out` to write elsewhere",
        dir.display()
    )]
    OtherParts {
        /// The hidden folder where the split is built.
        dir: PathBuf,
        /// How its plan differs.
        difference: String,
    },
    /// Parts that do not go together.
    #[error("the parts do not go together: {} {difference} ({})", first.display(), second.display())]
    PartsDiffer {
        /// Folder of one part.
        first: PathBuf,
        /// How it differs from the other.
        difference: String,
        /// Folder of the other part.
        second: PathBuf,
    },
    /// Not all shards are there.
    #[error("split `{split}` is not complete: {missing}")]
    PartsMissing {
        /// The split.
        split: String,
        /// Which parts are missing or unfinished, and what to do.
        missing: String,
    },
    /// There is nothing to merge.
    #[error("{}: {problem}", dir.display())]
    Merge {
        /// The folder that was looked at.
        dir: PathBuf,
        /// What is wrong and what was expected.
        problem: String,
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
    /// The folder for shards that are uploaded cannot be trusted.
    #[error("{} {problem}, so no shards are put there; name another folder with `--stage`", dir.display())]
    Stage {
        /// The folder.
        dir: PathBuf,
        /// What is wrong, as a clause that begins with a verb.
        problem: &'static str,
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
    /// The output lies in a store that cannot be reached or written.
    #[error(transparent)]
    Remote(#[from] RemoteError),
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
