//! What a file is by its first bytes, and which split files are of by their names.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::error::OpenError;

/// How deep files are looked for: `FOLDER/data/x.parquet`. Deeper, a folder of images would be listed in full.
const MAX_DEPTH: usize = 2;
/// Letters and digits 257 bytes into a tar's header, in all flavours since 1988.
const USTAR: &[u8] = b"ustar";

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// Apache Parquet.
    Parquet,
    /// A tar that is not compressed.
    Tar,
    /// Compressed as a whole, by the program that takes it apart.
    Compressed(&'static str),
    /// Anything else.
    Other,
}

impl FileKind {
    /// Tells it from the first bytes; an old tar without a mark, from its name.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let mut head = Vec::new();
        File::open(path)?.take(512).read_to_end(&mut head)?;
        let begins = |mark: &[u8]| head.starts_with(mark);
        Ok(match () {
            () if begins(b"PAR1") => Self::Parquet,
            () if begins(&[0x1F, 0x8B]) => Self::Compressed("gunzip"),
            () if begins(&[0x28, 0xB5, 0x2F, 0xFD]) => Self::Compressed("unzstd"),
            () if begins(b"\xFD7zXZ\0") => Self::Compressed("unxz"),
            () if begins(b"BZh") => Self::Compressed("bunzip2"),
            () if head.get(257..262) == Some(USTAR) || has_ending(path, "tar") => Self::Tar,
            () => Self::Other,
        })
    }
}

/// The error for a compressed file, with the command that helps.
pub(crate) fn compressed(path: &Path, program: &str) -> OpenError {
    let path = path.to_path_buf();
    let problem = format!(
        "it is compressed, and nothing inside can be reached without reading all before it; \
         take it apart first: {program} -k {}",
        path.display()
    );
    OpenError::Kind { path, problem }
}

pub(crate) fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending))
}

/// Files by the split that their names tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitFiles {
    /// What was named.
    pub(crate) given: PathBuf,
    /// Split and its files, sorted; `train` first.
    pub(crate) splits: Vec<(String, Vec<PathBuf>)>,
}

impl SplitFiles {
    /// Sorts `files` by split. Where no name tells of one, all are `train`.
    pub(crate) fn new(given: &Path, files: Vec<PathBuf>) -> Result<Self, OpenError> {
        let told: Vec<Option<&'static str>> = files.iter().map(|file| split_of(file)).collect();
        let silent = told.iter().position(Option::is_none);
        if let (Some(silent), Some(telling)) = (silent, told.iter().position(Option::is_some)) {
            return Err(OpenError::Kind {
                path: given.to_path_buf(),
                problem: format!(
                    "{} tells its split by its name, {} does not; name the files by a pattern such as 'DIR/train-*'",
                    files[telling].display(),
                    files[silent].display()
                ),
            });
        }
        let mut splits: Vec<(String, Vec<PathBuf>)> = Vec::new();
        for name in ["train", "val", "test"] {
            let of_split = |split: &Option<&str>| split.unwrap_or("train") == name;
            let mut chosen: Vec<PathBuf> = files
                .iter()
                .zip(&told)
                .filter(|(_, split)| of_split(split))
                .map(|(file, _)| file.clone())
                .collect();
            chosen.sort();
            if !chosen.is_empty() {
                splits.push((name.to_owned(), chosen));
            }
        }
        Ok(Self { given: given.to_path_buf(), splits })
    }

    /// Names of the splits.
    pub fn names(&self) -> Vec<String> {
        self.splits.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The files of a split.
    ///
    /// # Errors
    /// If there is none of that name; the error lists those that are there.
    pub fn of(&self, split: &str) -> Result<&[PathBuf], OpenError> {
        let wanted = canonical(split).unwrap_or(split);
        self.splits
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, files)| files.as_slice())
            .ok_or_else(|| OpenError::NoSplit {
                path: self.given.clone(),
                split: split.to_owned(),
                found: self.names(),
            })
    }
}

/// One name for each split.
pub(crate) fn canonical(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "train" => Some("train"),
        "val" | "valid" | "validation" => Some("val"),
        "test" => Some("test"),
        _ => None,
    }
}

/// The split that a file's name tells as one of its words, or else the name of its folder as a whole:
/// `train-00000-of-00294.parquet`, `ILSVRC2012_img_val.tar`, `test/000.tar`.
pub(crate) fn split_of(file: &Path) -> Option<&'static str> {
    let name = file.file_name()?.to_str()?;
    let word = name.split(|c: char| !c.is_ascii_alphabetic()).find_map(canonical);
    word.or_else(|| file.parent()?.file_name()?.to_str().and_then(canonical))
}

/// Visible files with an ending, in a folder and the folders in it, sorted.
pub(crate) fn with_ending(dir: &Path, ending: &str) -> Result<Vec<PathBuf>, OpenError> {
    let mut found = Vec::new();
    let mut folders = vec![(dir.to_path_buf(), 1)];
    while let Some((folder, depth)) = folders.pop() {
        let io = |source| OpenError::Io { path: folder.clone(), source };
        for entry in fs::read_dir(&folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            let kind = entry.file_type().map_err(io)?;
            if kind.is_dir() || (kind.is_symlink() && path.is_dir()) {
                if depth < MAX_DEPTH {
                    folders.push((path, depth + 1));
                }
            } else if has_ending(&path, ending) && path.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_split() {
        for (name, split) in [
            ("train-00000-of-00294-a1.parquet", Some("train")),
            ("ILSVRC2012_img_val.tar", Some("val")),
            ("imagenet1k-validation-00.tar", Some("val")),
            ("d/test/000.tar", Some("test")),
            ("d/test/train2017.tar", Some("train")),
            ("webdataset-000000.tar", None),
            ("trains/latest.tar", None),
        ] {
            assert_eq!(split_of(Path::new(name)), split, "{name}");
        }
    }

    #[test]
    fn files_are_sorted_by_split_and_half_told_splits_are_refused() {
        let split = |names: &[&str]| {
            SplitFiles::new(Path::new("here"), names.iter().map(PathBuf::from).collect())
        };
        let files = split(&["val-0.tar", "train-1.tar", "train-0.tar"]).unwrap();
        assert_eq!(files.names(), ["train", "val"]);
        assert_eq!(
            files.of("train").unwrap(),
            [Path::new("train-0.tar"), Path::new("train-1.tar")]
        );
        assert_eq!(files.of("validation").unwrap(), [Path::new("val-0.tar")]);
        let message = files.of("test").unwrap_err().to_string();
        assert!(message.contains("split `test`; there is train, val"), "{message}");
        assert_eq!(split(&["1.tar", "0.tar"]).unwrap().names(), ["train"]);
        let message = split(&["train-0.tar", "0.tar"]).unwrap_err().to_string();
        assert!(message.contains("0.tar does not"), "{message}");
    }

    #[test]
    fn kinds_are_told_by_content() {
        let dir = tempfile::tempdir().unwrap();
        let kind = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            FileKind::of(&path).unwrap()
        };
        assert_eq!(kind("x.bin", b"PAR1...."), FileKind::Parquet);
        assert_eq!(kind("x.tar", &[0x1F, 0x8B, 8]), FileKind::Compressed("gunzip"));
        assert_eq!(kind("y.tar", b""), FileKind::Tar);
        assert_eq!(kind("y.jpg", &[0xFF, 0xD8]), FileKind::Other);
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(kind("z", &tar), FileKind::Tar);
    }
}
