//! How well an order mixes: of how many row groups the rows of a batch come.

use serde::Serialize;

use super::OrderedRow;
use crate::source::RowGroupInfo;

/// Row groups per batch, against a uniform shuffle. Rows of one row group were neighbours on disk, so a
/// batch from few of them is a batch of few sources.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ShuffleQuality {
    /// Different row groups in a batch, on average.
    pub groups_per_batch: f64,
    /// Different row groups in the worst batch.
    pub worst_batch: u32,
    /// Different row groups in the first batch of the epoch.
    pub first_batch: u32,
    /// What a uniform shuffle has on average.
    pub uniform: f64,
}

impl ShuffleQuality {
    /// Share of what a uniform shuffle reaches, 1 at best.
    pub fn ratio(&self) -> f64 {
        self.groups_per_batch / self.uniform
    }
}

/// Measures the full batches of an epoch's order. `batch_size` is cut to the number of samples.
pub fn shuffle_quality(
    rows: impl Iterator<Item = OrderedRow>,
    groups: &[RowGroupInfo],
    batch_size: u32,
) -> ShuffleQuality {
    let total = groups.iter().map(|group| u64::from(group.rows)).sum::<u64>();
    let batch_size = u64::from(batch_size).clamp(1, total.max(1));
    let mut seen = vec![u64::MAX; groups.len()];
    let (mut counts, mut distinct) = (Counts::default(), 0u32);
    for (position, row) in (0u64..).zip(rows) {
        let batch = position / batch_size;
        let seen = &mut seen[row.group.0 as usize];
        if *seen != batch {
            *seen = batch;
            distinct += 1;
        }
        if (position + 1).is_multiple_of(batch_size) {
            counts.add(std::mem::take(&mut distinct));
        }
    }
    let uniform = groups
        .iter()
        .map(|group| 1.0 - (1.0 - f64::from(group.rows) / total as f64).powi(batch_size as i32))
        .sum();
    ShuffleQuality {
        groups_per_batch: counts.sum as f64 / counts.batches.max(1) as f64,
        worst_batch: counts.worst,
        first_batch: counts.first,
        uniform,
    }
}

/// Row groups per batch, over the batches so far.
#[derive(Default)]
struct Counts {
    batches: u64,
    sum: u64,
    worst: u32,
    first: u32,
}

impl Counts {
    fn add(&mut self, distinct: u32) {
        if self.batches == 0 {
            (self.first, self.worst) = (distinct, distinct);
        }
        self.batches += 1;
        self.sum += u64::from(distinct);
        self.worst = self.worst.min(distinct);
    }
}
