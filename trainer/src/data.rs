//! From what the user names as data to a source: anything that `smog_pipeline::source::find` finds, a folder of
//! images that is sharded once into a cache, or generated images.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use smog_pipeline::remote::RemoteOptions;
use smog_pipeline::shard::{ShardError, ShardOptions, ShardProgress, default_out, shard};
use smog_pipeline::source::{Found, Location, OpenError, Source, SyntheticSource, find, find_with};

use crate::environment;
use crate::eval::knn::KnnData;

/// Prefix of generated data, `synthetic:COUNT[:SIDE]`.
const SYNTHETIC: &str = "synthetic:";
/// Samples per row group of generated data.
const SYNTHETIC_GROUP_ROWS: u32 = 64;
/// Side of generated images in pixels where none is given.
const SYNTHETIC_SIDE: u32 = 48;

/// Data that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// None was named.
    #[error(
        "no data: give --data with shards, a folder of images, Parquet files or WebDataset tars"
    )]
    NotGiven,
    /// `synthetic:` with something else behind it than numbers.
    #[error("{given}: expected synthetic:COUNT or synthetic:COUNT:SIDE, such as synthetic:2000:48")]
    Synthetic {
        /// As given.
        given: String,
    },
    /// There is nowhere to put shards.
    #[error(
        "{} holds images, but there is no cache folder to shard them into (neither XDG_CACHE_HOME nor HOME is set); \
         run `smog-tools shard` on it and give its output as --data",
        path.display()
    )]
    NoCache {
        /// The folder of images.
        path: PathBuf,
    },
    /// The data cannot be found or opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The images cannot be sharded.
    #[error("cannot make shards of the images in {}", path.display())]
    Shard {
        /// The folder of images.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<ShardError>,
    },
}

/// Data that was found: one or more splits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataSet {
    /// Data that is read as it lies.
    Found(Found),
    /// Generated images.
    Synthetic {
        /// Samples of each split.
        count: u32,
        /// Side in pixels.
        side: u32,
    },
}

impl DataSet {
    /// Finds the data that `given` names. A folder of images is sharded first, unless that was done before;
    /// where the shards are is told through `progress`. `remote` says how data behind a URL is read.
    ///
    /// # Errors
    /// If there is nothing usable.
    pub fn find(
        given: &Path,
        remote: &RemoteOptions,
        progress: &dyn ShardProgress,
    ) -> Result<Self, DataError> {
        if let Some(numbers) = given.to_str().and_then(|text| text.strip_prefix(SYNTHETIC)) {
            let wrong = || DataError::Synthetic { given: given.display().to_string() };
            let (count, side) = numbers.split_once(':').unwrap_or((numbers, ""));
            let count = count.parse().ok().filter(|&count| count > 0).ok_or_else(wrong)?;
            let side = match side {
                "" => SYNTHETIC_SIDE,
                side => {
                    side.parse().ok().filter(|side| (8..=1024).contains(side)).ok_or_else(wrong)?
                }
            };
            return Ok(Self::Synthetic { count, side });
        }
        let dir = match find_with(&absolute(given), remote)? {
            Found::Folder(dir) => dir,
            found => return Ok(Self::Found(found)),
        };
        if let Some(beside) = default_out(&dir).ok().and_then(|beside| shards(&beside)) {
            progress.note(&format!(
                "{} holds images; using the shards in {}",
                dir.display(),
                default_out(&dir).unwrap_or_default().display()
            ));
            return Ok(Self::Found(beside));
        }
        let cached = cached_shards(&dir)?;
        if let Some(earlier) = shards(&cached) {
            progress.note(&format!(
                "{} holds images; using the shards made of them earlier in {}",
                dir.display(),
                cached.display()
            ));
            return Ok(Self::Found(earlier));
        }
        progress.note(&format!(
            "{} holds images; sharding them once into {} (delete it when the images change)",
            dir.display(),
            cached.display()
        ));
        let source = |source| DataError::Shard { path: dir.clone(), source: Box::new(source) };
        shard(&dir, &cached, &ShardOptions::default(), progress).map_err(source)?;
        Ok(Self::Found(find(&cached)?))
    }

    /// How `given`, which led here, is written in stored settings: absolute, so that a run can be resumed from
    /// anywhere.
    pub fn path_of(&self, given: &Path) -> PathBuf {
        match self {
            Self::Found(_) => absolute(given),
            Self::Synthetic { .. } => given.to_owned(),
        }
    }

