//! What was left out of a folder of images when it was sharded: said, and too much of it refused.
//!
//! `smog-tools shard` ends with a code of its own where files were refused. A run that shards a folder by itself goes on
//! to train, so nobody would learn that half of the images are missing.

use std::path::Path;

use smog_pipeline::manifest::{Manifest, list_splits};
use smog_pipeline::shard::ShardProgress;
use smog_pipeline::source::OpenError;

use super::DataError;

/// Share of a split's files that may be refused, in percent: what `stream.max_bad` lets pass of data that is read where
/// it lies.
pub(super) const MAX_PERCENT: u64 = 1;
/// So many may be refused of any split: one broken file in a small folder says nothing of the rest.
pub(super) const MAX_FILES: u64 = 5;

/// Tells what was refused of each split in `shards`. With `limited`, too much of it is an error; a person who made the
/// shards by hand was told before.
///
/// # Errors
/// If a manifest cannot be read, or more was refused than may be.
pub(super) fn check(
    images: &Path,
    shards: &Path,
    limited: bool,
    progress: &dyn ShardProgress,
) -> Result<(), DataError> {
    for (split, dir) in list_splits(shards) {
        let manifest = Manifest::read(&dir).map_err(OpenError::from)?;
        let refused = manifest.num_refused;
        let files = manifest.num_samples + refused;
        if limited && refused > MAX_FILES && refused * 100 > files * MAX_PERCENT {
            let (path, shards) = (images.to_owned(), shards.to_owned());
            return Err(DataError::Refused { path, shards, split, refused, files });
        }
        if refused > 0 {
            progress.note(&format!(
                "{refused} of {files} files of split `{split}` were refused and are not trained on; {} says why",
                dir.join("refused.jsonl").display()
            ));
        }
    }
    Ok(())
}
