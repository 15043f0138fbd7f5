//! When each row group is read and when it is dropped, from an epoch's order.

use crate::order::{EpochOrder, Positions};
use crate::sample::RowGroupId;
use crate::source::RowGroupInfo;

use super::held_bytes;

/// The stay of one row group in memory. Rows are numbered as this rank hands them out, from the step at
/// which the schedule begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// Which row group.
    pub group: RowGroupId,
    /// First row that needs it.
    pub first_use: u64,
    /// Last row that needs it; it is dropped after that.
    pub last_use: u64,
    /// Rows that need it.
    pub uses: u32,
}

/// One epoch, or the rest of one: its order, and the row groups in the order of their first use.
#[derive(Clone, Debug)]
pub struct EpochSchedule {
    /// The order.
    pub order: EpochOrder,
    /// First step within the epoch.
    pub first_step: u64,
    /// Row groups by first use. What this rank does not show is not in it.
    pub stays: Vec<Stay>,
    /// Most row groups needed at once.
    pub peak_groups: u32,
    /// Most bytes needed at once. Nothing is needed beyond the end of the epoch, so this is the peak of a
    /// stream that crosses it, too; what is read ahead comes on top, as far as the budget allows.
    pub peak_bytes: u64,
}

impl EpochSchedule {
    /// The schedule from step `first_step` of the epoch to its end.
    pub fn new(
        order: EpochOrder,
        groups: &[RowGroupInfo],
        positions: &Positions,
        first_step: u64,
    ) -> Self {
        const UNUSED: u32 = u32::MAX;
        let mut stays: Vec<Stay> = Vec::new();
        let mut stay_of = vec![UNUSED; groups.len()];
        let mut row_number = 0u64;
        for step in first_step..positions.steps_per_epoch() {
            for row in 0..positions.batch_size {
                let sample = order.sample_at(positions.row(step, row).in_epoch);
                let group = group_of(groups, sample.0);
                let entry = &mut stay_of[group];
                if *entry == UNUSED {
                    *entry = stays.len() as u32;
                    let group = RowGroupId(group as u32);
                    stays.push(Stay {
                        group,
                        first_use: row_number,
                        last_use: row_number,
                        uses: 0,
                    });
                }
                let stay = &mut stays[*entry as usize];
                stay.last_use = row_number;
                stay.uses += 1;
                row_number += 1;
            }
        }
        let (peak_groups, peak_bytes) = peak(&stays, groups);
        Self { order, first_step, stays, peak_groups, peak_bytes }
    }
}

/// Index of the row group that holds `sample`.
pub(crate) fn group_of(groups: &[RowGroupInfo], sample: u32) -> usize {
    groups.partition_point(|group| group.first_sample.0 <= sample) - 1
}

/// Most row groups, and most bytes, that are needed at the same row.
fn peak(stays: &[Stay], groups: &[RowGroupInfo]) -> (u32, u64) {
    let mut by_end: Vec<&Stay> = stays.iter().collect();
    by_end.sort_unstable_by_key(|stay| stay.last_use);
    let mut ended = by_end.into_iter().peekable();
    let (mut count, mut bytes) = (0u32, 0u64);
    let (mut most, mut most_bytes) = (0, 0);
    for stay in stays {
        while let Some(old) = ended.next_if(|old| old.last_use < stay.first_use) {
            count -= 1;
            bytes -= held_bytes(&groups[old.group.0 as usize]);
        }
        count += 1;
        bytes += held_bytes(&groups[stay.group.0 as usize]);
        most = most.max(count);
        most_bytes = most_bytes.max(bytes);
    }
    (most, most_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::SampleId;
    use crate::stream::StreamMode;

    fn groups() -> Vec<RowGroupInfo> {
        (0..3)
            .map(|group| RowGroupInfo { first_sample: SampleId(group * 2), rows: 2, bytes: 100 })
            .collect()
    }

    fn schedule(samples: &[u32], batch_size: u32, first_step: u64) -> EpochSchedule {
        let positions = Positions {
            num_samples: samples.len() as u32,
            batch_size,
            rank: 0,
            world_size: 1,
            mode: StreamMode::Endless,
        };
        let order = EpochOrder { epoch: 0, samples: samples.to_vec() };
        EpochSchedule::new(order, &groups(), &positions, first_step)
    }

    #[test]
    fn row_groups_are_read_in_the_order_of_their_first_use() {
        let schedule = schedule(&[4, 0, 5, 2, 1, 3], 1, 0);
        let stays: Vec<_> =
            schedule.stays.iter().map(|s| (s.group.0, s.first_use, s.last_use, s.uses)).collect();
        assert_eq!(stays, [(2, 0, 2, 2), (0, 1, 4, 2), (1, 3, 5, 2)]);
        assert_eq!(schedule.peak_groups, 2);
        assert_eq!(schedule.peak_bytes, 2 * held_bytes(&groups()[0]));
    }

    #[test]
    fn a_schedule_from_the_middle_counts_only_what_is_left() {
        let schedule = schedule(&[4, 0, 5, 2, 1, 3], 2, 1);
        let uses: Vec<_> = schedule.stays.iter().map(|s| (s.group.0, s.uses)).collect();
        assert_eq!(uses, [(2, 1), (1, 2), (0, 1)]);
    }

    #[test]
    fn what_drop_last_leaves_out_is_not_read() {
        let schedule = schedule(&[0, 1, 2, 3, 4, 5], 4, 0);
        assert_eq!(schedule.stays.len(), 2);
    }
}
