//! The manifest: what makes a folder of shards a data set.
//!
//! One split is one folder with `manifest.json` and its shards; the manifest is written last, so a folder
//! without one is not a data set. It holds every row group's size, so that order and fetch schedule are
//! computed without opening a shard.

mod error;
mod splits;

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use self::error::ManifestError;
use self::splits::hint;
pub use self::splits::{find_split, list_splits};
use crate::atomic::write_atomic;

/// File name of the manifest inside a split's folder.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Value of [`Manifest::format`].
pub const FORMAT: &str = "smog-shards";
/// Version of the layout that this crate writes. Version 1, which has no [`Span`]s, is read, too.
pub const VERSION: u32 = 2;
/// The oldest version that is read.
const OLDEST_VERSION: u32 = 1;

/// Description of one split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always [`FORMAT`].
    pub format: String,
    /// Layout version, at most [`VERSION`].
    pub version: u32,
    /// Program and version that wrote it.
    pub created_by: String,
    /// Name of the split: `train`, `val`, `test`, ...
    pub split: String,
    /// Class names by label; empty where the data set has no labels.
    pub classes: Vec<String>,
    /// Samples over all shards.
    pub num_samples: u64,
    /// Encoded image bytes over all shards.
    pub image_bytes: u64,
    /// Seed of the shuffle that was applied while writing; `None` where rows are in source order.
    pub shuffle_seed: Option<u64>,
    /// How images were checked: `decode` or `header`.
    pub check: String,
    /// Figures on image sizes.
    pub sizes: SizeFigures,
    /// Files that were left out; listed in `refused.jsonl` beside the manifest.
    pub num_refused: u64,
    /// The shards in order.
    pub shards: Vec<Shard>,
    /// BLAKE3 over the shards' digests, counts and class names: names the content of the data set.
    pub digest: String,
}

/// One Parquet file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// File name, relative to the manifest.
    pub file: String,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// BLAKE3 of the file, hexadecimal.
    pub blake3: String,
    /// Row groups in file order.
    pub row_groups: Vec<ShardRowGroup>,
    /// The end of the file, which says where the columns lie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub footer: Option<Span>,
}

/// Size of one row group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRowGroup {
    /// Samples in it.
    pub rows: u32,
    /// Encoded image bytes in it.
    pub bytes: u64,
    /// Where in the file it lies, so that it can be fetched and checked by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
}

/// A part of a file and its digest. The spans of a shard lie side by side: its row groups in their order,
/// then its footer; together they are the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Its first byte.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// BLAKE3 of its bytes.
    pub blake3: Digest,
}

impl Span {
    /// Its place in the file.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.bytes)
    }
}

/// A BLAKE3 digest, written as hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from(self.0).to_hex())
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        blake3::Hash::from_hex(&text)
            .map(|hash| Self(*hash.as_bytes()))
            .map_err(|_| format!("`{text}` is no BLAKE3 digest"))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// Figures on the images of a split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SizeFigures {
    /// Smallest and largest width.
    pub width: [u32; 2],
    /// Smallest and largest height.
    pub height: [u32; 2],
    /// Largest width times height.
    pub max_pixels: u64,
    /// Mean width times height.
    pub mean_pixels: f64,
    /// Longest encoded image in bytes.
    pub max_bytes: u64,
    /// Most bytes of coefficients that the decoder of one image keeps; 0 where all are JPEGs of one scan. `None` in
    /// older manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_coefficient_bytes: Option<u64>,
}

/// The two fields that every version of the manifest has.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

impl Manifest {
    /// Reads and validates the manifest of the split in `dir`.
    ///
    /// # Errors
    /// If there is none, or it is damaged, contradicts itself or is of another version.
    pub fn read(dir: &Path) -> Result<Self, ManifestError> {
        let path = dir.join(MANIFEST_FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(source)
                if matches!(
                    source.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Err(ManifestError::Missing { dir: dir.to_path_buf(), hint: hint(dir) });
            }
            Err(source) => return Err(ManifestError::Io { path, source }),
        };
        Self::parse(&path, &text)
    }

    /// Validates the text of a manifest; `path` names it in messages.
    ///
    /// # Errors
    /// If it is damaged, contradicts itself or is of another version.
    pub fn parse(path: &Path, text: &[u8]) -> Result<Self, ManifestError> {
        let json = |source| ManifestError::Json { path: path.to_path_buf(), source };
        let manifest = serde_json::from_slice::<Self>(text);
        // The version comes first: a later layout must be named as such, not as broken JSON.
        let head = match &manifest {
            Ok(manifest) => Head { format: manifest.format.clone(), version: manifest.version },
            Err(_) => serde_json::from_slice(text).map_err(json)?,
        };
        let invalid = |problem| ManifestError::Invalid { path: path.to_path_buf(), problem };
        if head.format != FORMAT {
            return Err(invalid(format!("format is `{}`, expected `{FORMAT}`", head.format)));
        }
        if !(OLDEST_VERSION..=VERSION).contains(&head.version) {
            return Err(invalid(format!(
                "layout version is {}, this program reads versions {OLDEST_VERSION} to {VERSION}",
                head.version
            )));
        }
        let manifest = manifest.map_err(json)?;
        manifest.validate().map_err(invalid)?;
        Ok(manifest)
    }

