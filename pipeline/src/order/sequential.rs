//! Rows as they are stored.

use super::{GroupTable, Order, OrderedRow, OrderedRows};
use crate::sample::{RowGroupId, SampleId};
use crate::source::RowGroupInfo;

/// The stored order, the same in each epoch.
#[derive(Clone, Debug)]
pub struct Sequential {
    table: GroupTable,
}

impl Sequential {
    /// The order of the rows of `groups`.
    pub fn new(groups: &[RowGroupInfo]) -> Self {
        Self { table: GroupTable::new(groups) }
    }
}

impl Order for Sequential {
    fn rows(&self, _epoch: u32, position: u32) -> OrderedRows {
        let table = self.table.clone();
        let mut group = if position < table.num_samples() { table.group_of(position) } else { 0 };
        Box::new((position..table.num_samples()).map(move |sample| {
            if sample == table.first(group + 1) {
                group += 1;
            }
            OrderedRow {
                sample: SampleId(sample),
                group: RowGroupId(group),
                ends_group: sample + 1 == table.first(group + 1),
            }
        }))
    }

    fn max_resident_groups(&self) -> u32 {
        1
    }

    fn rows_bytes(&self) -> u64 {
        0
    }
}
