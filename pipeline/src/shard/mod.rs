//! Writing shards: from a folder of images, tars or Parquet files to a data set.
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
//!
//! For the same reason several machines can share the work without talking to each other: each writes the
//! shards of its part into that hidden folder, and [`merge()`] does what a run alone does at its end.

mod card;
mod check;
mod compare;
mod error;
mod figures;
mod finish;
mod folder;
mod image_column;
mod listing;
mod merge;
mod options;
mod ordered;
mod part;
mod plan;
mod report;
mod run;
mod schema;
mod split;
mod stage;
mod upload;
mod write;
mod writer;

pub use compare::{Comparison, compare, obstacle, split_difference};
pub use error::ShardError;
pub use folder::default_out;
pub(crate) use listing::is_image_name;
pub use listing::{ListOptions, Listing, Refused, SplitListing};
pub use merge::{MergeOptions, merge};
pub use options::{Check, ShardOptions};
pub use part::Part;
pub use report::{ShardProgress, ShardReport, SplitReport};
pub use run::{shard, shard_listed};
