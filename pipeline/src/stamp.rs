//! What tells that a file was changed while it was in use: places in it that were noted hold other bytes then.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;

/// Length and time of change of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) bytes: u64,
    /// Seconds and nanoseconds.
    pub(crate) changed: (i64, i64),
}

impl Stamp {
    /// Of a file that is open.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self { bytes: found.len(), changed: (found.mtime(), found.mtime_nsec()) })
    }

    /// How the file that was opened now differs from what it was, as a clause that begins with a verb.
    pub(crate) fn difference(self, now: Self) -> Option<String> {
        if now.bytes != self.bytes {
            Some(format!("had {} bytes and has {} now", self.bytes, now.bytes))
        } else if now.changed != self.changed {
            Some("was written to since, or another one of the same length was put there".to_owned())
        } else {
            None
        }
    }
}
