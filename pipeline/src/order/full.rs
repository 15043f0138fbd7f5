//! The shuffle over everything.

use super::{GroupTable, Order, OrderedRow, OrderedRows};
use crate::draw::{Domain, Draw};
use crate::sample::{RowGroupId, SampleId};
use crate::source::RowGroupInfo;

/// A uniform permutation of all rows. It is made as a whole, at 4 bytes a sample; the samples themselves,
/// which have to be in memory for it, take far more.
#[derive(Clone, Debug)]
pub struct Full {
    table: GroupTable,
    seed: u64,
}

impl Full {
    /// A permutation of the rows of `groups`.
    pub fn new(groups: &[RowGroupInfo], seed: u64) -> Self {
        Self { table: GroupTable::new(groups), seed }
    }
}

impl Order for Full {
    fn rows(&self, epoch: u32, position: u32) -> OrderedRows {
        let table = self.table.clone();
        let mut samples: Vec<u32> = (0..table.num_samples()).collect();
        // The key of a row group that cannot exist.
        Draw::new(self.seed, Domain::RowShift, [epoch, u32::MAX, 0, 0, 0]).shuffle(&mut samples);
        let mut ends = vec![0u32; table.num_groups()];
        for (position, &sample) in samples.iter().enumerate() {
            ends[table.group_of(sample) as usize] = position as u32;
        }
        Box::new((position..table.num_samples()).map(move |position| {
            let sample = samples[position as usize];
            let group = table.group_of(sample);
            OrderedRow {
                sample: SampleId(sample),
                group: RowGroupId(group),
                ends_group: ends[group as usize] == position,
            }
        }))
    }

    fn max_resident_groups(&self) -> u32 {
        self.table.num_groups() as u32
    }

    fn rows_bytes(&self) -> u64 {
        4 * (u64::from(self.table.num_samples()) + self.table.num_groups() as u64)
    }
}