    /// Opens a split.
    ///
    /// # Errors
    /// If it is not there or its shards cannot be opened.
    pub fn open(&self, split: &str) -> Result<Arc<dyn Source>, DataError> {
        Ok(match self {
            Self::Found(found) => found.open(split)?,
            Self::Synthetic { count, side } => {
                let seed = if split == "train" { 0 } else { 1 };
                Arc::new(SyntheticSource::new(*count, SYNTHETIC_GROUP_ROWS, *side, seed))
            }
        })
    }

    /// Samples for k-NN: the neighbours from `bank`, the queries from the first of `test_splits` that is
    /// there, or else held out from the bank.
    ///
    /// # Errors
    /// If a split cannot be opened.
    pub fn knn(&self, bank: &str, test_splits: &[String]) -> Result<KnnData, DataError> {
        let queries = self.first_split(test_splits).filter(|&split| split != bank);
        Ok(KnnData {
            bank: self.open(bank)?,
            queries: queries.map(|split| self.open(split)).transpose()?,
            name: queries.map_or_else(|| bank.to_owned(), |split| format!("{bank} -> {split}")),
        })
    }

    /// The first of `splits` that is there.
    pub fn first_split<'a>(&self, splits: &'a [String]) -> Option<&'a str> {
        let is_there = |split: &&String| match self {
            Self::Found(found) => found.has_split(split),
            Self::Synthetic { .. } => true,
        };
        splits.iter().find(is_there).map(String::as_str)
    }
}

/// The name as it is stored in settings and holds from any folder: URLs are left as they are.
fn absolute(given: &Path) -> PathBuf {
    match Location::parse(given) {
        Location::Path(path) => path.canonicalize().unwrap_or(path),
        Location::Pattern(pattern) => std::path::absolute(&pattern).unwrap_or(pattern.into()),
        Location::Url(url) => url.into(),
    }
}

/// The finished shards in `dir`, if there are any.
fn shards(dir: &Path) -> Option<Found> {
    find(dir).ok().filter(|found| matches!(found, Found::Shards(_)))
}

/// Where the shards of the images in `dir` are cached: named after the folder and the digest of its path.
fn cached_shards(dir: &Path) -> Result<PathBuf, DataError> {
    let cache =
        environment::cache_dir().ok_or_else(|| DataError::NoCache { path: dir.to_owned() })?;
    let digest = blake3::hash(dir.as_os_str().as_encoded_bytes()).to_hex();
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(cache.join("shards").join(format!("{name}-{}", &digest[..12])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(given: &str) -> Result<DataSet, DataError> {
        DataSet::find(Path::new(given), &RemoteOptions::default(), &())
    }

    #[test]
    fn synthetic_data_is_named_by_count_and_side() {
        assert_eq!(find("synthetic:200").unwrap(), DataSet::Synthetic { count: 200, side: 48 });
        assert_eq!(find("synthetic:200:32").unwrap(), DataSet::Synthetic { count: 200, side: 32 });
        for given in ["synthetic:", "synthetic:0", "synthetic:x", "synthetic:5:1", "synthetic:5:x"]
        {
            assert!(find(given).unwrap_err().to_string().contains("synthetic:2000:48"), "{given}");
        }
    }

    #[test]
    fn splits_of_synthetic_data_differ_in_content() {
        let data = find("synthetic:20:16").unwrap();
        assert_ne!(data.open("train").unwrap().digest(), data.open("test").unwrap().digest());
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let message = find("no/such/folder").unwrap_err().to_string();
        assert!(message.contains("no/such/folder: there is no such file or folder"), "{message}");
    }

    #[test]
    fn parquet_files_and_web_dataset_tars_are_read_as_they_lie() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/peer-formats");
        if !dir.is_dir() {
            eprintln!("SKIPPED: {} is not there", dir.display());
            return;
        }
        for name in [
            "hf-imagenet-style.parquet",
            "webdataset-000000.tar",
            "webdataset-{000000..000000}.tar",
        ] {
            let given = dir.join(name);
            let data = DataSet::find(&given, &RemoteOptions::default(), &()).unwrap();
            assert!(matches!(data, DataSet::Found(_)), "{name}");
            assert!(data.path_of(&given).is_absolute(), "{name}");
            let source = data.open("train").unwrap();
            assert_eq!((source.num_samples(), source.classes().len()), (64, 64), "{name}");
            assert_eq!(data.first_split(&["val".to_owned(), "test".to_owned()]), None);
        }
    }

    #[test]
    fn an_empty_folder_is_no_data() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        assert!(matches!(find(empty.to_str().unwrap()), Err(DataError::Shard { .. })));
    }
}
