//! Compiled kernels on disk, so that a run does not begin with the compiler.
//!
//! A file is named after what its content follows from: source, options and architecture. It holds the digest of its code before the code, so one that was cut or spoilt is made anew.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::CudaError;

const DIGEST: usize = 32;

/// Where the code for `key` lies in `folder`.
pub(crate) fn path(folder: &Path, key: &blake3::Hash) -> PathBuf {
    folder.join(format!("kernels-{}.bin", &key.to_hex()[..32]))
}

/// The code, if it is there and whole.
pub(crate) fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = std::fs::read(path).ok()?;
    let code = bytes.get(DIGEST..)?;
    let whole = blake3::hash(code).as_bytes()[..] == bytes[..DIGEST];
    if !whole {
        tracing::warn!(path = %path.display(), "compiled kernels are damaged and made anew");
        return None;
    }
    bytes.drain(..DIGEST);
    Some(bytes)
}

/// Puts the code there, whole or not at all. Several processes may do so at once: each renames a file of its own.
pub(crate) fn write(path: &Path, code: &[u8]) -> Result<(), CudaError> {
    let partial = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| {
        let mut file = std::fs::File::create(&partial)?;
        file.write_all(blake3::hash(code).as_bytes())?;
        file.write_all(code)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)
    });
    written.map_err(|error| {
        // What is left of a file that could not be finished; if it cannot be removed either there is no more to do.
        let _ = std::fs::remove_file(&partial);
        CudaError::File {
            what: "write",
            path: path.display().to_string(),
            problem: error.to_string(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_written_and_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder.path().join("made/here"), &blake3::hash(b"key"));
        assert_eq!(read(&path), None);
        write(&path, b"code").unwrap();
        assert_eq!(read(&path).as_deref(), Some(&b"code"[..]));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.pop();
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read(&path), None);
        std::fs::write(&path, &bytes[..7]).unwrap();
        assert_eq!(read(&path), None);
        let left = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "no partial file stays");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_with_its_path() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = write(&path(&file.path().join("folder"), &blake3::hash(b"")), b"").unwrap_err();
        assert!(error.to_string().contains("folder"), "{error}");
    }
}
