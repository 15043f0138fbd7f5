//! Where the shards of a folder of images are cached: a folder for its images as they are now, beside those of what
//! they were before, since a run that began with those can go on with nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use smog_pipeline::shard::{
    Comparison, Listing, ShardError, ShardOptions, ShardProgress, compare, obstacle,
};
use smog_terminal::environment::cache_dir;

/// Folder of the cache that holds shards.
const SHARDS: &str = "shards";

/// Where shards are, or are to be made.
pub(super) struct Place {
    pub(super) dir: PathBuf,
    /// Whether they are there in full.
    pub(super) is_done: bool,
}

/// The place for the shards of the images in `dir`, which `listing` holds. Other shards of `dir` are told of.
pub(super) fn place(
    dir: &Path,
    cache: &Path,
    listing: &Listing,
    options: &ShardOptions,
    progress: &dyn ShardProgress,
) -> Result<Place, Box<ShardError>> {
    let cache = cache.join(SHARDS);
    let name = name_of(dir);
    let digest = &listing.digest()[..8];
    // Ends at the latest where nothing is yet.
    let mut names = (0..).map(|number| match number {
        0 => name.clone(),
        1 => format!("{name}-{digest}"),
        number => format!("{name}-{digest}-{number}"),
    });
    let place = loop {
        let dir = cache.join(names.next().expect("numbers do not end"));
        match compare(listing, &dir)? {
            Comparison::Same => break Place { dir, is_done: true },
            Comparison::Other { difference, .. } => {
                progress.note(&format!("the shards in {} were {difference}", dir.display()));
            }
            // A first run may have been stopped between two splits; but then they must go together.
            Comparison::Missing(_) => match obstacle(listing, &dir, options)? {
                None => break Place { dir, is_done: false },
                Some(why) => progress.note(&format!("{why}; no split is added there")),
            },
        }
    };
    let kept = kept(&cache, &name, &place.dir);
    if !kept.is_empty() {
        progress.note(&format!(
            "other shards of {} are kept for runs that began with them; delete those that no run needs: {}",
            dir.display(),
            kept.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ")
        ));
    }
    Ok(place)
}

/// Whether shards that we make would lie at `path`.
pub(super) fn holds(path: &Path) -> bool {
    cache_dir().is_some_and(|cache| path.starts_with(cache.join(SHARDS)))
}

/// Name in the cache of all that is made of `dir`: its own with the digest of its path.
fn name_of(dir: &Path) -> String {
    let digest = blake3::hash(dir.as_os_str().as_encoded_bytes()).to_hex();
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}-{}", &digest[..12])
}

/// All that is in the cache under `name` but `used`, sorted.
fn kept(cache: &Path, name: &str, used: &Path) -> Vec<PathBuf> {
    let is_of_it = |path: &PathBuf| {
        let rest = path.file_name().and_then(|file| file.to_str()?.strip_prefix(name));
        path != used && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    // A cache that cannot be read says so where shards are made in it.
    let entries = fs::read_dir(cache).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_of_it).collect();
    found.sort();
    found
}
