//! Shuffles: within a window of row groups, or over everything.
//!
//! The windowed shuffle reads row groups one after the other and still mixes rows of many in each batch.
//! Row groups are permuted; the row group at place `p` lies around `p + 1/2` on a line from 0 to the
//! number of row groups, and each of its rows is moved from there by a uniform shift of at most half a
//! window to either side. Rows are then taken from left to right. What would fall off an end of the line
//! is reflected there, so that the density of rows is even everywhere: the first batch of an epoch is as
//! well mixed as any other (there is no buffer to fill), and at each moment rows of at most `window + 1`
//! row groups have been begun and not finished.
//!
//! Places are fixed-point numbers with 32 binary digits after the point, and rows at the same place are in
//! sample order, so the result is the same on every machine.

use super::{Order, num_samples};
use crate::draw::{Domain, Draw};
use crate::source::RowGroupInfo;

/// Shuffle within a sliding window of row groups.
#[derive(Clone, Debug)]
pub struct Windowed {
    rows: Vec<u32>,
    window: u32,
    seed: u64,
}

impl Windowed {
    /// A window of `window` row groups, at least 1 and at most as many as there are.
    pub fn new(groups: &[RowGroupInfo], window: u32, seed: u64) -> Self {
        let rows: Vec<u32> = groups.iter().map(|group| group.rows).collect();
        let window = window.clamp(1, (rows.len() as u32).max(1));
        Self { rows, window, seed }
    }
}

impl Order for Windowed {
    fn fill(&self, epoch: u32, samples: &mut Vec<u32>) {
        let num_groups = self.rows.len();
        let mut permuted: Vec<u32> = (0..num_groups as u32).collect();
        Draw::new(self.seed, Domain::GroupOrder, [epoch, 0, 0, 0, 0]).shuffle(&mut permuted);
        let mut places = vec![0u32; num_groups];
        for (place, &group) in permuted.iter().enumerate() {
            places[group as usize] = place as u32;
        }

        let end = (num_groups as i64) << 32;
        let num_samples: usize = self.rows.iter().map(|&rows| rows as usize).sum();
        let mut keyed: Vec<(u64, u32)> = Vec::with_capacity(num_samples);
        for (group, (&rows, &place)) in self.rows.iter().zip(&places).enumerate() {
            let mut draw = Draw::new(self.seed, Domain::RowShift, [epoch, group as u32, 0, 0, 0]);
            let centre = (i64::from(place) << 32) + (1 << 31);
            for _ in 0..rows {
                let shift = (i64::from(draw.bits32()) - (1 << 31)) * i64::from(self.window);
                keyed.push((reflect(centre + shift, end), keyed.len() as u32));
            }
        }
        // The sample number makes every key different, so an unstable sort gives the stable result.
        keyed.sort_unstable();
        samples.clear();
        samples.extend(keyed.iter().map(|&(_, sample)| sample));
    }

    fn max_resident_groups(&self) -> u32 {
        (self.window + 1).min(self.rows.len() as u32)
    }
}

/// Folds a place back into `0..end`. A window is at most `end` wide, so one fold suffices.
fn reflect(place: i64, end: i64) -> u64 {
    let folded = if place < 0 {
        -1 - place
    } else if place >= end {
        2 * end - 1 - place
    } else {
        place
    };
    folded as u64
}

/// A uniform permutation of all rows.
#[derive(Clone, Debug)]
pub struct Full {
    num_samples: u32,
    num_groups: u32,
    seed: u64,
}

impl Full {
    /// A permutation of the rows of `groups`.
    pub fn new(groups: &[RowGroupInfo], seed: u64) -> Self {
        Self { num_samples: num_samples(groups), num_groups: groups.len() as u32, seed }
    }
}

impl Order for Full {
    fn fill(&self, epoch: u32, samples: &mut Vec<u32>) {
        samples.clear();
        samples.extend(0..self.num_samples);
        // The key of a row group that cannot exist.
        Draw::new(self.seed, Domain::RowShift, [epoch, u32::MAX, 0, 0, 0]).shuffle(samples);
    }

    fn max_resident_groups(&self) -> u32 {
        self.num_groups
    }
}
