//! The members of tars as entries: a tar of class tars, WebDataset, or images by their paths.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::labels::{Labels, class_names};
use super::place::{Place, TarPlaces};
use super::splits::{SPLITS, SplitFolders, check_level};
use super::{ListOptions, Listing, ShardError, SplitListing};
use crate::archive::{Contents, TarImage, first_names, scan_all};
use crate::source::{OpenError, SplitFiles};

/// An image, with the number of its tar and the name it goes by.
struct Found {
    tar: u32,
    name: String,
    offset: u64,
    bytes: u64,
    label: Option<u32>,
}

impl Found {
    fn new(tar: usize, name: String, image: &TarImage) -> Self {
        let TarImage { offset, bytes, label, .. } = *image;
        Self { tar: tar as u32, name, offset, bytes, label }
    }
}

pub(super) fn scan(
    files: &SplitFiles,
    options: &ListOptions<'_>,
    labels: Option<&Labels>,
) -> Result<Listing, ShardError> {
    let names = files.names();
    let mut listing = Listing::default();
    for name in &names {
        let tars = files.of(name)?;
        // A name that was asked for stands for the only split.
        let split = options.split.filter(|_| names.len() == 1).unwrap_or(name);
        let jobs: Vec<(PathBuf, Option<Range<u64>>)> =
            tars.iter().map(|tar| (tar.clone(), None)).collect();
        let contents = scan_all(&jobs).map_err(OpenError::from)?;
        let scanned = Scanned { split, tars, contents };
        if scanned.contents.iter().any(|contents| !contents.tars.is_empty()) {
            listing.splits.push(scanned.class_tars()?);
        } else if scanned.contents.iter().any(|contents| contents.labelled) {
            listing.splits.push(scanned.web_dataset(options.classes)?);
        } else {
            scanned.by_path(labels, &mut listing)?;
        }
    }
    Ok(listing)
}

/// The tars of one split.
struct Scanned<'a> {
    split: &'a str,
    tars: &'a [PathBuf],
    contents: Vec<Contents>,
}

