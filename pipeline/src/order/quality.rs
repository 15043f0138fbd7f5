//! How well an order mixes: of how many row groups the rows of a batch come.

use serde::Serialize;

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
pub fn shuffle_quality(order: &[u32], groups: &[RowGroupInfo], batch_size: u32) -> ShuffleQuality {
    let batch_size = (batch_size as usize).clamp(1, order.len().max(1));
    let mut seen = vec![usize::MAX; groups.len()];
    let mut counts = Vec::new();
    for (batch, samples) in order.chunks_exact(batch_size).enumerate() {
        let mut distinct = 0u32;
        for &sample in samples {
            let group = groups.partition_point(|group| group.first_sample.0 <= sample) - 1;
            if seen[group] != batch {
                seen[group] = batch;
                distinct += 1;
            }
        }
        counts.push(distinct);
    }
    let total = order.len() as f64;
    let uniform = groups
        .iter()
        .map(|group| 1.0 - (1.0 - f64::from(group.rows) / total).powi(batch_size as i32))
        .sum();
    ShuffleQuality {
        groups_per_batch: counts.iter().map(|&count| f64::from(count)).sum::<f64>()
            / counts.len().max(1) as f64,
        worst_batch: counts.iter().copied().min().unwrap_or(0),
        first_batch: counts.first().copied().unwrap_or(0),
        uniform,
    }
}
