//! What is in a tar, and where: one pass over its headers, then any member by a positioned read.
//!
//! Nothing is ever unpacked: a member's name is a name and leads nowhere, links are not followed, and sizes are
//! held against the length of the file before anything is read.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tar::EntryType;

use crate::stamp::Stamp;

/// Bytes that headers are read by; a small member behind its header comes along.
const READ_BYTES: usize = 4096;
/// Most bytes of names and other extensions before one member. Without a limit a sparse file of some terabytes
/// could have a name that fills the memory.
const MAX_HEADER_BYTES: u64 = 1 << 20;
const BLOCK_BYTES: u64 = 512;

/// A tar that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// It cannot be read.
    #[error("cannot read {}", archive.display())]
    Io {
        /// The tar.
        archive: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A member reaches beyond the end.
    #[error(
        "{}: `{member}` has {bytes} bytes at {offset}, but the archive ends at {end}: it was cut off; copy it again",
        archive.display()
    )]
    CutOff {
        /// The tar.
        archive: PathBuf,
        /// Name of the member.
        member: String,
        /// Size of the member by its header.
        bytes: u64,
        /// Where the member begins.
        offset: u64,
        /// Where the archive ends.
        end: u64,
    },
    /// The blocks of zeros that end a tar are not there.
    #[error(
        "{} ends at {end} without the block of zeros that closes a tar: it was cut off; copy it again (a tar that \
         was written so is closed by: head -c 1024 /dev/zero >> {})",
        archive.display(),
        archive.display()
    )]
    NoEnd {
        /// The tar.
        archive: PathBuf,
        /// Where it ends.
        end: u64,
    },
    /// A header is wrong.
    #[error("{}: the tar header near byte {offset} is damaged: {problem}", archive.display())]
    Header {
        /// The tar.
        archive: PathBuf,
        /// Where it was read.
        offset: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A member is not what it should be.
    #[error("{}: `{member}` {problem}", archive.display())]
    Member {
        /// The tar.
        archive: PathBuf,
        /// Name of the member.
        member: String,
        /// What is wrong, as a clause that begins with a verb.
        problem: String,
    },
}

/// What a member is; folders are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MemberKind {
    /// A file whose bytes lie in the archive as they are.
    File,
    /// Anything else, in words.
    Other(&'static str),
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its name without `./` and leading `/`.
    pub(crate) name: String,
    pub(crate) kind: MemberKind,
    /// Where its bytes begin in the file.
    pub(crate) offset: u64,
    /// Its length; held against the length of the archive.
    pub(crate) bytes: u64,
}

/// An open tar.
pub(crate) struct Archive {
    file: File,
    path: PathBuf,
    pub(crate) stamp: Stamp,
}

impl Archive {
    pub(crate) fn open(path: &Path) -> Result<Self, ArchiveError> {
        let io = |source| ArchiveError::Io { archive: path.to_path_buf(), source };
        let file = File::open(path).map_err(io)?;
        let stamp = Stamp::of(&file).map_err(io)?;
        Ok(Self { file, path: path.to_path_buf(), stamp })
    }

