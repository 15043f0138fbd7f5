//! Why remote data cannot be read or written.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::manifest::Digest;

/// Remote data that cannot be used. Messages name the object; none holds a credential.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The URL cannot be used.
    #[error("{url} {problem}")]
    Url {
        /// The URL, as far as it may be shown.
        url: String,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// The store cannot be set up.
    #[error("cannot set up access to {url}; {hint}")]
    Settings {
        /// The URL.
        url: String,
        /// Which settings are looked at.
        hint: &'static str,
        /// The cause.
        #[source]
        source: object_store::Error,
    },
    /// A setting of the store is not known.
    #[error("`{key}` is no setting of the store behind {url}")]
    UnknownSetting {
        /// The URL.
        url: String,
        /// Name of the setting.
        key: String,
    },
    /// The object is not there.
    #[error("{url} is not there")]
    NotFound {
        /// URL of the object.
        url: String,
    },
    /// The store refused.
    #[error("access to {url} is denied ({answer}); {hint}")]
    Denied {
        /// URL of the object.
        url: String,
        /// What the store said.
        answer: String,
        /// Which settings are looked at.
        hint: &'static str,
    },
    /// A request failed in a way that repeating does not mend.
    #[error("cannot {action} {url}: {answer}")]
    Failed {
        /// What was tried.
        action: &'static str,
        /// URL of the object.
        url: String,
        /// What the store said.
        answer: String,
    },
    /// A request was repeated until the time was up.
    #[error("cannot {action} {url}: given up after {:.1} s; the last answer: {answer}", elapsed.as_secs_f64())]
    GaveUp {
        /// What was tried.
        action: &'static str,
        /// URL of the object.
        url: String,
        /// How long.
        elapsed: Duration,
        /// What the store said last.
        answer: String,
    },
    /// The store gave other bytes than the manifest says, again and again.
    #[error(
        "bytes {offset} to {end} of {url} have the digest {found}, its manifest says {expected}, {attempts} times in \
         a row: the object was replaced or damaged; check it with `smog-tools verify`, or upload the data set anew"
    )]
    WrongBytes {
        /// URL of the object.
        url: String,
        /// First byte that was asked for.
        offset: u64,
        /// The byte behind the last.
        end: u64,
        /// Digest in the manifest.
        expected: Digest,
        /// Digest of what came.
        found: Digest,
        /// How often it was fetched.
        attempts: u32,
    },
    /// The threads for requests cannot be started.
    #[error("cannot start the threads for remote data")]
    Runtime(#[source] io::Error),
    /// The cache cannot be used.
    #[error("cannot {action} the cache {}", dir.display())]
    Cache {
        /// What was tried.
        action: &'static str,
        /// Its folder.
        dir: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file of this machine that should be uploaded cannot be read.
    #[error("cannot read {}", path.display())]
    Upload {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The stored object differs from what was uploaded.
    #[error("{url} is {found} bytes long after an upload of {expected} bytes")]
    UploadSize {
        /// URL of the object.
        url: String,
        /// Its length in bytes.
        found: u64,
        /// The length of what was uploaded.
        expected: u64,
    },
    /// The task of a request ended without a result.
    #[error("the request for {url} was stopped")]
    Stopped {
        /// URL of the object.
        url: String,
    },
}

impl RemoteError {
    /// Whether it says that the object is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}
