//! Why a data set cannot be opened or read.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::archive::ArchiveError;
use crate::manifest::ManifestError;
use crate::remote::RemoteError;
use crate::stamp::Stamp;

/// A data set that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The manifest is missing or wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Remote data cannot be reached.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A shard of the manifest is not there.
    #[error("shard {} is missing: its manifest lists it; copy it again or write the data set anew", shard.display())]
    MissingShard {
        /// The shard.
        shard: PathBuf,
    },
    /// A shard is not as long as the manifest says.
    #[error(
        "shard {} is {found} bytes long, its manifest says {expected}: it was cut off or replaced",
        shard.display()
    )]
    ShardSize {
        /// The shard.
        shard: PathBuf,
        /// Length of the file in bytes.
        found: u64,
        /// Length in the manifest.
        expected: u64,
    },
    /// A file or folder cannot be looked at.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Nothing is there.
    #[error("{}: there is no such file or folder", path.display())]
    Missing {
        /// What was named.
        path: PathBuf,
    },
    /// A pattern names no files.
    #[error("{pattern}: {problem}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Nothing is behind a URL.
    #[error(
        "{url} holds no data set: neither it nor a folder train, val, validation, valid or test in it has a \
         manifest.json; name the folder that `smog-tools shard --out` was given, or that of a split"
    )]
    NoRemoteData {
        /// As given.
        url: String,
    },
    /// A file of a kind that is not read.
    #[error("{}: {problem}", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it is, what was expected, and what to do.
        problem: String,
    },
    /// Data that only `smog-tools shard` reads.
    #[error(
        "{} {what}; make shards of it first: smog-tools shard {}",
        path.display(),
        path.display()
    )]
    MustShard {
        /// The data.
        path: PathBuf,
        /// What it is, as a clause that begins with a verb.
        what: String,
    },
    /// A tar that cannot be used.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A Parquet file without images, or with others than expected.
    #[error("{}: {problem}", file.display())]
    Table {
        /// The file.
        file: PathBuf,
        /// What was found and what was expected.
        problem: String,
    },
    /// A file that is not readable Parquet.
    #[error("{} is not readable Parquet", file.display())]
    Parquet {
        /// The file.
        file: PathBuf,
        /// The cause.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A row group that has to be looked at cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The files tell their splits by name, and none is of the one that was asked for.
    #[error("{}: no file is of split `{split}`; there is {}", path.display(), found.join(", "))]
    NoSplit {
        /// What was named.
        path: PathBuf,
        /// The split that was asked for.
        split: String,
        /// Splits that are there.
        found: Vec<String>,
    },
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
        source: io::Error,
    },
    /// The file is not the one that was opened at the start, so that places in it mean nothing any more.
    #[error(
        "{} was changed while it was in use: it {difference}. Let it be as it is while it is read, and start again",
        shard.display()
    )]
    Changed {
        /// The file.
        shard: PathBuf,
        /// How it differs, as a clause that begins with a verb.
        difference: String,
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
    /// The Parquet reader refused a shard of a data set with a manifest.
    #[error(
        "shard {} was damaged: its row group {row_group} is not readable Parquet; `smog-tools verify {}` names all that \
         is damaged",
        shard.display(), shard.parent().unwrap_or(shard).display()
    )]
    Unreadable {
        /// The shard.
        shard: PathBuf,
        /// Row group within the shard.
        row_group: u32,
        /// The cause.
        #[source]
        source: parquet::errors::ParquetError,
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
        source: parquet::errors::ParquetError,
    },
    /// A row group cannot be fetched.
    #[error("cannot fetch row group {row_group} of shard {}", shard.display())]
    Remote {
        /// URL of the shard.
        shard: PathBuf,
        /// Row group within the shard.
        row_group: u32,
        /// The cause.
        #[source]
        source: Box<RemoteError>,
    },
}

/// Refuses a file that is not as it was when `stamp` was taken; it was just opened anew.
pub(crate) fn unchanged(path: &Path, stamp: Stamp, file: &File) -> Result<(), SourceError> {
    let now = Stamp::of(file).map_err(|source| SourceError::Io { shard: path.into(), source })?;
    match stamp.difference(now) {
        None => Ok(()),
        Some(difference) => Err(SourceError::Changed { shard: path.into(), difference }),
    }
}
