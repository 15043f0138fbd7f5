//! The folder of this machine in which shards lie until they are uploaded.
//!
//! A run empties it before it begins, so it is always a folder of our own, hidden inside the one that was named: what
//! else lies there is not touched. Its name follows from the URL, so that a run that was killed leaves no second one;
//! as anybody can work out that name, it is used only where it is a folder that belongs to this user.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::error::ShardError;

/// Nobody else may look in or put something there.
const MODE: u32 = 0o700;
/// Created for a moment to see whom files of this process belong to.
const PROBE: &str = ".owner";

/// The stage inside `base` for an output that `url` names.
pub(super) fn path(base: Option<&Path>, url: &str) -> PathBuf {
    let digest = blake3::hash(url.as_bytes()).to_hex();
    let base = base.map_or_else(std::env::temp_dir, Path::to_path_buf);
    base.join(format!(".smog-stage-{}", &digest[..16]))
}

/// Creates the stage, or makes sure that the one that is there is our own.
///
/// # Errors
/// If it cannot be created, is no folder, or belongs to another user.
pub(super) fn create(stage: &Path) -> Result<(), ShardError> {
    if let Some(base) = stage.parent() {
        fs::create_dir_all(base).map_err(ShardError::io("create folder", base))?;
    }
    match DirBuilder::new().mode(MODE).create(stage) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(ShardError::io("create folder", stage)(error)),
    }
    let wrong = |problem| ShardError::Stage { dir: stage.to_path_buf(), problem };
    // Not followed where it is a link: it could lead to any folder.
    let found = fs::symlink_metadata(stage).map_err(ShardError::io("read", stage))?;
    if !found.is_dir() {
        return Err(wrong("is no folder"));
    }
    // The numbers of users are not to be had from the standard library; those of files are.
    let probe = stage.join(format!("{PROBE}-{}", std::process::id()));
    // One may be left of a process that was killed here.
    let _ = fs::remove_file(&probe);
    let own = File::create_new(&probe)
        .and_then(|file| file.metadata())
        .map_err(ShardError::io("create", &probe))?;
    fs::remove_file(&probe).map_err(ShardError::io("remove", &probe))?;
    if own.uid() == found.uid() { Ok(()) } else { Err(wrong("belongs to another user")) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_stage_is_a_private_folder_in_the_one_that_was_named_and_differs_by_url() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("deep/er");
        let stage = path(Some(&base), "s3://bucket/a");
        assert_eq!(stage.parent(), Some(&*base));
        assert_ne!(stage, path(Some(&base), "s3://bucket/b"));
        assert_eq!(path(None, "s3://bucket/a").parent(), Some(&*std::env::temp_dir()));
        create(&stage).unwrap();
        assert_eq!(fs::metadata(&stage).unwrap().mode() & 0o777, MODE);
        create(&stage).unwrap();
        assert_eq!(fs::read_dir(&stage).unwrap().count(), 0, "nothing is left of the look");
    }

    #[test]
    fn a_link_or_file_in_its_place_is_refused_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let stage = path(Some(dir.path()), "s3://bucket/a");
        let target = dir.path().join("target");
        fs::create_dir(&target).unwrap();
        symlink(&target, &stage).unwrap();
        let message = create(&stage).unwrap_err().to_string();
        assert!(message.contains("is no folder") && message.contains("--stage"), "{message}");
        fs::remove_file(&stage).unwrap();
        fs::write(&stage, "a file").unwrap();
        assert!(create(&stage).is_err());
    }
}
