//! A whole run: list, choose splits, write each.

use std::path::Path;

use super::card;
use super::error::ShardError;
use super::folder::{self, SplitFolder};
use super::listing::{ListOptions, Listing, SplitListing};
use super::options::ShardOptions;
use super::report::{ShardProgress, ShardReport};
use super::split;
use super::stage;
use super::upload::RemoteOut;
use crate::manifest::is_plain_name;
use crate::source::Location;

/// Makes a data set in `out` of the images in `src`: one folder per split, with Parquet shards, a manifest
/// and the list of refused files. A run that was stopped is continued; a finished one is left as it is.
/// With [`ShardOptions::part`], only the shards of that part are written, for [`merge`](super::merge()).
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
    let list = ListOptions {
        split: options.splits.first().map(String::as_str),
        labels: options.labels.as_deref(),
        classes: options.classes.as_deref(),
    };
    let listing = Listing::scan(src, &list)?;
    shard_listed(src, &listing, out, options, progress)
}

/// As [`shard`], for a source that was listed; what the options say of labels was heeded there.
///
/// # Errors
/// As [`shard`].
pub fn shard_listed(
    src: &Path,
    listing: &Listing,
    out: &Path,
    options: &ShardOptions,
    progress: &dyn ShardProgress,
) -> Result<ShardReport, ShardError> {
    options.validate()?;
    listing.notes.iter().for_each(|note| progress.note(note));
    if !listing.ignored_folders.is_empty() {
        progress
            .note(&format!("left alone beside the splits: {}", listing.ignored_folders.join(", ")));
    }
    let found: Vec<&str> = listing.splits.iter().map(|split| split.split.as_str()).collect();
    if let Some(absent) = options.splits.iter().find(|name| !found.contains(&name.as_str())) {
        return Err(ShardError::NoSplit {
            path: src.to_path_buf(),
            split: absent.clone(),
            found: found.into_iter().map(str::to_owned).collect(),
        });
    }
    if let Location::Url(url) = Location::parse(out) {
        return to_url(listing, &url, options, progress);
    }
    if let Some(part) = options.part {
        let _locks = folder::lock_part(out, part)?;
        let splits = chosen(listing, options)
            .map(|listing| {
                let folder = SplitFolder::new(out, &listing.split);
                split::write_part(listing, &folder, part, options, progress)
            })
            .collect::<Result<_, _>>()?;
        return Ok(ShardReport { out: out.to_path_buf(), splits });
    }
    let _lock = folder::lock(out)?;
    let splits = chosen(listing, options)
        .map(|listing| {
            let folder = SplitFolder::new(out, &listing.split);
            split::write_split(listing, &folder, options, progress)
        })
        .collect::<Result<_, _>>()?;
    card::write(out)?;
    Ok(ShardReport { out: out.to_path_buf(), splits })
}

/// As [`shard`], with the output behind a URL.
fn to_url(
    listing: &Listing,
    url: &str,
    options: &ShardOptions,
    progress: &dyn ShardProgress,
) -> Result<ShardReport, ShardError> {
    if let Some(part) = options.part {
        let expected =
            "nothing: parts are written to a folder that all machines see, and merged there";
        return Err(ShardError::Option {
            option: "part",
            value: part.to_string(),
            expected: expected.to_owned(),
        });
    }
    let out = RemoteOut::new(url, options.stage.as_deref(), &options.remote)?;
    stage::create(out.stage())?;
    let lock = folder::lock(out.stage())?;
    let splits = chosen(listing, options)
        .map(|listing| {
            let remote = out.split(&listing.split);
            let folder = SplitFolder::remote(out.stage(), &listing.split, remote);
            split::write_split(listing, &folder, options, progress)
        })
        .collect::<Result<_, _>>()?;
    card::write(out.stage())?;
    out.put_card(card::CARD_FILE, card::MARK)?;
    if options.stage.is_none() {
        std::fs::remove_dir_all(out.stage()).map_err(ShardError::io("remove", out.stage()))?;
    }
    drop(lock);
    Ok(ShardReport { out: out.url().to_path(), splits })
}

/// The splits that are to be written.
fn chosen<'a>(
    listing: &'a Listing,
    options: &'a ShardOptions,
) -> impl Iterator<Item = &'a SplitListing> {
    let wanted =
        |split: &SplitListing| options.splits.is_empty() || options.splits.contains(&split.split);
    listing.splits.iter().filter(move |split| wanted(split))
}
