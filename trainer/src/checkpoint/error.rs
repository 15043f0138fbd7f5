//! What can go wrong with a checkpoint.

use std::path::PathBuf;

/// A checkpoint that cannot be written or taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// A file or folder cannot be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A safetensors file cannot be written or read.
    #[error("{}: {problem}", path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A file that was given is no safetensors file.
    #[error("{} is not a safetensors file: {advice}", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        advice: &'static str,
    },
    /// The folder is no complete checkpoint.
    #[error("{} is not a complete checkpoint: {problem}", path.display())]
    Incomplete {
        /// The folder.
        path: PathBuf,
        /// What is missing or wrong.
        problem: String,
    },
    /// Written by another version.
    #[error("{} has checkpoint version {found}, this program reads version {expected}", path.display())]
    Version {
        /// The folder.
        path: PathBuf,
        /// Version in the file.
        found: u32,
        /// Version of this program.
        expected: u32,
    },
    /// There is none.
    #[error("{} holds no complete checkpoint", path.display())]
    None {
        /// The folder that was searched.
        path: PathBuf,
    },
}

impl CheckpointError {
    pub(super) fn io(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