impl Scanned<'_> {
    /// An empty listing, and the digest of what every tar is.
    fn listing(&self, split: &str, prefix: &str) -> (SplitListing, blake3::Hasher) {
        let stamps = self.contents.iter().map(|contents| contents.stamp);
        let tars = self.tars.iter().cloned().zip(stamps).collect();
        let places = TarPlaces { tars, places: Vec::new() };
        let mut listing = SplitListing::new(split, prefix.to_owned(), Place::Tars(places));
        let mut digest = blake3::Hasher::new();
        for (tar, contents) in self.tars.iter().zip(&self.contents) {
            digest.update(tar.file_name().unwrap_or_default().as_encoded_bytes());
            digest.update(&contents.stamp.bytes.to_le_bytes());
            digest.update(&contents.stamp.changed.0.to_le_bytes());
            digest.update(&contents.stamp.changed.1.to_le_bytes());
            digest.update(contents.digest.finalize().as_bytes());
            listing.num_other_files += contents.num_others;
        }
        (listing, digest)
    }

    /// `train.tar` of `n01440764.tar`, ...: an image's class is the name of the tar that holds it.
    fn class_tars(&self) -> Result<SplitListing, ShardError> {
        let (mut listing, mut digest) = self.listing(self.split, "");
        let (mut jobs, mut owners) = (Vec::new(), Vec::new());
        for (number, (tar, contents)) in self.tars.iter().zip(&self.contents).enumerate() {
            for image in &contents.images {
                let reason = "it lies beside the class tars, not in one".to_owned();
                listing.refuse(&image.name, "no_class", reason);
            }
            for (name, range) in &contents.tars {
                jobs.push((tar.clone(), Some(range.clone())));
                owners.push((number, class_of(name).to_owned()));
            }
        }
        let classes: BTreeSet<&String> = owners.iter().map(|(_, class)| class).collect();
        listing.classes = classes.into_iter().cloned().collect();
        let mut found = Vec::new();
        let inside = scan_all(&jobs).map_err(OpenError::from)?;
        for ((number, class), contents) in owners.iter().zip(&inside) {
            digest.update(contents.digest.finalize().as_bytes());
            listing.num_other_files += contents.num_others;
            if !contents.tars.is_empty() {
                let names = first_names(contents.tars.iter().map(|(name, _)| name.as_str()));
                let problem = format!(
                    "tar {class} inside of it holds tars again ({names}); take it apart into folders"
                );
                return Err(ShardError::Source { path: self.tars[*number].clone(), problem });
            }
            for (name, reason) in &contents.refused {
                listing.refuse(&format!("{class}/{name}"), "unreadable", reason.clone());
            }
            let label = listing.classes.binary_search(class).ok().map(|label| label as u32);
            for image in &contents.images {
                let name = format!("{class}/{}", image.name);
                found.push(Found { label, ..Found::new(*number, name, image) });
            }
        }
        listing.entries(sorted(found))?;
        listing.digest = digest.finalize().to_hex().to_string();
        Ok(listing)
    }

    /// Samples with a `.cls` each, in the order of the tars.
    fn web_dataset(&self, classes: Option<&Path>) -> Result<SplitListing, ShardError> {
        let (mut listing, mut digest) = self.listing(self.split, "");
        let (mut found, mut num_classes) = (Vec::new(), 0);
        for (number, (tar, contents)) in self.tars.iter().zip(&self.contents).enumerate() {
            // Every tar may count its samples from 0.
            let stem = tar.file_stem().unwrap_or_default().to_string_lossy();
            for (name, reason) in &contents.refused {
                listing.refuse(&format!("{stem}/{name}"), "unreadable", reason.clone());
            }
            for image in &contents.images {
                let name = format!("{stem}/{}", image.name);
                match image.label {
                    Some(label) => {
                        num_classes = num_classes.max(label + 1);
                        found.push(Found::new(number, name, image));
                    }
                    None => {
                        let reason = "its sample has no .cls, others have one".to_owned();
                        listing.refuse(&name, "no_class", reason);
                    }
                }
            }
        }
        listing.classes = (0..num_classes).map(|class| class.to_string()).collect();
        if let Some(file) = classes {
            listing.name_classes(file, class_names(file)?, &mut digest)?;
        }
        listing.entries(found)?;
        listing.digest = digest.finalize().to_hex().to_string();
        Ok(listing)
    }

    /// Images by their paths, read as those of a folder are: splits, class folders, or plain images.
    fn by_path(&self, labels: Option<&Labels>, listing: &mut Listing) -> Result<(), ShardError> {
        let images = self.contents.iter().enumerate().flat_map(|(number, contents)| {
            contents.images.iter().map(move |image| Found::new(number, image.name.clone(), image))
        });
        let found = without_common_folders(sorted(images.collect()));
        let top = |found: &Found| found.name.split_once('/').map(|(top, _)| top.to_owned());
        let tops: BTreeSet<String> = found.iter().filter_map(top).collect();
        let problem = |problem| ShardError::Source {
            path: self.tars.first().cloned().unwrap_or_default(),
            problem,
        };
        // A folder is known by the images in it.
        let folders = SplitFolders::new(tops.into_iter().collect(), |_| true).map_err(problem)?;
        listing.ignored_folders.extend(folders.beside);
        listing.notes.extend(folders.note);
        let refused = |listing: &mut SplitListing| {
            for (name, reason) in self.contents.iter().flat_map(|contents| &contents.refused) {
                listing.refuse(name, "unreadable", reason.clone());
            }
        };
        if folders.splits.is_empty() {
            let (mut split, digest) = self.listing(self.split, "");
            refused(&mut split);
            split.by_folder(found, labels, digest)?;
            listing.notes.extend(check_level(&split, None).map_err(problem)?);
            listing.splits.push(split);
            return Ok(());
        }
        for (number, (name, folder)) in folders.splits.iter().enumerate() {
            let prefix = format!("{folder}/");
            let (mut split, digest) = self.listing(name, &prefix);
            if number == 0 {
                split.prefix.clear(); // their names are whole
                refused(&mut split);
                split.prefix.clone_from(&prefix);
            } else {
                split.num_other_files = 0; // counted once
            }
            let inside = found.iter().filter_map(|found| {
                let name = found.name.strip_prefix(&prefix)?.to_owned();
                Some(Found { name, ..*found })
            });
            split.by_folder(inside.collect(), labels, digest)?;
            listing.notes.extend(check_level(&split, None).map_err(problem)?);
            listing.splits.push(split);
        }
        Ok(())
    }
}

