//! A whole run: list, choose splits, write each.

use std::path::Path;

use super::card;
use super::error::ShardError;
use super::folder::{self, SplitFolder};
use super::listing::Listing;
use super::options::ShardOptions;
use super::report::{ShardProgress, ShardReport};
use super::split;
use crate::manifest::is_plain_name;

/// Makes a data set in `out` of the images in `src`: one folder per split, with Parquet shards, a manifest
/// and the list of refused files. A run that was stopped is continued; a finished one is left as it is.
///
/// # Errors
/// If the source cannot be read or holds no usable image, the output cannot be written, another run is
/// writing there, or a data set made otherwise is in the way.
pub fn shard(
    src: &Path,
    out: &Path,
    options: &ShardOptions,
    progress: &dyn ShardProgress,
) -> Result<ShardReport, ShardError> {
    options.validate()?;
    if let Some(name) = options.splits.iter().find(|name| !is_plain_name(name)) {
        let expected = "a plain name such as `train`".to_owned();
        return Err(ShardError::Option { option: "split", value: name.clone(), expected });
    }
    let listing = Listing::scan(src, options.splits.first().map(String::as_str))?;
    if !listing.ignored_folders.is_empty() {
        progress
            .note(&format!("left alone beside the splits: {}", listing.ignored_folders.join(", ")));
    }
    let found: Vec<&str> = listing.splits.iter().map(|split| split.split.as_str()).collect();
    if let Some(absent) = options.splits.iter().find(|name| !found.contains(&name.as_str())) {
        let problem = format!("there is no split `{absent}`; there is {}", found.join(", "));
        return Err(ShardError::Source { path: src.to_path_buf(), problem });
    }
    let _lock = folder::lock(out)?;
    let mut report = ShardReport { out: out.to_path_buf(), splits: Vec::new() };
    for listing in &listing.splits {
        if options.splits.is_empty() || options.splits.contains(&listing.split) {
            let folder = SplitFolder::new(out, &listing.split);
            report.splits.push(split::write_split(listing, &folder, options, progress)?);
        }
    }
    card::write(out)?;
    Ok(report)
}
