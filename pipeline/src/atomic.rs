//! Files that are there as a whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Replaces `path` as a whole: temporary name, fsync, rename, fsync of the folder.
pub(crate) fn write_atomic(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, path)
    };
    // On a full disk what was written would keep it full; the failure says more than one to remove it.
    write().inspect_err(|_| _ = fs::remove_file(&temporary))?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Makes renames inside `dir` survive a loss of power.
pub(crate) fn sync_folder(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)?.sync_all()
}