    /// The whole file.
    pub(crate) fn range(&self) -> Range<u64> {
        0..self.stamp.bytes
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Members of the tar in `range` of the file, in order, to be looked at by `visit` with their content.
    pub(crate) fn members_within(
        &self,
        range: Range<u64>,
        visit: &mut dyn FnMut(Member, &mut dyn Read) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let (position, unvisited) = (Cell::new(range.start), Cell::new(0));
        let window = Window {
            file: &self.file,
            start: range.start,
            end: range.end,
            position: &position,
            unvisited: &unvisited,
            buffer: Vec::new(),
            buffer_start: 0,
        };
        let header = |error: io::Error| ArchiveError::Header {
            archive: self.path.clone(),
            offset: position.get(),
            problem: error.to_string(),
        };
        let mut archive = tar::Archive::new(window);
        let mut end = range.start;
        for entry in archive.entries_with_seek().map_err(header)? {
            let mut entry = entry.map_err(header)?;
            unvisited.set(0);
            let raw = entry.path_bytes().into_owned();
            let kind = entry.header().entry_type();
            let (offset, bytes) = (range.start + entry.raw_file_position(), entry.size());
            // Of a sparse file fewer bytes are stored than it has.
            let stored = if kind == EntryType::GNUSparse {
                entry.header().entry_size().map_err(header)?
            } else {
                bytes
            };
            let next = offset.checked_add(stored).filter(|&next| next <= range.end);
            let Some(next) = next else {
                return Err(ArchiveError::CutOff {
                    archive: self.path.clone(),
                    member: String::from_utf8_lossy(&raw).into_owned(),
                    bytes: stored,
                    offset,
                    end: range.end,
                });
            };
            end = range.start + (next - range.start).next_multiple_of(BLOCK_BYTES);
            let folder = kind == EntryType::Directory || raw.ends_with(b"/");
            if folder || kind.is_pax_global_extensions() || kind.is_pax_local_extensions() {
                continue;
            }
            let (name, leads_out) = plain_name(&raw);
            let kind = match kind {
                _ if leads_out => MemberKind::Other("has a name that leads out of the archive"),
                EntryType::Regular | EntryType::Continuous => MemberKind::File,
                EntryType::Symlink | EntryType::Link => MemberKind::Other("is a link"),
                EntryType::GNUSparse => MemberKind::Other("is a sparse file"),
                _ => MemberKind::Other("is no regular file"),
            };
            visit(Member { name, kind, offset, bytes }, &mut entry)?;
        }
        let closed = end.checked_add(BLOCK_BYTES).is_some_and(|closed| closed <= range.end);
        if !closed {
            return Err(ArchiveError::NoEnd { archive: self.path.clone(), end: range.end });
        }
        Ok(())
    }
}

/// A member's name without `.` and empty parts, and whether it leads out of the archive.
fn plain_name(raw: &[u8]) -> (String, bool) {
    let name = String::from_utf8_lossy(raw);
    let parts: Vec<&str> =
        name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    (parts.join("/"), parts.contains(&".."))
}

/// Whether a name is hidden, as are those that macOS puts beside each file (`._x.jpg`).
pub(crate) fn is_hidden(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with('.') && part != "..")
}

/// Part of a file, read by position and in blocks.
struct Window<'a> {
    file: &'a File,
    start: u64,
    end: u64,
    /// Position in the file.
    position: &'a Cell<u64>,
    /// Bytes that were read since a member was given out.
    unvisited: &'a Cell<u64>,
    buffer: Vec<u8>,
    buffer_start: u64,
}

impl Read for Window<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let position = self.position.get();
        let within = |at: u64, window: &Self| {
            at >= window.buffer_start && at < window.buffer_start + window.buffer.len() as u64
        };
        if !within(position, self) {
            let length = self.end.saturating_sub(position).min(READ_BYTES as u64) as usize;
            self.buffer.resize(length, 0);
            self.buffer_start = position;
            self.file.read_exact_at(&mut self.buffer, position)?;
        }
        if !within(position, self) {
            return Ok(0);
        }
        let rest = &self.buffer[(position - self.buffer_start) as usize..];
        let length = rest.len().min(out.len());
        out[..length].copy_from_slice(&rest[..length]);
        self.position.set(position + length as u64);
        let unvisited = self.unvisited.get() + length as u64;
        self.unvisited.set(unvisited);
        if unvisited > MAX_HEADER_BYTES {
            return Err(io::Error::other(format!(
                "more than {MAX_HEADER_BYTES} bytes of names and extensions before a member"
            )));
        }
        Ok(length)
    }
}

impl Seek for Window<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let overflow = || io::Error::other("a position beyond what can be counted");
        let position = match to {
            SeekFrom::Start(at) => self.start.checked_add(at),
            SeekFrom::Current(by) => self.position.get().checked_add_signed(by),
            SeekFrom::End(by) => self.end.checked_add_signed(by),
        }
        .ok_or_else(overflow)?;
        self.position.set(position);
        position.checked_sub(self.start).ok_or_else(overflow)
    }
}

#[cfg(test)]
mod tests;
