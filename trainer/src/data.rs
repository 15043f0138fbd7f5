//! From what the user names as data to a source: anything that `smog_pipeline::source::find` finds, a folder of
//! images that is sharded once into a cache, or generated images.

mod cache;
mod refused;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use smog_pipeline::manifest::ManifestError;
use smog_pipeline::remote::RemoteOptions;
use smog_pipeline::shard::{
    Comparison, ListOptions, Listing, ShardError, ShardOptions, ShardProgress, compare,
    default_out, shard_listed,
};
use smog_pipeline::source::{Found, Location, OpenError, Source, SyntheticSource, find, find_with};
use smog_terminal::environment::cache_dir;
use smog_terminal::quoted;

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
    /// The folder of images and the shards beside it do not go together any more.
    #[error(
        "the shards in {} (split `{split}`) were {difference}. Make them anew: smog-tools shard --overwrite {}; or use \
         them as they are: --data {}",
        shards.display(), quoted(path), quoted(shards)
    )]
    Stale {
        /// The folder of images.
        path: PathBuf,
        /// The shards beside it.
        shards: PathBuf,
        /// The split that differs.
        split: String,
        /// How, as a clause that begins with `made`.
        difference: String,
    },
    /// Of a folder of images that was sharded for this run, too many files cannot be used.
    #[error(
        "{refused} of {files} files of split `{split}` in {} were refused when it was sharded; a run passes over {} % (or \
         {} files) of a folder. {} says why each was. Mend them or take them away and run again; or accept it: \
         smog-tools shard {} --allow-refused {refused}, whose shards the same run then uses. To have the files as they are \
         tried again: rm -r {}",
        path.display(), refused::MAX_PERCENT, refused::MAX_FILES, shards.join(split).join("refused.jsonl").display(),
        path.display(), shards.display()
    )]
    Refused {
        /// The folder of images.
        path: PathBuf,
        /// The shards that were made of it.
        shards: PathBuf,
        /// The split.
        split: String,
        /// Files that were refused.
        refused: u64,
        /// Files that were looked at.
        files: u64,
    },
    /// Shards that a run used are not in the cache any more.
    #[error(
        "{}: these shards are not in the cache any more; give the folder of images that they were made of with --data: \
         the same images give the same shards",
        path.display()
    )]
    CacheGone {
        /// Where they were.
        path: PathBuf,
    },
    /// The data has other splits.
    #[error(
        "{} has no split `{split}`; it has {}{}",
        path.display(), found.join(", "),
        choice.map_or_else(String::new, |flag| format!(". To choose another one: {flag}"))
    )]
    NoSplit {
        /// The data.
        path: PathBuf,
        /// The split that was asked for.
        split: String,
        /// Splits that are there.
        found: Vec<String>,
        /// The flag that names another one, where it is known.
        choice: Option<&'static str>,
    },
    /// The data cannot be found or opened.
    #[error(transparent)]
    Open(OpenError),
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
        Self::find_asking(given, remote, progress, &|_| Ok(()))
    }

    /// [`DataSet::find`] that asks before images are sharded, which may take hours, whether shards of this listing are
    /// wanted.
    ///
    /// # Errors
    /// As [`DataSet::find`]; also what `may_shard` says.
    pub fn find_asking<E: From<DataError>>(
        given: &Path,
        remote: &RemoteOptions,
        progress: &dyn ShardProgress,
        may_shard: &dyn Fn(&Listing) -> Result<(), E>,
    ) -> Result<Self, E> {
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
        let given = absolute(given);
        match find_with(&given, remote) {
            Ok(Found::Folder(dir)) => Self::sharded(&dir, cache_dir(), progress, may_shard),
            Err(OpenError::Missing { path }) if cache::holds(&path) => {
                Err(DataError::CacheGone { path }.into())
            }
            found => Ok(Self::Found(found.map_err(DataError::from)?)),
        }
    }

    /// The shards of the images in `dir`: those beside it, those made earlier, or else new ones.
    fn sharded<E: From<DataError>>(
        dir: &Path,
        cache: Option<PathBuf>,
        progress: &dyn ShardProgress,
        may_shard: &dyn Fn(&Listing) -> Result<(), E>,
    ) -> Result<Self, E> {
        let failed = |source| DataError::Shard { path: dir.to_owned(), source: Box::new(source) };
        // Said first, since with a million files on a slow disk it takes its time.
        progress.note(&format!("looking through the files in {}", dir.display()));
        let listing = Listing::scan(dir, &ListOptions::default()).map_err(failed)?;
        let num_images = listing.num_images();
        let images = format!("{} holds {num_images} images", dir.display());
        if let Some(beside) = default_out(dir).ok().filter(|beside| shards(beside).is_some()) {
            let lacking = match compare(&listing, &beside).map_err(failed)? {
                // Made by a person, who may have meant them to stay as they are: neither replaced nor used in silence.
                Comparison::Other { split, difference } => {
                    let path = dir.to_owned();
                    return Err(DataError::Stale { path, shards: beside, split, difference }.into());
                }
                Comparison::Missing(lacking) => lacking,
                Comparison::Same => Vec::new(),
            };
            let at = beside.display();
            let splits: Vec<String> = lacking.iter().map(|split| format!("`{split}`")).collect();
            let splits = splits.join(", ");
            if lacking.len() < listing.splits.len() {
                // Only a part of the source in shards is a choice.
                progress.note(&match lacking.len() {
                    0 => format!("{images}; using the shards in {at}"),
                    1 => format!("{images}; using the shards in {at}, without split {splits}, which is not in them"),
                    _ => format!("{images}; using the shards in {at}, without splits {splits}, which are not in them"),
                });
                refused::check(dir, &beside, false, progress)?;
                return Ok(Self::Found(find(&beside).map_err(DataError::from)?));
            }
            progress.note(&format!(
                "the shards in {at} hold none of the splits {splits} of {}",
                dir.display()
            ));
        }
        let cache = cache.ok_or_else(|| DataError::NoCache { path: dir.to_owned() })?;
        let options = ShardOptions::default();
        let place = cache::place(dir, &cache, &listing, &options, progress)
            .map_err(|source| DataError::Shard { path: dir.to_owned(), source })?;
        let out = place.dir.display();
        if place.is_done {
            progress.note(&format!("{images}; using the shards made of them earlier in {out}"));
        } else {
            may_shard(&listing)?;
            progress.note(&format!("{images}; sharding them once into {out}"));
            shard_listed(dir, &listing, &place.dir, &options, progress).map_err(failed)?;
        }
        refused::check(dir, &place.dir, true, progress)?;
        Ok(Self::Found(find(&place.dir).map_err(DataError::from)?))
    }

    /// How `given`, which led here, is written in stored settings: absolute, so that a run can be resumed from
    /// anywhere; and for a folder of images the shards that were made of it, as images may be added later.
    pub fn path_of(&self, given: &Path) -> PathBuf {
        match self {
            Self::Found(Found::Shards(dir)) => dir.clone(),
            Self::Found(_) => absolute(given),
            Self::Synthetic { .. } => given.to_owned(),
        }
    }

    /// As [`DataSet::path_of`], but a folder of images stays one: what it holds may change, and whoever reads it next sees
    /// that.
    pub fn absolute(&self, given: &Path) -> PathBuf {
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

    /// [`DataSet::open`] for a split that `flag` names: an error says so.
    ///
    /// # Errors
    /// As [`DataSet::open`].
    pub fn open_for(&self, split: &str, flag: &'static str) -> Result<Arc<dyn Source>, DataError> {
        self.open(split).map_err(|error| error.chosen_by(flag))
    }

    /// Samples for k-NN: the neighbours from `bank`, the queries from the first of `test_splits` that is there and has
    /// classes, or else held out from the bank. Both are never the same samples, whatever their names (`val` and `validation`
    /// are one split).
    ///
    /// # Errors
    /// If a split cannot be opened.
    pub fn knn(&self, bank: &str, test_splits: &[String]) -> Result<KnnData, DataError> {
        let (source, mut queries, mut passed_over) = (self.open(bank)?, None, Vec::new());
        for split in test_splits.iter().filter(|split| self.has_split(split)) {
            let found = self.open(split)?;
            if found.digest() == source.digest() {
                break;
            }
            if !found.classes().is_empty() {
                queries = Some((split.as_str(), found));
                break;
            }
            passed_over.push(split.clone());
        }
        Ok(KnnData { passed_over, ..KnnData::new((bank, source), queries) })
    }

    /// As [`DataSet::knn`] with queries from `test`, whatever it is; held out from the bank where that is the same split.
    ///
    /// # Errors
    /// If a split is not there or cannot be opened.
    pub fn knn_with(&self, bank: &str, test: &str) -> Result<KnnData, DataError> {
        let queries = self.open_for(test, "--test-split NAME")?;
        let source = self.open_for(bank, "--train-split NAME")?;
        let are_others = queries.digest() != source.digest();
        Ok(KnnData::new((bank, source), are_others.then_some((test, queries))))
    }

    /// Whether there is such a split.
    pub fn has_split(&self, split: &str) -> bool {
        match self {
            Self::Found(found) => found.has_split(split),
            Self::Synthetic { .. } => true,
        }
    }
}

impl DataError {
    /// Says which flag names the split that is not there.
    #[must_use]
    pub fn chosen_by(mut self, flag: &'static str) -> Self {
        if let Self::NoSplit { choice, .. } = &mut self {
            *choice = Some(flag);
        }
        self
    }
}

impl From<OpenError> for DataError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::NoSplit { path, split, found }
            | OpenError::Manifest(ManifestError::NoSplit { dir: path, split, found }) => {
                Self::NoSplit { path, split, found, choice: None }
            }
            error => Self::Open(error),
        }
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

#[cfg(test)]
mod tests;
