//! The images of a folder, in an order that depends on nothing but their names.
//!
//! Three layouts are understood: splits (`train/`, `val/`, ...) with class folders or plain images in each;
//! class folders; plain images without labels. File names are kept in one arena with 16 bytes per image
//! beside it, so that a set of ten million files lists in some hundred megabytes.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::error::ShardError;

/// Folder names that are splits when they stand directly in the source.
const SPLITS: [&str; 5] = ["train", "val", "validation", "valid", "test"];
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

/// All splits of a source.
#[derive(Debug)]
pub struct Listing {
    /// In the order train, val, test.
    pub splits: Vec<SplitListing>,
    /// Folders beside the splits that were left alone, for a note to the user.
    pub ignored_folders: Vec<String>,
}

/// The images of one split.
#[derive(Debug)]
pub struct SplitListing {
    /// Name of the split.
    pub split: String,
    /// Class names by label: sorted, and the same for all labelled splits of a source. Empty where the
    /// images lie in no class folders.
    pub classes: Vec<String>,
    /// Images that are not even candidates: without a class among classes, broken links.
    pub refused: Vec<Refused>,
    /// Files that are no images by their name.
    pub num_other_files: u64,
    /// BLAKE3 over path, size and time of change of every image: tells whether a source has changed.
    pub digest: String,
    root: PathBuf,
    /// Prefix that makes paths relative to the source: `train/` or nothing.
    prefix: String,
    folders: Vec<Folder>,
    files: Vec<Entry>,
    names: Vec<u8>,
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
    /// Lists the images in `src`. `name` names the split of a source that has no split folders.
    ///
    /// # Errors
    /// If the source or a folder in it cannot be read, or holds no images.
    pub fn scan(src: &Path, name: Option<&str>) -> Result<Self, ShardError> {
        let problem =
            |problem: &str| ShardError::Source { path: src.to_path_buf(), problem: problem.into() };
        match fs::metadata(src) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(problem("this is a file, expected a folder of images")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(problem("there is no such folder"));
            }
            Err(error) => return Err(ShardError::io("read folder", src)(error)),
        }
        let mut folders = Vec::new();
        for entry in fs::read_dir(src).map_err(ShardError::io("read folder", src))? {
            let entry = entry.map_err(ShardError::io("read folder", src))?;
            let name = entry.file_name();
            if entry.path().is_dir() && !name.as_bytes().starts_with(b".") {
                folders.push(name.to_string_lossy().into_owned());
            }
        }
        folders.sort();
        let (found, beside): (Vec<String>, Vec<String>) =
            folders.into_iter().partition(|folder| SPLITS.contains(&folder.as_str()));
        let mut splits = Vec::new();
        let mut ignored_folders = Vec::new();
        if found.is_empty() {
            let name = name.unwrap_or("train");
            splits.push(SplitListing::scan(src, String::new(), name)?);
        } else {
            for split in SPLITS.iter().filter(|&split| found.iter().any(|name| name == split)) {
                splits.push(SplitListing::scan(&src.join(split), format!("{split}/"), split)?);
            }
            ignored_folders = beside;
        }
        if splits.iter().all(|split| split.files.is_empty() && split.refused.is_empty()) {
            return Err(problem("it holds no images (files ending in jpg, jpeg, png or webp)"));
        }
        splits.retain(|split| !split.files.is_empty() || !split.refused.is_empty());
        share_classes(&mut splits);
        Ok(Self { splits, ignored_folders })
    }
}

