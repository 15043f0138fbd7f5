//! Data behind a URL: `s3://`, `gs://`, `az://`, `https://`, and `file://` for slow mounts.
//!
//! ```text
//!  Reader ── fetch ──> runtime (2 threads) ──> cache on disk ── miss ──> object store
//!         <─ row group ── digest, Parquet ──<── bytes ──────────────────────┘ │ retry with backoff
//!                                            └── kept in the cache <──────────┘
//! ```
//!
//! Row groups are fetched by one range request each, several at a time, ahead of the schedule and within the
//! byte budget of the stream. What arrives is compared with the digest in the manifest, so wrong bytes are
//! fetched again instead of being trained on. A runtime is started only when something remote is opened.

mod cache;
mod client;
mod error;
mod http;
mod options;
mod store;
mod url;

pub(crate) use cache::{Cache, CachePart};
pub(crate) use client::{Client, Requests};
pub use error::RemoteError;
pub use http::RemoteMetrics;
pub use options::{CacheOptions, RemoteOptions};
pub use url::RemoteUrl;
