//! Writing shards: from a folder of images to a data set.
//!
//! ```text
//! listing ──> plan ──> workers (read, check) ──> writer ──> .train.partial/ ──rename──> train/
//! sorted      shuffle   N threads, in order,      row groups   plan, records,
//! files       and cut   bounded bytes in flight   and BLAKE3   shards
//! ```
//!
//! What each shard holds is decided before the first image is read, so shards do not depend on the number
//! of threads, and a run that was killed goes on behind its last finished shard. Everything is built in a
//! hidden folder that is renamed as a whole at the end: a folder with a manifest is a finished data set.

mod card;
mod check;
mod error;
mod figures;
mod folder;
mod listing;
mod options;
mod ordered;
mod plan;
mod report;
mod run;
mod schema;
mod split;
mod writer;

pub use error::ShardError;
pub use folder::default_out;
pub use listing::{Listing, Refused, SplitListing};
pub use options::{Check, ShardOptions};
pub use report::{ShardProgress, ShardReport, SplitReport};
pub use run::shard;