    /// Writes the manifest into `dir` so that a crash leaves the old state or the new one, never half a
    /// file: temporary name, fsync, rename, fsync of the folder.
    ///
    /// # Errors
    /// If the manifest contradicts itself or cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), ManifestError> {
        let path = dir.join(MANIFEST_FILE);
        self.validate()
            .map_err(|problem| ManifestError::Invalid { path: path.clone(), problem })?;
        let text =
            self.to_json().map_err(|source| ManifestError::Json { path: path.clone(), source })?;
        write_atomic(&path, &text).map_err(|source| ManifestError::Io { path, source })
    }

    /// The text of the file.
    pub(crate) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }

    /// Checks that the parts agree with one another.
    ///
    /// # Errors
    /// What is wrong and what was expected, in words.
    pub fn validate(&self) -> Result<(), String> {
        let expect = |holds: bool, problem: &dyn Fn() -> String| {
            if holds { Ok(()) } else { Err(problem()) }
        };
        expect(is_plain_name(&self.split), &|| format!("split name `{}` is no name", self.split))?;
        expect(matches!(self.check.as_str(), "decode" | "header"), &|| {
            format!("check is `{}`, expected `decode` or `header`", self.check)
        })?;
        expect(!self.shards.is_empty(), &|| "it lists no shards".to_owned())?;
        let (mut num_samples, mut image_bytes) = (0u64, 0u64);
        let mut files = HashSet::with_capacity(self.shards.len());
        for (index, shard) in self.shards.iter().enumerate() {
            expect(is_plain_name(&shard.file), &|| {
                format!("shard {index} has the file name `{}`", shard.file)
            })?;
            expect(files.insert(&shard.file), &|| {
                format!("shard file `{}` is listed twice", shard.file)
            })?;
            let hex = shard.blake3.len() == 64
                && shard.blake3.bytes().all(|byte| byte.is_ascii_hexdigit());
            expect(hex, &|| format!("shard `{}` has no BLAKE3 digest", shard.file))?;
            expect(!shard.row_groups.is_empty(), &|| {
                format!("shard `{}` has no row groups", shard.file)
            })?;
            for (number, group) in shard.row_groups.iter().enumerate() {
                expect(group.rows > 0, &|| {
                    format!("row group {number} of shard `{}` is empty", shard.file)
                })?;
                num_samples = num_samples.saturating_add(u64::from(group.rows));
                image_bytes = image_bytes.saturating_add(group.bytes);
            }
            shard.check_spans().map_err(|problem| format!("shard `{}` {problem}", shard.file))?;
        }
        expect(num_samples == self.num_samples, &|| {
            format!("it says {} samples, its row groups hold {num_samples}", self.num_samples)
        })?;
        expect(image_bytes == self.image_bytes, &|| {
            format!("it says {} image bytes, its row groups hold {image_bytes}", self.image_bytes)
        })?;
        expect(u32::try_from(num_samples).is_ok(), &|| {
            format!("{num_samples} samples are more than the {} that can be numbered", u32::MAX)
        })?;
        let digest = self.content_digest();
        expect(digest == self.digest, &|| {
            format!("its digest is {}, its content gives {digest}", self.digest)
        })
    }

    /// The value that [`Manifest::digest`] has to have.
    pub fn content_digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut text = |value: &str| {
            // The length goes first, so that no two lists of names run into the same bytes.
            hasher.update(&(value.len() as u64).to_le_bytes());
            hasher.update(value.as_bytes());
        };
        text(FORMAT);
        text(&self.split);
        text(&self.classes.len().to_string());
        for class in &self.classes {
            text(class);
        }
        for shard in &self.shards {
            text(&shard.blake3);
            text(&shard.bytes.to_string());
            text(&shard.row_groups.len().to_string());
            for group in &shard.row_groups {
                text(&format!("{} {}", group.rows, group.bytes));
            }
            // They follow from the file, whose digest is in; this keeps them from being changed by themselves.
            for span in shard.spans() {
                text(&format!("{} {} {}", span.offset, span.bytes, span.blake3));
            }
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Every row group with the index of its shard, in sample order.
    pub fn row_groups(&self) -> impl Iterator<Item = (usize, ShardRowGroup)> {
        self.shards
            .iter()
            .enumerate()
            .flat_map(|(index, shard)| shard.row_groups.iter().map(move |group| (index, *group)))
    }
}

impl Shard {
    /// The spans of its row groups and of its footer, as far as they are known.
    fn spans(&self) -> impl Iterator<Item = &Span> {
        self.row_groups.iter().filter_map(|group| group.span.as_ref()).chain(&self.footer)
    }

    /// Either there are no spans, or there is one of each part and together they are the file.
    fn check_spans(&self) -> Result<(), String> {
        let found = self.spans().count();
        let expected = self.row_groups.len() + 1;
        if found == 0 {
            return Ok(());
        }
        if found != expected {
            return Err(format!("has {found} spans, {expected} were expected"));
        }
        let mut end = 0;
        for span in self.spans() {
            if span.offset != end {
                return Err(format!("has a span at {}, expected at {end}", span.offset));
            }
            end = span.range().end;
        }
        if end == self.bytes {
            Ok(())
        } else {
            Err(format!("has {} bytes, its spans end at {end}", self.bytes))
        }
    }
}

/// Whether a name may stand for a file or folder directly inside another one.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

#[cfg(test)]
mod tests;
