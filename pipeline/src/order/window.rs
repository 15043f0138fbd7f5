//! The shuffle within a window of row groups.
//!
//! It reads row groups one after the other and still mixes rows of many in each batch. Row groups are
//! permuted; the row group at place `p` lies around `p + 1/2` on a line from 0 to the number of row groups,
//! and each of its rows is moved from there by a uniform shift of at most half a window to either side.
//! Rows are then taken from left to right. What would fall off an end of the line is reflected there, so
//! that the density of rows is even everywhere: the first batch of an epoch is as well mixed as any other
//! (there is no buffer to fill), and at each moment rows of at most `window + 1` row groups have been begun
//! and not finished.
//!
//! Positions on the line are fixed-point numbers with 32 binary digits after the point, and rows at the same
//! position are in sample order, so the result is the same on every machine.
//!
//! As a row strays by half a window at most, the line can be walked unit by unit: once the row groups up to
//! half a window ahead are drawn, nothing more can fall into the next unit, and its rows are sorted and
//! given out. For the same reason a walk may begin anywhere: how many rows lie before a unit follows from
//! the sizes of the row groups that lie before it as a whole, and from drawing the few around it.

use std::collections::VecDeque;

use super::{GroupTable, Order, OrderedRow, OrderedRows};
use crate::draw::{Domain, Draw};
use crate::sample::{RowGroupId, SampleId};
use crate::source::RowGroupInfo;

/// Shuffle within a sliding window of row groups.
#[derive(Clone, Debug)]
pub struct Windowed {
    table: GroupTable,
    window: u32,
    seed: u64,
    largest_group: u32,
}

impl Windowed {
    /// A window of `window` row groups, at least 1 and at most as many as there are.
    pub fn new(groups: &[RowGroupInfo], window: u32, seed: u64) -> Self {
        let table = GroupTable::new(groups);
        let window = window.clamp(1, (table.num_groups() as u32).max(1));
        let largest_group = groups.iter().map(|group| group.rows).max().unwrap_or(0);
        Self { table, window, seed, largest_group }
    }
}

impl Order for Windowed {
    fn rows(&self, epoch: u32, position: u32) -> OrderedRows {
        Box::new(WindowRows::new(self, epoch, position))
    }

    fn max_resident_groups(&self) -> u32 {
        (self.window + 1).min(self.table.num_groups() as u32)
    }

    fn rows_bytes(&self) -> u64 {
        // A unit is drawn when the row groups half a window and one ahead are; vectors grow by doubling.
        let groups = u64::from(self.window) + 4;
        2 * size_of::<Row>() as u64 * groups * u64::from(self.largest_group)
            + 4 * self.table.num_groups() as u64
    }
}

/// A row between its draw and its turn.
#[derive(Clone, Copy)]
struct Row {
    /// Position within its unit of the line.
    fraction: u32,
    sample: u32,
    group: u32,
    ends_group: bool,
}

/// A walk along the line.
struct WindowRows {
    table: GroupTable,
    window: u32,
    seed: u64,
    epoch: u32,
    /// Row groups by place.
    permuted: Vec<u32>,
    /// Place of the next row group to draw.
    next_place: usize,
    /// Number of the unit at the front of `units`.
    front: usize,
    /// Rows that were drawn and not given out, by unit.
    units: VecDeque<Vec<Row>>,
    /// The unit that is given out, sorted, from its end.
    current: Vec<Row>,
}

impl WindowRows {
    fn new(order: &Windowed, epoch: u32, position: u32) -> Self {
        let table = order.table.clone();
        let mut permuted: Vec<u32> = (0..table.num_groups() as u32).collect();
        Draw::new(order.seed, Domain::GroupOrder, [epoch, 0, 0, 0, 0]).shuffle(&mut permuted);

        // The place whose row group would hold `position` if no row were moved. No row of it or of a later
        // one lies before the unit `front`, so `position` does not either.
        let mut before = 0;
        let place = permuted.iter().position(|&group| {
            before += table.rows(group);
            before > position
        });
        let reach = order.window as usize / 2;
        let front = place.unwrap_or(permuted.len()).saturating_sub(reach + 2);
        // Row groups before this place lie before `front` as a whole.
        let next_place = front.saturating_sub(reach + 1);
        let mut skipped: u32 = permuted[..next_place].iter().map(|&group| table.rows(group)).sum();

        let mut rows = Self {
            table,
            window: order.window,
            seed: order.seed,
            epoch,
            permuted,
            next_place,
            front,
            units: VecDeque::new(),
            current: Vec::new(),
        };
        skipped += rows.draw_ahead();
        while skipped < position && rows.next().is_some() {
            skipped += 1;
        }
        rows
    }

