//! Row groups from WebDataset tars, read in place.
//!
//! A sample is the run of members that share a name up to its first dot: `000017.jpg`, `000017.cls`. The image
//! and the class number count, all else is passed over. Opening reads every header once; that is a small read
//! per member. Row groups are runs of samples of one tar, so the order of the tar is what shuffling starts from.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use arrow::array::BinaryViewBuilder;
use arrow::buffer::Buffer;

use super::error::{OpenError, unchanged};
use super::probe;
use super::{RowGroup, RowGroupInfo, Source, SourceError};
use crate::archive::{Contents, first_names, scan_all};
use crate::sample::{RowGroupId, SampleId};
use crate::stamp::Stamp;

/// Image bytes and rows of a row group, as `smog-tools shard` makes them.
const GROUP_BYTES: u64 = 16 << 20;
const GROUP_ROWS: u32 = 512;
/// Rows of a row group at least, where its tar has as many: an image that cannot be decoded is replaced by another one
/// of its row group.
const LEAST_ROWS: u32 = 2;
/// Bytes of an image that its header is looked for in when the source is opened.
const HEADER_BYTES: u64 = 64 << 10;

/// WebDataset tars as one split.
pub struct WebDatasetSource {
    files: Vec<(PathBuf, Stamp)>,
    images: Vec<Image>,
    /// All names; an image's name ends where the next one's begins.
    names: String,
    groups: Vec<RowGroupInfo>,
    classes: Vec<String>,
    digest: String,
    max_pixels: u64,
}

struct Image {
    offset: u64,
    bytes: u32,
    file: u32,
    /// -1 where there is none.
    label: i32,
    name: u32,
}

impl WebDatasetSource {
    /// Opens the tars in the order given.
    ///
    /// # Errors
    /// If one cannot be read, is cut off or damaged, holds no images, or a label is no number.
    pub fn open(files: &[PathBuf]) -> Result<Self, OpenError> {
        let mut source = Self {
            files: Vec::new(),
            images: Vec::new(),
            names: String::new(),
            groups: Vec::new(),
            classes: Vec::new(),
            digest: String::new(),
            max_pixels: 0,
        };
        let mut digest = blake3::Hasher::new();
        let mut num_classes = 0;
        let jobs: Vec<_> = files.iter().map(|file| (file.clone(), None)).collect();
        for (file, contents) in scan_all(&jobs)?.into_iter().enumerate() {
            let path = &files[file];
            check(path, &contents)?;
            source.files.push((path.clone(), contents.stamp));
            if let Some((name, reason)) = contents.refused.first() {
                let num_refused = contents.refused.len();
                tracing::warn!(tar = %path.display(), num_refused, name, reason, "images left out");
            }
            digest.update(path.file_name().unwrap_or_default().as_encoded_bytes());
            digest.update(contents.digest.finalize().as_bytes());
            for image in &contents.images {
                let label = image.label.map_or(-1, |label| label as i32); // at most MAX_CLASSES
                num_classes = num_classes.max(label + 1);
                let name = u32::try_from(source.names.len() + image.name.len());
                let (Ok(_), Ok(_)) = (name, u32::try_from(source.images.len() + 1)) else {
                    let problem = "there are more images than can be numbered".to_owned();
                    return Err(OpenError::Kind { path: path.clone(), problem });
                };
                source.images.push(Image {
                    offset: image.offset,
                    bytes: image.bytes as u32, // at most MAX_IMAGE_BYTES
                    file: file as u32,
                    label,
                    name: source.names.len() as u32,
                });
                source.names.push_str(&image.name);
            }
        }
        source.classes = (0..num_classes).map(|class| class.to_string()).collect();
        source.groups = groups(&source.images);
        // The order of samples follows from the row groups.
        for group in &source.groups {
            digest.update(&group.rows.to_le_bytes());
        }
        source.digest = digest.finalize().to_hex().to_string();
        source.max_pixels = source.expected_pixels();
        Ok(source)
    }

    fn expected_pixels(&self) -> u64 {
        let beginnings: Vec<Vec<u8>> = probe::spread(self.images.len(), probe::LOOKED_AT)
            .filter_map(|number| {
                let image = &self.images[number];
                let mut bytes = vec![0; u64::from(image.bytes).min(HEADER_BYTES) as usize];
                let file = File::open(&self.files[image.file as usize].0).ok()?;
                file.read_exact_at(&mut bytes, image.offset).ok()?;
                Some(bytes)
            })
            .collect();
        probe::max_pixels(beginnings.iter().map(Vec::as_slice))
    }

    fn images_of(&self, group: RowGroupId) -> Result<&[Image], SourceError> {
        let info = self.groups.get(group.0 as usize).ok_or_else(|| SourceError::Damaged {
            shard: self.files[0].0.clone(),
            row_group: group.0,
            problem: format!("there are {} row groups", self.groups.len()),
        })?;
        Ok(&self.images[info.first_sample.0 as usize..][..info.rows as usize])
    }

