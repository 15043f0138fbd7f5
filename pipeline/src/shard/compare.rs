//! Whether shards still hold the images of the source that they were made of.
//!
//! The digest of a listing tells that, at the price of looking up each file's size and time. Only where it differs are the
//! names in the shards read, to name a file that a person can look at.

use std::collections::HashSet;
use std::fs;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::path::{Path, PathBuf};

use super::error::ShardError;
use super::finish::{CREATED_BY, read_refused};
use super::folder::{PLAN_FILE, SplitFolder, read_plan};
use super::listing::{Listing, SplitListing};
use super::options::ShardOptions;
use super::plan::{Layout, Plan, class_difference};
use crate::manifest::{Manifest, list_splits};
use crate::sample::RowGroupId;
use crate::source::{OpenError, ParquetSource, Source as _};

/// How shards and a source go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Every split of the source is there, made of the images that the source holds now.
    Same,
    /// So are those that are there, but these are not.
    Missing(Vec<String>),
    /// A split was made of other images or with other classes.
    Other {
        /// The split.
        split: String,
        /// How they differ, as a clause that begins with `made`.
        difference: String,
    },
}

/// Compares the data set in `out` with a source, split by split. Splits that only `out` has are of another source.
///
/// # Errors
/// If a manifest cannot be read.
pub fn compare(listing: &Listing, out: &Path) -> Result<Comparison, ShardError> {
    let finished = list_splits(out);
    let mut missing = Vec::new();
    for split in &listing.splits {
        let Some(dir) = of_split(split, &finished) else {
            missing.push(split.split.clone());
            continue;
        };
        if let Some(difference) = difference(split, dir)? {
            return Ok(Comparison::Other { split: split.split.clone(), difference });
        }
    }
    Ok(match missing.is_empty() {
        true => Comparison::Same,
        false => Comparison::Missing(missing),
    })
}

/// How the shards of one split in `out` differ from what a source holds, as [`Comparison::Other`] says it; `None` where they
/// go together or one of both has no such split.
///
/// # Errors
/// If a manifest cannot be read.
pub fn split_difference(
    listing: &Listing,
    out: &Path,
    split: &str,
) -> Result<Option<String>, ShardError> {
    let finished = list_splits(out);
    let listed = listing.splits.iter().find(|listed| listed.split == split);
    match listed.and_then(|listed| Some((listed, of_split(listed, &finished)?))) {
        Some((listed, dir)) => difference(listed, dir),
        None => Ok(None),
    }
}

/// The folder among `finished` that goes by the name of a split.
fn of_split<'a>(split: &SplitListing, finished: &'a [(String, PathBuf)]) -> Option<&'a Path> {
    let own = finished.iter().find(|(name, _)| *name == split.split);
    // A source without split folders may be called anything.
    let only = || match finished {
        [only] if !split.has_folder() => Some(only),
        _ => None,
    };
    own.or_else(only).map(|(_, dir)| dir.as_path())
}

fn difference(listing: &SplitListing, finished: &Path) -> Result<Option<String>, ShardError> {
    let plan = read_plan(finished);
    if let Some(plan) = &plan {
        if plan.source_digest == listing.digest {
            // Without classes they may have been made before labels were known: the images are the same.
            let both = !plan.classes.is_empty() && !listing.classes.is_empty();
            return Ok(both.then(|| class_difference(&plan.classes, &listing.classes)).flatten());
        }
        // A file of labels is part of the digest, and only `smog-tools shard` was told of it.
        if plan.classes.is_empty() == listing.classes.is_empty() {
            return Ok(Some(others(listing, finished, plan)));
        }
    }
    let manifest = Manifest::read(finished)?;
    let then = manifest.num_samples + manifest.num_refused;
    let now = (listing.len() + listing.refused.len()) as u64;
    Ok((then != now).then(|| format!("made of other images ({then} files, now {now})")))
}

/// Why [`shard_listed`](super::shard_listed) would not add the splits that `out` lacks to those that are there, as a
/// sentence about one of them; `None` where it would.
///
/// # Errors
/// If what is there cannot be read.
pub fn obstacle(
    listing: &Listing,
    out: &Path,
    options: &ShardOptions,
) -> Result<Option<String>, ShardError> {
    for split in &listing.splits {
        let plan = Plan::new(split, &Layout::new(split, options), options, CREATED_BY);
        match SplitFolder::new(out, &split.split).is_finished(&plan, Some(split), false) {
            Ok(_) => {}
            Err(ShardError::Exists { dir, difference }) => {
                return Ok(Some(format!("{} {difference}", dir.display())));
            }
            Err(ShardError::Foreign { dir }) => {
                return Ok(Some(format!("{} is no data set of this program", dir.display())));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// How the shards in `finished`, made by `plan`, differ from what `listing` holds: `made of other images (...)`.
pub(super) fn others(listing: &SplitListing, finished: &Path, plan: &Plan) -> String {
    let example = match example(listing, finished) {
        Ok(Some(example)) => example,
        Ok(None) => "the same names, with other sizes or times of change".to_owned(),
        Err(error) => error.to_string(),
    };
    format!("made of other images ({} files, now {}; {example})", plan.num_files, listing.len())
}

/// A file that is new, is gone or was changed since; `None` where none of that tells.
fn example(listing: &SplitListing, finished: &Path) -> Result<Option<String>, ShardError> {
    let source = ParquetSource::open(finished)?;
    // Names by a hash, lest millions of them are held twice.
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    let mut then = HashSet::new();
    find_image(&source, |path| {
        then.insert(hasher.hash_one(path));
        false
    })?;
    let refused = read_refused(finished)?;
    then.extend(refused.iter().map(|refused| hasher.hash_one(refused.path.as_str())));
    let mut now = HashSet::with_capacity(listing.len());
    for file in 0..listing.len() {
        let path = listing.stored_path(file);
        let hash = hasher.hash_one(path.as_str());
        if !then.contains(&hash) {
            return Ok(Some(format!("`{path}` is new")));
        }
        now.insert(hash);
    }
    if let Some(path) = find_image(&source, |path| !now.contains(&hasher.hash_one(path)))? {
        return Ok(Some(format!("`{path}` is gone")));
    }
    let made = fs::metadata(finished.join(PLAN_FILE)).and_then(|plan| plan.modified()).ok();
    let is_younger =
        |file: &usize| listing.changed(*file).zip(made).is_some_and(|(file, made)| file > made);
    let changed = (0..listing.len()).find(is_younger);
    Ok(changed.map(|file| format!("`{}` has changed", listing.stored_path(file))))
}

/// The name of the first image that `is_it` takes.
fn find_image(
    source: &ParquetSource,
    mut is_it: impl FnMut(&str) -> bool,
) -> Result<Option<String>, ShardError> {
    for group in 0..source.row_groups().len() {
        let facts = source.read_facts(RowGroupId(group as u32)).map_err(OpenError::from)?;
        if let Some(path) = facts.paths.into_iter().find(|path| is_it(path)) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
