//! How remote data is read.

use std::path::PathBuf;
use std::time::Duration;

/// How remote data is read. None of it changes what is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteOptions {
    /// Where fetched row groups are kept; `None` fetches them again each epoch.
    pub cache: Option<CacheOptions>,
    /// Row groups that are fetched at the same time.
    pub concurrent_reads: u32,
    /// How long a request is repeated before the run fails.
    pub give_up_after: Duration,
    /// How long a request may stand still before it is repeated.
    pub stall_after: Duration,
    /// Settings of the store by name, such as `aws_endpoint_url`; they win over the environment.
    pub settings: Vec<(String, String)>,
}

/// A cache on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheOptions {
    /// The folder in which it makes one of its own, `smog-row-groups`; several processes may share it.
    pub dir: PathBuf,
    /// Bytes that it may take.
    pub max_bytes: u64,
}

impl CacheOptions {
    /// Bytes of a cache where nothing else is said: 64 GiB.
    pub const DEFAULT_MAX_BYTES: u64 = 64 << 30;
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self {
            cache: None,
            concurrent_reads: 8,
            give_up_after: Duration::from_secs(120),
            stall_after: Duration::from_secs(20),
            settings: Vec::new(),
        }
    }
}