impl SplitListing {
    /// Takes the first folder of each path for the class. Images beside class folders have none; where there
    /// are no folders, labels come from a file.
    fn by_folder(
        &mut self,
        found: Vec<Found>,
        labels: Option<&Labels>,
        mut digest: blake3::Hasher,
    ) -> Result<(), ShardError> {
        let class = |found: &Found| found.name.split_once('/').map(|(class, _)| class.to_owned());
        let classes: BTreeSet<String> = found.iter().filter_map(class).collect();
        let mut given = Vec::new();
        self.classes = classes.into_iter().collect();
        if let Some(labels) = labels.filter(|_| self.classes.is_empty()) {
            given = labels.of(found.iter().map(|found| found.name.as_str()))?;
            self.classes = labels.classes().to_vec();
            digest.update(labels.digest().as_bytes());
        }
        let labelled = !self.classes.is_empty();
        let mut kept = Vec::with_capacity(found.len());
        for (number, mut image) in found.into_iter().enumerate() {
            image.label = match given.get(number) {
                Some(&label) => label,
                None => class(&image)
                    .and_then(|class| self.classes.binary_search(&class).ok())
                    .map(|label| label as u32),
            };
            match (image.label, labels) {
                (None, Some(labels)) if !given.is_empty() => {
                    self.refuse(&image.name, "no_class", labels.missing());
                }
                (None, _) if labelled => {
                    let reason = "it lies beside the class folders, not in one".to_owned();
                    self.refuse(&image.name, "no_class", reason);
                }
                _ => kept.push(image),
            }
        }
        self.entries(kept)?;
        self.digest = digest.finalize().to_hex().to_string();
        Ok(())
    }

    fn entries(&mut self, found: Vec<Found>) -> Result<(), ShardError> {
        for image in found {
            let (folder, name) = image.name.rsplit_once('/').unwrap_or(("", &image.name));
            self.push(Path::new(folder), image.label, name.as_bytes(), image.bytes)?;
            if let Place::Tars(tars) = &mut self.place {
                tars.places.push((image.tar, image.offset));
            }
        }
        Ok(())
    }
}

/// In the order in which a walk over the unpacked folders would meet them.
fn sorted(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_by(|a, b| a.name.split('/').cmp(b.name.split('/')));
    found
}

/// The class that a tar is named after.
fn class_of(name: &str) -> &str {
    let base = name.rsplit_once('/').map_or(name, |(_, base)| base);
    base.rsplit_once('.').map_or(base, |(stem, _)| stem)
}

/// Leaves out the folders that all images lie in, down to one that is a split: a tar of a folder holds what the
/// folder does.
fn without_common_folders(mut found: Vec<Found>) -> Vec<Found> {
    loop {
        let Some((top, _)) = found.first().and_then(|first| first.name.split_once('/')) else {
            return found;
        };
        let top = format!("{top}/");
        if SPLITS.contains(&&top[..top.len() - 1])
            || !found.iter().all(|image| image.name.starts_with(&top))
        {
            return found;
        }
        for image in &mut found {
            image.name.drain(..top.len());
        }
    }
}

/// A name that leads nowhere else, for those who take it for a path.
pub(super) fn safe_name(name: &str) -> String {
    let safe = |part: &&str| !matches!(*part, "" | "." | "..");
    name.split('/').filter(safe).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str]) -> Vec<Found> {
        let image = |name: &&str| Found {
            tar: 0,
            name: (*name).to_owned(),
            offset: 0,
            bytes: 0,
            label: None,
        };
        names.iter().map(image).collect()
    }

    #[test]
    fn a_tar_of_a_folder_holds_what_the_folder_does() {
        let names = |given: &[&str]| -> Vec<String> {
            without_common_folders(found(given)).into_iter().map(|image| image.name).collect()
        };
        assert_eq!(names(&["a/b/x.jpg", "a/c/y.jpg"]), ["b/x.jpg", "c/y.jpg"]);
        assert_eq!(
            names(&["a/train/x/1.jpg", "a/train/x/2.jpg"]),
            ["train/x/1.jpg", "train/x/2.jpg"]
        );
        assert_eq!(names(&["a/x.jpg"]), ["x.jpg"]);
        assert_eq!(names(&["a/x.jpg", "y.jpg"]), ["a/x.jpg", "y.jpg"]);
    }

    #[test]
    fn names_are_sorted_as_a_walk_over_folders_meets_them() {
        let names: Vec<String> = sorted(found(&["a.jpg", "a/z.jpg", "a-b/1.jpg", "a/b.jpg"]))
            .into_iter()
            .map(|f| f.name)
            .collect();
        assert_eq!(names, ["a/b.jpg", "a/z.jpg", "a-b/1.jpg", "a.jpg"]);
    }

    #[test]
    fn stored_names_lead_nowhere() {
        assert_eq!(safe_name("/etc/../x//./y.jpg"), "etc/x/y.jpg");
        assert_eq!(class_of("train/n01440764.tar"), "n01440764");
    }
}