    fn name(&self, image: usize) -> &str {
        let end = self.images.get(image + 1).map_or(self.names.len(), |next| next.name as usize);
        &self.names[self.images[image].name as usize..end]
    }
}

/// Whether a tar can be read as it lies.
fn check(path: &Path, contents: &Contents) -> Result<(), OpenError> {
    if !contents.images.is_empty() {
        return Ok(());
    }
    if !contents.tars.is_empty() {
        let names = first_names(contents.tars.iter().map(|(name, _)| name.as_str()));
        let what = format!("is a tar of tars ({names}): one class after the other");
        return Err(OpenError::MustShard { path: path.to_path_buf(), what });
    }
    let names = first_names(contents.others.iter().map(String::as_str));
    let problem =
        format!("this tar holds no images (names ending in jpg, jpeg, png or webp), but {names}");
    Err(OpenError::Kind { path: path.to_path_buf(), problem })
}

/// Runs of images of one tar, limited by bytes and rows.
fn groups(images: &[Image]) -> Vec<RowGroupInfo> {
    let mut groups: Vec<RowGroupInfo> = Vec::new();
    for images in images.chunk_by(|a, b| a.file == b.file) {
        let first_of_file = groups.len();
        for image in images {
            let bytes = u64::from(image.bytes);
            let takes = |group: &RowGroupInfo| {
                group.rows < LEAST_ROWS
                    || group.rows < GROUP_ROWS && group.bytes + bytes <= GROUP_BYTES
            };
            match groups[first_of_file..].last_mut() {
                Some(group) if takes(group) => {
                    group.rows += 1;
                    group.bytes += bytes;
                }
                _ => {
                    let first = groups.last().map_or(0, |last| last.first_sample.0 + last.rows);
                    groups.push(RowGroupInfo { first_sample: SampleId(first), rows: 1, bytes });
                }
            }
        }
        if let [.., before, rest] = &mut groups[first_of_file..]
            && rest.rows < LEAST_ROWS
        {
            before.rows += rest.rows;
            before.bytes += rest.bytes;
            groups.pop();
        }
    }
    groups
}

impl Source for WebDatasetSource {
    fn row_groups(&self) -> &[RowGroupInfo] {
        &self.groups
    }

    fn digest(&self) -> &str {
        &self.digest
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn max_pixels(&self) -> u64 {
        self.max_pixels
    }

    fn held_bytes(&self) -> u64 {
        (size_of_val(&*self.images) + self.names.len() + size_of_val(&*self.groups)) as u64
    }

    fn labels(&self, group: RowGroupId) -> Result<Vec<i64>, SourceError> {
        let images = self.images_of(group)?;
        Ok(images.iter().map(|image| i64::from(image.label)).collect())
    }

    fn file(&self, group: RowGroupId) -> Option<&Path> {
        let first = self.groups.get(group.0 as usize)?.first_sample;
        Some(&self.files[self.images[first.0 as usize].file as usize].0)
    }

    fn read(&self, group: RowGroupId) -> Result<RowGroup, SourceError> {
        let images = self.images_of(group)?;
        let info = self.groups[group.0 as usize];
        let first = info.first_sample.0 as usize;
        let (path, stamp) = &self.files[images[0].file as usize];
        let io = |source| SourceError::Io { shard: path.clone(), source };
        let damaged = |problem: String| SourceError::Damaged {
            shard: path.clone(),
            row_group: group.0,
            problem,
        };
        let file = File::open(path).map_err(io)?;
        unchanged(path, *stamp, &file)?;
        let mut bytes = vec![0; info.bytes as usize];
        let (mut start, mut metas) = (0, Vec::with_capacity(images.len()));
        for image in images {
            let place = &mut bytes[start..start + image.bytes as usize];
            file.read_exact_at(place, image.offset).map_err(io)?;
            metas.push(probe::meta(place));
            start += image.bytes as usize;
        }
        let mut views = BinaryViewBuilder::with_capacity(images.len());
        let block = views.append_block(Buffer::from(bytes));
        let mut start = 0;
        for image in images {
            // At most two images are above GROUP_BYTES or a third one behind them, and images are at most 1 GiB.
            views
                .try_append_view(block, start, image.bytes)
                .map_err(|error| damaged(error.to_string()))?;
            start += image.bytes;
        }
        Ok(RowGroup {
            id: group,
            first_sample: info.first_sample,
            images: views.finish(),
            metas,
            labels: images.iter().map(|image| i64::from(image.label)).collect(),
            paths: (first..first + images.len()).map(|image| self.name(image).to_owned()).collect(),
        })
    }
}

#[cfg(test)]
mod tests;