    /// Draws all row groups that may have a row in the unit `front`. Gives the number of their rows that lie
    /// before it, which there are only at the beginning of a walk.
    fn draw_ahead(&mut self) -> u32 {
        let end = self.front + self.window as usize / 2 + 2;
        let mut before = 0;
        while self.next_place < end.min(self.permuted.len()) {
            before += self.draw_group(self.next_place);
            self.next_place += 1;
        }
        before
    }

    fn draw_group(&mut self, place: usize) -> u32 {
        let group = self.permuted[place];
        let line_end = (self.permuted.len() as i64) << 32;
        let centre = ((place as i64) << 32) + (1 << 31);
        let mut draw = Draw::new(self.seed, Domain::RowShift, [self.epoch, group, 0, 0, 0]);
        let mut before = 0;
        let mut last: Option<(u64, usize, usize)> = None;
        for sample in self.table.first(group)..self.table.first(group + 1) {
            let shift = (i64::from(draw.bits32()) - (1 << 31)) * i64::from(self.window);
            let position = reflect(centre + shift, line_end);
            let Some(unit) = ((position >> 32) as usize).checked_sub(self.front) else {
                before += 1;
                continue;
            };
            if self.units.len() <= unit {
                self.units.resize_with(unit + 1, Vec::new);
            }
            let rows = &mut self.units[unit];
            if last.is_none_or(|(latest, ..)| position >= latest) {
                last = Some((position, unit, rows.len()));
            }
            rows.push(Row { fraction: position as u32, sample, group, ends_group: false });
        }
        if let Some((_, unit, index)) = last {
            self.units[unit][index].ends_group = true;
        }
        before
    }
}

impl Iterator for WindowRows {
    type Item = OrderedRow;

    fn next(&mut self) -> Option<OrderedRow> {
        while self.current.is_empty() {
            if self.front == self.permuted.len() {
                return None;
            }
            self.draw_ahead();
            let mut unit = self.units.pop_front().unwrap_or_default();
            // The sample number makes every key different, so an unstable sort gives the stable result.
            unit.sort_unstable_by_key(|row| std::cmp::Reverse((row.fraction, row.sample)));
            // The emptied vector is used again for a unit to come.
            self.units.push_back(std::mem::replace(&mut self.current, unit));
            self.front += 1;
        }
        let row = self.current.pop()?;
        Some(OrderedRow {
            sample: SampleId(row.sample),
            group: RowGroupId(row.group),
            ends_group: row.ends_group,
        })
    }
}

/// Folds a position back into `0..end`. A window is at most `end` wide, so one fold suffices.
fn reflect(position: i64, end: i64) -> u64 {
    let folded = if position < 0 {
        -1 - position
    } else if position >= end {
        2 * end - 1 - position
    } else {
        position
    };
    folded as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::tests::groups;

    #[test]
    fn a_walk_holds_no_more_than_was_said_however_long_the_epoch() {
        for (num_groups, window) in [(100, 64), (2000, 64), (2000, 7), (300, 299), (50, 1)] {
            let order = Windowed::new(&groups(&vec![97; num_groups]), window, 3);
            let mut rows = WindowRows::new(&order, 0, 0);
            let mut most = 0;
            while rows.next().is_some() {
                let held = rows.units.iter().map(Vec::capacity).sum::<usize>();
                most = most.max(held + rows.current.capacity());
            }
            let most = (most * size_of::<Row>() + 4 * num_groups) as u64;
            let said = order.rows_bytes();
            assert!(most <= said && said < 8 * most, "{most} of {said}, {num_groups} {window}");
        }
    }

    /// Off by one here would still give a permutation that looks well mixed.
    #[test]
    fn a_place_outside_the_line_is_folded_onto_its_mirror_image() {
        let end = 7 << 32;
        for distance in [0, 1, 2, end / 2, end - 1] {
            assert_eq!(reflect(-1 - distance, end), distance as u64);
            assert_eq!(reflect(end + distance, end), (end - 1 - distance) as u64);
            assert_eq!(reflect(distance, end), distance as u64);
        }
    }
}