/// Gives all labelled splits the same class names, so that label 7 means one class everywhere.
fn share_classes(splits: &mut [SplitListing]) {
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
    fn scan(root: &Path, prefix: String, split: &str) -> Result<Self, ShardError> {
        let mut listing = Self {
            split: split.to_owned(),
            classes: Vec::new(),
            refused: Vec::new(),
            num_other_files: 0,
            digest: String::new(),
            root: root.to_path_buf(),
            prefix,
            folders: Vec::new(),
            files: Vec::new(),
            names: Vec::new(),
        };
        let mut digest = blake3::Hasher::new();
        let visible = |name: &OsStr| !name.as_bytes().starts_with(b".");
        let walk = WalkDir::new(root)
            .min_depth(1)
            .follow_links(true)
            .sort_by_file_name()
            .into_iter()
            .filter_entry(|entry| visible(entry.file_name()));
        for entry in walk {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    listing.walk_error(error)?;
                    continue;
                }
            };
            if entry.file_type().is_dir() {
                continue;
            }
            if !is_image(entry.path()) {
                listing.num_other_files += 1;
                continue;
            }
            let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
            if !entry.file_type().is_file() {
                // Opening a pipe or device would wait for ever.
                listing.refuse(path, "unreadable", "it is no regular file".to_owned());
                continue;
            }
            let metadata = entry
                .metadata()
                .map_err(|error| ShardError::io("read", entry.path())(error.into()))?;
            let name = entry.file_name().as_bytes();
            digest.update(&(path.as_os_str().len() as u64).to_le_bytes());
            digest.update(path.as_os_str().as_bytes());
            digest.update(&metadata.len().to_le_bytes());
            digest.update(&metadata.mtime().to_le_bytes());
            digest.update(&metadata.mtime_nsec().to_le_bytes());
            listing.push(path.parent().unwrap_or(Path::new("")), name, metadata.len())?;
        }
        listing.digest = digest.finalize().to_hex().to_string();
        listing.assign_labels()?;
        Ok(listing)
    }

    fn push(&mut self, folder: &Path, name: &[u8], bytes: u64) -> Result<(), ShardError> {
        // Files of one folder may come apart, with those of a folder inside it between them.
        if self.folders.last().is_none_or(|last| last.path != folder) {
            self.folders.push(Folder { path: folder.to_path_buf(), label: None });
        }
        let start = u32::try_from(self.names.len() + name.len());
        let number = u32::try_from(self.files.len() + 1);
        let (Ok(_), Ok(_)) = (start, number) else {
            return Err(ShardError::Source {
                path: self.root.clone(),
                problem: "it holds more files than can be numbered (4 GiB of names)".to_owned(),
            });
        };
        self.files.push(Entry {
            name: self.names.len() as u32,
            name_length: name.len() as u16, // file names are at most 255 bytes
            folder: self.folders.len() as u32 - 1,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        });
        self.names.extend_from_slice(name);
        Ok(())
    }

    /// A folder that cannot be read ends the run, a link that leads nowhere only costs the file.
    fn walk_error(&mut self, error: walkdir::Error) -> Result<(), ShardError> {
        let path = error.path().unwrap_or(&self.root).to_path_buf();
        if error.loop_ancestor().is_some() {
            return Err(ShardError::Source {
                path,
                problem: "this link leads back to a folder that it lies in; remove it".to_owned(),
            });
        }
        let dangling = fs::symlink_metadata(&path).is_ok_and(|link| link.is_symlink());
        if dangling {
            if is_image(&path) {
                let relative = path.strip_prefix(&self.root).unwrap_or(&path).to_path_buf();
                self.refuse(&relative, "unreadable", "the link leads nowhere".to_owned());
            } else {
                self.num_other_files += 1;
            }
            return Ok(());
        }
        Err(ShardError::io("read folder", path)(error.into()))
    }

    fn refuse(&mut self, path: &Path, kind: &str, reason: String) {
        let path = format!("{}{}", self.prefix, path.to_string_lossy());
        self.refused.push(Refused { path, kind: kind.to_owned(), reason });
    }

    /// The first folder of each path is the class. Images that lie beside class folders have none.
    fn assign_labels(&mut self) -> Result<(), ShardError> {
        let mut classes = BTreeSet::new();
        for folder in &self.folders {
            if let Some(class) = folder.path.components().next() {
                let class = class.as_os_str().to_str().ok_or_else(|| ShardError::Source {
                    path: self.root.join(class),
                    problem: "the name of this class folder is not UTF-8; rename it".to_owned(),
                })?;
                classes.insert(class.to_owned());
            }
        }
        self.classes = classes.into_iter().collect();
        if self.classes.is_empty() {
            return Ok(());
        }
        for folder in &mut self.folders {
            folder.label = folder
                .path
                .components()
                .next()
                .and_then(|class| {
                    let class = class.as_os_str().to_str()?;
                    self.classes.binary_search_by(|other| other.as_str().cmp(class)).ok()
                })
                .map(|label| label as u32);
        }
        let loose: Vec<PathBuf> = (0..self.len())
            .filter(|&file| self.label(file).is_none())
            .map(|file| self.relative(file))
            .collect();
        for path in &loose {
            let reason = "it lies beside the class folders, not in one".to_owned();
            self.refuse(path, "no_class", reason);
        }
        let folders = &self.folders;
        self.files.retain(|file| folders[file.folder as usize].label.is_some());
        Ok(())
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

    /// Where the file lies.
    pub fn path(&self, file: usize) -> PathBuf {
        self.root.join(self.relative(file))
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

fn is_image(path: &Path) -> bool {
    path.extension()
        .and_then(OsStr::to_str)
        .is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests;
