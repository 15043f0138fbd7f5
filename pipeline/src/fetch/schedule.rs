//! Which row a position shows, walked from the first step on: the reader and the dispatcher each follow
//! one. It says, too, when a row group was needed for the last time.

use crate::order::{Order, OrderedRow, OrderedRows, Positions};
use crate::sample::RowGroupId;

/// A walk through the rest of one epoch that stops at the positions of one rank.
pub struct EpochSchedule {
    rows: OrderedRows,
    /// Position of the row that `rows` gives next.
    next: u32,
    current: Option<OrderedRow>,
}

impl EpochSchedule {
    /// The schedule of this rank from step `first_step` of the epoch on.
    pub fn new(order: &dyn Order, positions: &Positions, epoch: u32, first_step: u64) -> Self {
        let next = positions.row(first_step, 0).in_epoch;
        Self { rows: order.rows(epoch, next), next, current: None }
    }

    /// The row at a position, which must not lie before the one that was asked for last. `ended` is told of
    /// the row groups that no position from this one on shows any more. `None` beyond the end of the epoch.
    pub fn row_at(
        &mut self,
        in_epoch: u32,
        mut ended: impl FnMut(RowGroupId),
    ) -> Option<OrderedRow> {
        while self.next <= in_epoch {
            if let Some(row) = self.current.filter(|row| row.ends_group) {
                ended(row.group);
            }
            self.current = self.rows.next();
            self.next += 1;
            self.current?;
        }
        self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{Sequential, Windowed};
    use crate::sample::SampleId;
    use crate::source::RowGroupInfo;
    use crate::stream::StreamMode;

    fn groups(num_groups: u32, rows: u32) -> Vec<RowGroupInfo> {
        (0..num_groups)
            .map(|group| RowGroupInfo { first_sample: SampleId(group * rows), rows, bytes: 100 })
            .collect()
    }

    fn positions(num_samples: u32, rank: u32) -> Positions {
        Positions { num_samples, batch_size: 3, rank, world_size: 2, mode: StreamMode::Once }
    }

    #[test]
    fn a_row_group_ends_when_its_last_row_was_passed_whoever_shows_it() {
        let order = Sequential::new(&groups(6, 2));
        let mut schedule = EpochSchedule::new(&order, &positions(12, 0), 0, 0);
        let mut at = |position| {
            let mut ended = Vec::new();
            let row = schedule.row_at(position, |group| ended.push(group.0)).unwrap();
            (row.sample.0, ended)
        };
        assert_eq!(at(1), (1, vec![]));
        assert_eq!(at(2), (2, vec![0]));
        assert_eq!(at(6), (6, vec![1, 2]), "the other rank shows the rows between");
        assert_eq!(at(7), (7, vec![]));
        assert_eq!(at(7), (7, vec![]), "a padded row shows the last one again");
        assert_eq!(schedule.row_at(12, |_| ()), None);
    }

    #[test]
    fn a_schedule_from_the_middle_goes_on_as_the_whole_one_does() {
        let order = Windowed::new(&groups(40, 9), 5, 8);
        let positions = positions(360, 1);
        let rows = |first_step| -> Vec<_> {
            let mut schedule = EpochSchedule::new(&order, &positions, 2, first_step);
            (first_step..positions.steps_per_epoch())
                .flat_map(|step| (0..3).map(move |row| positions.row(step, row).in_epoch))
                .map(|position| schedule.row_at(position, |_| ()))
                .collect()
        };
        let whole = rows(0);
        assert_eq!(whole.len(), 180);
        assert_eq!(rows(23), whole[69..]);
    }
}
