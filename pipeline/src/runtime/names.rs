//! Names of threads, stages and metrics, each in one place. Linux cuts thread names after 15 bytes.

/// Begins the name of every thread of a stream.
pub const THREAD_PREFIX: &str = "smog-";
/// Reads row groups.
pub const READ_THREAD: &str = "smog-read";
/// Admits batches and hands out rows.
pub const FETCH_THREAD: &str = "smog-fetch";
/// Begins the name of a thread that decodes and augments; its number follows.
pub const RENDER_THREAD: &str = "smog-render-";

/// Stage that reads row groups.
pub const READ: &str = "read";
/// Stage that hands out rows.
pub const FETCH: &str = "fetch";
/// Stage that decodes images.
pub const DECODE: &str = "decode";
/// Stage that makes views.
pub const AUGMENT: &str = "augment";
