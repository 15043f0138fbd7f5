//! From the name of data to a source: the one place that tells what lies where.
//!
//! | at the location | read by |
//! |---|---|
//! | folder with a manifest, or of such folders, also behind a URL | [`ParquetSource`] |
//! | Parquet files as Hugging Face `datasets` writes them | [`TableSource`], in place |
//! | WebDataset tars | [`WebDatasetSource`], in place |
//! | folder of images, tar of tars | `smog-tools shard` |

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::OpenError;
use super::files::{FileKind, SplitFiles, compressed, with_ending};
use super::location::{Location, expand};
use super::remote_splits::RemoteSplits;
use super::{ParquetSource, Source, TableSource, WebDatasetSource};
use crate::manifest::{MANIFEST_FILE, Manifest, find_split, list_splits};
use crate::remote::RemoteOptions;

/// What lies at a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A folder of shards with a manifest, or of such folders.
    Shards(PathBuf),
    /// The same behind a URL.
    Remote(Box<RemoteSplits>),
    /// Parquet files with images.
    Parquet(SplitFiles),
    /// WebDataset tars.
    WebDataset(SplitFiles),
    /// A folder with none of these: a folder of images, as far as anybody can say without listing it.
    Folder(PathBuf),
}

/// Looks at what `given` names, without opening it.
///
/// # Errors
/// If nothing is there, or a file of a kind that is not read.
pub fn find(given: &Path) -> Result<Found, OpenError> {
    find_with(given, &RemoteOptions::default())
}

/// As [`find`]; `remote` says how data behind a URL is read.
///
/// # Errors
/// As [`find`].
pub fn find_with(given: &Path, remote: &RemoteOptions) -> Result<Found, OpenError> {
    match Location::parse(given) {
        Location::Url(url) => Ok(Found::Remote(Box::new(RemoteSplits::find(&url, remote)?))),
        Location::Pattern(pattern) => files(given, expand(&pattern)?),
        Location::Path(path) if path.is_dir() => folder(path),
        Location::Path(path) if path.exists() => files(given, vec![path]),
        Location::Path(path) => Err(OpenError::Missing { path }),
    }
}

/// Opens a split of the data that `given` names.
///
/// # Errors
/// If nothing is there, or nothing that can be read without sharding it first.
pub fn open(given: &Path, split: &str) -> Result<Arc<dyn Source>, OpenError> {
    find(given)?.open(split)
}

fn folder(dir: PathBuf) -> Result<Found, OpenError> {
    if dir.join(MANIFEST_FILE).is_file() || !list_splits(&dir).is_empty() {
        return Ok(Found::Shards(dir));
    }
    let parquet = with_ending(&dir, "parquet")?;
    if !parquet.is_empty() {
        return Ok(Found::Parquet(SplitFiles::new(&dir, parquet)?));
    }
    let tars = with_ending(&dir, "tar")?;
    if !tars.is_empty() {
        return Ok(Found::WebDataset(SplitFiles::new(&dir, tars)?));
    }
    Ok(Found::Folder(dir))
}

fn files(given: &Path, files: Vec<PathBuf>) -> Result<Found, OpenError> {
    let mut first = None;
    for path in &files {
        let kind =
            FileKind::of(path).map_err(|source| OpenError::Io { path: path.clone(), source })?;
        match kind {
            FileKind::Compressed(program) => return Err(compressed(path, program)),
            FileKind::Other => {
                return Err(OpenError::Kind {
                    path: path.clone(),
                    problem: "this is a file, expected a folder, a Parquet file or a tar"
                        .to_owned(),
                });
            }
            FileKind::Parquet | FileKind::Tar => {}
        }
        if *first.get_or_insert(kind) != kind {
            return Err(OpenError::Kind {
                path: given.to_path_buf(),
                problem: "it names both Parquet files and tars; name one of the two".to_owned(),
            });
        }
    }
    let files = SplitFiles::new(given, files)?;
    Ok(match first {
        Some(FileKind::Parquet) => Found::Parquet(files),
        _ => Found::WebDataset(files),
    })
}

impl Found {
    /// Names of the splits; none where they are not known before sharding.
    pub fn splits(&self) -> Vec<String> {
        match self {
            Self::Shards(dir) if dir.join(MANIFEST_FILE).is_file() => {
                Manifest::read(dir).map(|manifest| vec![manifest.split]).unwrap_or_default()
            }
            Self::Shards(dir) => list_splits(dir).into_iter().map(|(name, _)| name).collect(),
            Self::Remote(splits) => splits.names(),
            Self::Parquet(files) | Self::WebDataset(files) => files.names(),
            Self::Folder(_) => Vec::new(),
        }
    }

    /// Whether there is such a split.
    pub fn has_split(&self, split: &str) -> bool {
        match self {
            Self::Shards(dir) => find_split(dir, split).is_ok(),
            Self::Remote(splits) => splits.of(split).is_ok(),
            Self::Parquet(files) | Self::WebDataset(files) => files.of(split).is_ok(),
            Self::Folder(_) => false,
        }
    }

    /// Opens a split.
    ///
    /// # Errors
    /// If it is not there, cannot be opened, or has to be sharded first.
    pub fn open(&self, split: &str) -> Result<Arc<dyn Source>, OpenError> {
        match self {
            Self::Shards(dir) => Ok(Arc::new(ParquetSource::open(&find_split(dir, split)?)?)),
            Self::Remote(splits) => Ok(Arc::new(splits.open(split)?)),
            Self::Parquet(files) => Ok(Arc::new(TableSource::open(files.of(split)?)?)),
            Self::WebDataset(files) => Ok(Arc::new(WebDatasetSource::open(files.of(split)?)?)),
            // The manifest that is not there is told with what stands in its place.
            Self::Folder(dir) => {
                Manifest::read(dir)?;
                Ok(Arc::new(ParquetSource::open(dir)?))
            }
        }
    }
}
