//! The sampler: which sample stands at which position.
//!
//! The order of an epoch is a pure function of (seed, epoch), and may be entered at any position. The
//! windowed order is made as it is walked: what is known at a time are the rows of one window, so its
//! memory does not grow with the number of samples, and entering it in the middle costs no more than
//! shuffling the row groups. Two threads walk an epoch on their own: the reader, ahead, to learn which row
//! group is needed next, and the dispatcher, which needs the rows themselves ([`crate::fetch`]).

mod full;
mod positions;
mod quality;
mod sequential;
mod settings;
#[cfg(test)]
mod tests;
mod window;

use std::fmt;
use std::sync::Arc;

pub use full::Full;
pub use positions::{Position, Positions};
pub use quality::{ShuffleQuality, shuffle_quality};
pub use sequential::Sequential;
pub use settings::OrderSettings;
pub use window::Windowed;

use crate::sample::{RowGroupId, SampleId};
use crate::source::RowGroupInfo;

/// A way of ordering the samples of a data set within an epoch.
pub trait Order: Send + Sync + fmt::Debug {
    /// The rows of `epoch` from `position` on; together with those before it, a permutation of all samples.
    /// A pure function of `self` and its arguments.
    fn rows(&self, epoch: u32, position: u32) -> OrderedRows;

    /// Most row groups of which some, but not all, rows may have been shown at any position.
    fn max_resident_groups(&self) -> u32;

    /// Bytes that [`OrderedRows`] takes, roughly.
    fn rows_bytes(&self) -> u64;
}

/// The rest of an epoch, row by row.
pub type OrderedRows = Box<dyn Iterator<Item = OrderedRow> + Send>;

/// What stands at one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderedRow {
    /// The sample.
    pub sample: SampleId,
    /// The row group that holds it.
    pub group: RowGroupId,
    /// No later position of the epoch shows a row of this row group.
    pub ends_group: bool,
}

/// The order that `settings` name for a data set with these row groups.
pub fn order(settings: OrderSettings, groups: &[RowGroupInfo], seed: u64) -> Box<dyn Order> {
    let num_groups = groups.len() as u32;
    match settings {
        OrderSettings::Sequential => Box::new(Sequential::new(groups)),
        OrderSettings::Window { row_groups } if row_groups < num_groups => {
            Box::new(Windowed::new(groups, row_groups, seed))
        }
        OrderSettings::Full | OrderSettings::Window { .. } => Box::new(Full::new(groups, seed)),
    }
}

/// Which samples each row group holds: all that an order has to know of a data set.
#[derive(Clone, Debug)]
struct GroupTable {
    /// First sample of each row group, and behind them the number of samples.
    firsts: Arc<[u32]>,
}

impl GroupTable {
    fn new(groups: &[RowGroupInfo]) -> Self {
        let end = groups.last().map_or(0, |last| last.first_sample.0 + last.rows);
        Self { firsts: groups.iter().map(|group| group.first_sample.0).chain([end]).collect() }
    }

    fn num_groups(&self) -> usize {
        self.firsts.len() - 1
    }

    fn num_samples(&self) -> u32 {
        self.firsts[self.num_groups()]
    }

    /// First sample of a row group.
    fn first(&self, group: u32) -> u32 {
        self.firsts[group as usize]
    }

    /// Number of rows in a row group.
    fn rows(&self, group: u32) -> u32 {
        self.firsts[group as usize + 1] - self.firsts[group as usize]
    }

    /// The row group that holds `sample`.
    fn group_of(&self, sample: u32) -> u32 {
        self.firsts.partition_point(|&first| first <= sample) as u32 - 1
    }
}
