//! The images of a source, in an order that depends on nothing but their names.
//!
//! A source is a folder, tars or Parquet files; what follows sees entries with a name, a label and a size, and
//! asks for their bytes. Names are kept in one arena with 16 bytes per image beside it, so that a set of ten
//! million files lists in some hundred megabytes.

mod folder;
mod labels;
mod place;
mod splits;
mod table;
mod tars;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use self::labels::Labels;
use self::place::Place;
use super::check::Rejection;
use super::error::ShardError;
use crate::draw::{Domain, Draw};
use crate::source::{Found, find};

/// File name endings of images.
const ENDINGS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// A file that is left out, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Refused {
    /// Path relative to the source.
    pub path: String,
    /// One word: `damaged`, `unknown_format`, `unsupported`, `too_large`, `unreadable`, `no_class`, `panic`.
    pub kind: String,
    /// The reason in words.
    pub reason: String,
}

/// How a source is listed.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListOptions<'a> {
    /// Name for the split of a source that does not name its splits.
    pub split: Option<&'a str>,
    /// File of labels, for images that have none where they lie.
    pub labels: Option<&'a Path>,
    /// File of class names, for labels that are numbers.
    pub classes: Option<&'a Path>,
}

/// All splits of a source.
#[derive(Debug, Default)]
pub struct Listing {
    /// In the order train, val, test.
    pub splits: Vec<SplitListing>,
    /// Folders beside the splits that were left alone, for a note to the user.
    pub ignored_folders: Vec<String>,
    /// What else a person should know before the images are used.
    pub notes: Vec<String>,
}

/// The images of one split.
#[derive(Debug)]
pub struct SplitListing {
    /// Name of the split.
    pub split: String,
    /// Class names by label, the same for all labelled splits of a source; sorted where they are names of
    /// folders. Empty without labels.
    pub classes: Vec<String>,
    /// Images that are not even candidates: without a class among classes, broken links.
    pub refused: Vec<Refused>,
    /// Files that are no images by their name.
    pub num_other_files: u64,
    /// BLAKE3 over path, size and time of change of every image (of the archives that hold them, with the
    /// images' places in them): tells whether a source has changed.
    pub digest: String,
    /// Prefix that makes paths relative to the source: `train/` or nothing.
    prefix: String,
    folders: Vec<Folder>,
    files: Vec<Entry>,
    names: Vec<u8>,
    place: Place,
}

#[derive(Debug)]
struct Folder {
    /// Relative to the split's root.
    path: PathBuf,
    label: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    name: u32,
    name_length: u16,
    folder: u32,
    /// Saturates: a file of 4 GiB is over every limit anyway.
    bytes: u32,
}

impl Listing {
    /// Lists the images in `src`: a folder, a tar, a Parquet file, or files by pattern.
    ///
    /// # Errors
    /// If the source, a folder or an archive cannot be read, or holds no images.
    pub fn scan(src: &Path, options: &ListOptions<'_>) -> Result<Self, ShardError> {
        let labels = options.labels.map(|file| Labels::read(file, options.classes)).transpose()?;
        let problem =
            |problem: &str| ShardError::Source { path: src.to_path_buf(), problem: problem.into() };
        // A folder of images is tried first: an archive may lie beside the images that were taken from it.
        let mut listing = Self::default();
        if src.is_dir() {
            listing = Self::folder(src, options.split, labels.as_ref())?;
        }
        if listing.is_empty() {
            listing = match find(src) {
                Ok(Found::Parquet(files)) => table::scan(&files, options)?,
                Ok(Found::WebDataset(files)) => tars::scan(&files, options, labels.as_ref())?,
                Ok(Found::Shards(_) | Found::Remote(_)) => {
                    return Err(problem("these are shards already; there is nothing to do"));
                }
                Ok(Found::Folder(_)) => listing,
                Err(error) => return Err(error.into()),
            };
        }
        if listing.is_empty() {
            return Err(problem("it holds no images (files ending in jpg, jpeg, png or webp)"));
        }
        if let Some(labels) = labels.filter(|labels| !labels.were_used()) {
            return Err(
                labels.problem("the images have labels where they lie; leave this file out")
            );
        }
        listing.splits.retain(|split| !split.files.is_empty() || !split.refused.is_empty());
        for (number, split) in listing.splits.iter().enumerate() {
            if listing.splits[..number].iter().any(|other| other.split == split.split) {
                let text = format!("it holds split `{}` twice; name one of them", split.split);
                return Err(problem(&text));
            }
        }
        share_classes(&mut listing.splits);
        Ok(listing)
    }

    /// Images of all splits, with those that are refused already.
    pub fn num_images(&self) -> u64 {
        self.splits.iter().map(|split| (split.files.len() + split.refused.len()) as u64).sum()
    }

    /// Of all splits: another one where an image was added, removed, renamed or changed, or the classes are others.
    pub fn digest(&self) -> String {
        let mut digest = blake3::Hasher::new();
        for split in &self.splits {
            digest.update(split.split.as_bytes()).update(b"\n");
            digest.update(split.digest.as_bytes()).update(b"\n");
            for class in &split.classes {
                digest.update(&(class.len() as u64).to_le_bytes()).update(class.as_bytes());
            }
        }
        digest.finalize().to_hex().to_string()
    }

    fn is_empty(&self) -> bool {
        self.splits.iter().all(|split| split.files.is_empty() && split.refused.is_empty())
    }
}

