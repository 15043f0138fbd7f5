//! Files that a user names to be written: of the kind that their name says, and never in the place of another kind.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Kinds of files that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutFile {
    /// An encoder.
    Safetensors,
    /// Features.
    Parquet,
    /// A picture.
    Png,
}

/// A file that is not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutFileError {
    /// The name says that it is something else.
    #[error("--out {}: what is written is {kind}; give it a name that ends in .{extension}", path.display())]
    Extension {
        /// As given.
        path: PathBuf,
        /// What is written.
        kind: &'static str,
        /// The ending for it.
        extension: &'static str,
    },
    /// Something else is there.
    #[error("--out {} is there already and is not {kind}; it stays as it is, choose another name", path.display())]
    Taken {
        /// As given.
        path: PathBuf,
        /// What would be written.
        kind: &'static str,
    },
    /// There is no such folder.
    #[error("--out {}: the folder {} is not there; make it first", path.display(), folder.display())]
    NoFolder {
        /// As given.
        path: PathBuf,
        /// The folder of the file.
        folder: PathBuf,
    },
}

impl OutFile {
    fn kind(self) -> &'static str {
        match self {
            Self::Safetensors => "a safetensors file",
            Self::Parquet => "a Parquet file",
            Self::Png => "a PNG",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Parquet => "parquet",
            Self::Png => "png",
        }
    }

    /// Whether these first nine bytes are of a file of this kind.
    fn is_begun_by(self, bytes: &[u8]) -> bool {
        match self {
            // The length of a JSON object, then the object.
            Self::Safetensors => bytes.get(8) == Some(&b'{'),
            Self::Parquet => bytes.starts_with(b"PAR1"),
            Self::Png => bytes.starts_with(b"\x89PNG\r\n\x1a\n"),
        }
    }

    /// Checks that a file of this kind may be written to `path`. Ask before the work, not after it.
    ///
    /// # Errors
    /// If its name ends in another kind's way, a file of another kind is there, or its folder is not.
    pub fn check(self, path: &Path) -> Result<(), OutFileError> {
        let (kind, extension) = (self.kind(), self.extension());
        if path.extension().is_some_and(|found| !found.eq_ignore_ascii_case(extension)) {
            return Err(OutFileError::Extension { path: path.to_owned(), kind, extension });
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            let (path, folder) = (path.to_owned(), folder.to_owned());
            return Err(OutFileError::NoFolder { path, folder });
        }
        let mut bytes = Vec::new();
        let is_there = path.exists();
        if is_there && let Ok(file) = File::open(path) {
            let _ = file.take(9).read_to_end(&mut bytes);
        }
        let is_empty_file = path.metadata().is_ok_and(|file| file.is_file() && file.len() == 0);
        if is_there && !is_empty_file && !self.is_begun_by(&bytes) {
            return Err(OutFileError::Taken { path: path.to_owned(), kind });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_of_the_same_kind_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (kind, name, own) in [
            (OutFile::Safetensors, "a.safetensors", &b"\x02\0\0\0\0\0\0\0{}"[..]),
            (OutFile::Parquet, "a.parquet", b"PAR1...."),
            (OutFile::Png, "a.PNG", b"\x89PNG\r\n\x1a\n..."),
        ] {
            kind.check(&at(name)).unwrap();
            std::fs::write(at(name), own).unwrap();
            kind.check(&at(name)).unwrap();
            std::fs::write(at(name), b"").unwrap();
            kind.check(&at(name)).unwrap();
            std::fs::write(at(name), b"\xff\xd8\xff\xe0 a photograph").unwrap();
            let text = kind.check(&at(name)).unwrap_err().to_string();
            assert!(text.contains("is there already and is not"), "{text}");
        }
    }

    #[test]
    fn another_ending_and_a_missing_folder_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let text = OutFile::Png.check(&dir.path().join("g.jpg")).unwrap_err().to_string();
        assert!(text.contains("ends in .png"), "{text}");
        OutFile::Safetensors.check(&dir.path().join("encoder")).unwrap();
        let text = OutFile::Safetensors.check(&dir.path().join("no/x.safetensors")).unwrap_err();
        assert!(text.to_string().contains("no is not there"), "{text}");
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        let text = OutFile::Safetensors.check(&dir.path().join("folder")).unwrap_err().to_string();
        assert!(text.contains("is not a safetensors file"), "{text}");
    }
}
