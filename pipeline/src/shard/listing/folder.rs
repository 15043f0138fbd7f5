//! The images of a folder: splits with class folders or plain images in each, class folders, or plain images.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::labels::Labels;
use super::place::{Place, is_of_one_file};
use super::splits::{SplitFolders, check_level};
use super::{Listing, ShardError, SplitListing, is_image};

/// `ELOOP` of Linux: the library's name for it is not stable yet.
const LINKS_IN_A_CIRCLE: i32 = 40;

impl Listing {
    /// Lists the images of a folder. `name` names the split of a source that has no split folders; `labels`
    /// are for images that lie in no class folders.
    pub(super) fn folder(
        src: &Path,
        name: Option<&str>,
        labels: Option<&Labels>,
    ) -> Result<Self, ShardError> {
        let mut folders = Vec::new();
        for entry in fs::read_dir(src).map_err(ShardError::io("read folder", src))? {
            let entry = entry.map_err(ShardError::io("read folder", src))?;
            let name = entry.file_name();
            if entry.path().is_dir() && !name.as_bytes().starts_with(b".") {
                folders.push(name.to_string_lossy().into_owned());
            }
        }
        folders.sort();
        let problem =
            |path: &Path, problem| ShardError::Source { path: path.to_path_buf(), problem };
        let found = SplitFolders::new(folders, |folder| has_images(&src.join(folder)))
            .map_err(|text| problem(src, text))?;
        let mut listing = Self {
            ignored_folders: found.beside,
            notes: Vec::from_iter(found.note),
            ..Self::default()
        };
        let mut roots: Vec<(&str, PathBuf, String)> = found
            .splits
            .iter()
            .map(|(split, folder)| (*split, src.join(folder), format!("{folder}/")))
            .collect();
        if roots.is_empty() {
            roots.push((name.unwrap_or("train"), src.to_path_buf(), String::new()));
        }
        for (split, root, prefix) in roots {
            let split = SplitListing::folder(&root, prefix, split, labels)?;
            let note = check_level(&split, Some(&root)).map_err(|text| problem(&root, text))?;
            listing.notes.extend(note);
            listing.splits.push(split);
        }
        Ok(listing)
    }
}

/// Whether there is an image in a folder or in one inside of it; what cannot be read holds none.
fn has_images(folder: &Path) -> bool {
    let files = WalkDir::new(folder).follow_links(true).into_iter().flatten();
    files.into_iter().any(|entry| entry.file_type().is_file() && is_image(entry.path()))
}

impl SplitListing {
    fn folder(
        root: &Path,
        prefix: String,
        split: &str,
        labels: Option<&Labels>,
    ) -> Result<Self, ShardError> {
        let mut listing = Self::new(split, prefix, Place::Folder(root.to_path_buf()));
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
                    listing.walk_error(root, error)?;
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
                listing.refuse(
                    &path.to_string_lossy(),
                    "unreadable",
                    "it is no regular file".to_owned(),
                );
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
            listing.push(path.parent().unwrap_or(Path::new("")), None, name, metadata.len())?;
        }
        listing.assign_labels(root)?;
        if let Some(labels) = labels.filter(|_| listing.classes.is_empty()) {
            listing.label_by(labels, &mut digest)?;
        }
        listing.digest = digest.finalize().to_hex().to_string();
        Ok(listing)
    }

    /// A folder that cannot be read ends the run, a link that leads nowhere only costs the file. Where it leads to a disk
    /// or mount that fails, it does not lead nowhere.
    fn walk_error(&mut self, root: &Path, error: walkdir::Error) -> Result<(), ShardError> {
        let path = error.path().unwrap_or(root).to_path_buf();
        if error.loop_ancestor().is_some() {
            return Err(ShardError::Source {
                path,
                problem: "this link leads back to a folder that it lies in; remove it".to_owned(),
            });
        }
        let leads_nowhere = |error: &io::Error| {
            is_of_one_file(error) || error.raw_os_error() == Some(LINKS_IN_A_CIRCLE)
        };
        let dangling = fs::symlink_metadata(&path).is_ok_and(|link| link.is_symlink())
            && error.io_error().is_none_or(leads_nowhere);
        if dangling {
            if is_image(&path) {
                let relative = path.strip_prefix(root).unwrap_or(&path);
                self.refuse(
                    &relative.to_string_lossy(),
                    "unreadable",
                    "the link leads nowhere".to_owned(),
                );
            } else {
                self.num_other_files += 1;
            }
            return Ok(());
        }
        Err(ShardError::io("read folder", path)(error.into()))
    }

    /// The first folder of each path is the class. Images that lie beside class folders have none.
    fn assign_labels(&mut self, root: &Path) -> Result<(), ShardError> {
        let mut classes = BTreeSet::new();
        for folder in &self.folders {
            if let Some(class) = folder.path.components().next() {
                let class = class.as_os_str().to_str().ok_or_else(|| ShardError::Source {
                    path: root.join(class),
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
            self.refuse(&path.to_string_lossy(), "no_class", reason);
        }
        let folders = &self.folders;
        self.files.retain(|file| folders[file.folder as usize].label.is_some());
        Ok(())
    }

    /// Labels the images of a split without class folders.
    fn label_by(&mut self, labels: &Labels, digest: &mut blake3::Hasher) -> Result<(), ShardError> {
        let names: Vec<String> = (0..self.len())
            .map(|file| self.relative(file).to_string_lossy().into_owned())
            .collect();
        let found = labels.of(names.iter().map(String::as_str))?;
        self.classes = labels.classes().to_vec();
        digest.update(labels.digest().as_bytes());
        // Each image gets a folder of its own where labels alternate; refused ones leave their place.
        let files = std::mem::take(&mut self.files);
        let folders = std::mem::take(&mut self.folders);
        for ((mut file, label), name) in files.into_iter().zip(found).zip(&names) {
            if label.is_none() {
                self.refuse(name, "no_class", labels.missing());
                continue;
            }
            let path = folders[file.folder as usize].path.clone();
            if self.folders.last().is_none_or(|last| last.path != path || last.label != label) {
                self.folders.push(super::Folder { path, label });
            }
            file.folder = self.folders.len() as u32 - 1;
            self.files.push(file);
        }
        Ok(())
    }
}