/// Gives all labelled splits the same class names, so that label 7 means one class everywhere.
fn share_classes(splits: &mut [SplitListing]) {
    // Numbers and given lists of names keep their order; a split may lack the last of them.
    let longest = splits.iter().map(|split| &split.classes).max_by_key(|classes| classes.len());
    if let Some(longest) = longest.filter(|l| splits.iter().all(|s| l.starts_with(&s.classes))) {
        let longest = longest.clone();
        splits
            .iter_mut()
            .filter(|s| !s.classes.is_empty())
            .for_each(|s| s.classes.clone_from(&longest));
        return;
    }
    let all: BTreeSet<String> =
        splits.iter().flat_map(|split| split.classes.iter().cloned()).collect();
    let all: Vec<String> = all.into_iter().collect();
    for split in splits.iter_mut().filter(|split| !split.classes.is_empty()) {
        let labels: Vec<u32> = split
            .classes
            .iter()
            .map(|class| all.binary_search(class).expect("the union holds every class") as u32)
            .collect();
        for folder in &mut split.folders {
            folder.label = folder.label.map(|label| labels[label as usize]);
        }
        split.classes.clone_from(&all);
    }
}

impl SplitListing {
    fn new(split: &str, prefix: String, place: Place) -> Self {
        Self {
            split: split.to_owned(),
            classes: Vec::new(),
            refused: Vec::new(),
            num_other_files: 0,
            digest: String::new(),
            prefix,
            folders: Vec::new(),
            files: Vec::new(),
            names: Vec::new(),
            place,
        }
    }

    fn push(
        &mut self,
        folder: &Path,
        label: Option<u32>,
        name: &[u8],
        bytes: u64,
    ) -> Result<(), ShardError> {
        // Files of one folder may come apart, with those of a folder inside it between them.
        if self.folders.last().is_none_or(|last| last.path != folder || last.label != label) {
            self.folders.push(Folder { path: folder.to_path_buf(), label });
        }
        let start = u32::try_from(self.names.len() + name.len());
        let number = u32::try_from(self.files.len() + 1);
        let (Ok(_), Ok(_), Ok(name_length)) = (start, number, u16::try_from(name.len())) else {
            return Err(ShardError::Source {
                path: folder.join(OsStr::from_bytes(name)),
                problem: "there are more files than can be numbered (4 GiB of names), or the name is longer \
                          than 64 KiB"
                    .to_owned(),
            });
        };
        self.files.push(Entry {
            name: self.names.len() as u32,
            name_length,
            folder: self.folders.len() as u32 - 1,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        });
        self.names.extend_from_slice(name);
        Ok(())
    }

    fn refuse(&mut self, path: &str, kind: &str, reason: String) {
        let path = format!("{}{path}", self.prefix);
        self.refused.push(Refused { path, kind: kind.to_owned(), reason });
    }

    /// Whether the source has a folder for this split, which gave it its name.
    pub(super) fn has_folder(&self) -> bool {
        !self.prefix.is_empty()
    }

    /// Number of candidate images.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Size of a file in bytes when it was listed.
    pub fn bytes(&self, file: usize) -> u64 {
        u64::from(self.files[file].bytes)
    }

    /// Label of a file; `None` for a split without classes.
    pub fn label(&self, file: usize) -> Option<u32> {
        self.folders[self.files[file].folder as usize].label
    }

    /// When a file was changed last, by a new look; `None` for images in archives.
    pub(super) fn changed(&self, file: usize) -> Option<SystemTime> {
        let Place::Folder(root) = &self.place else { return None };
        std::fs::metadata(root.join(self.relative(file))).and_then(|file| file.modified()).ok()
    }

    /// The bytes of a file, unless they are more than `limit`.
    pub(super) fn read(&self, file: usize, limit: u64) -> Result<Vec<u8>, Rejection> {
        match &self.place {
            Place::Folder(root) => place::file(&root.join(self.relative(file)), limit),
            Place::Tars(tars) => tars.member(file, self.bytes(file), limit),
            Place::Table(rows) => rows.image(file, limit),
        }
    }

    /// All files in shuffled order. Where single files cannot be read without their neighbours, whole row
    /// groups are shuffled, and rows within as many of them as fit into memory.
    pub(super) fn shuffled(&self, seed: u64) -> Vec<u32> {
        if let Place::Table(rows) = &self.place {
            return rows.shuffled(seed);
        }
        let mut order: Vec<u32> = (0..self.len() as u32).collect();
        Draw::new(seed, Domain::Shard, [0; 5]).shuffle(&mut order);
        order
    }

    /// Path relative to the source, as stored in shards.
    pub fn stored_path(&self, file: usize) -> String {
        format!("{}{}", self.prefix, self.relative(file).to_string_lossy())
    }

    fn relative(&self, file: usize) -> PathBuf {
        let entry = &self.files[file];
        let name = &self.names[entry.name as usize..][..usize::from(entry.name_length)];
        self.folders[entry.folder as usize].path.join(OsStr::from_bytes(name))
    }
}

/// Whether a name ends as those of images do.
pub(crate) fn is_image_name(name: &str) -> bool {
    is_image(Path::new(name))
}

fn is_image(path: &Path) -> bool {
    path.extension()
        .and_then(OsStr::to_str)
        .is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests;
