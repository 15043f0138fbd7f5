//! Spherical k-means over the feature memory, for the reset of the groups.
//!
//! Distances are computed in blocks, so memory stays bounded whatever the number of features. Every random choice
//! is drawn on the host with the key (seed, step): a resumed run makes the same reset. Host and device meet once per
//! pass, to look for empty clusters.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

use crate::draw::{Domain, Draw};
use crate::error::ModelError;
use crate::groups::normalize;

/// Similarities held at once while assigning: 64 MiB.
const BLOCK_ELEMENTS: i64 = 1 << 24;

/// The k-means++ start looks at no more than this many features per group; the passes look at all.
const START_POINTS_PER_GROUP: i64 = 16;

/// Length of the random step by which a copy of the largest cluster's centroid leaves it.
const SPLIT_STEP: f64 = 0.05;

/// How a group reset clusters the memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KMeansSettings {
    /// Most passes of assigning and averaging; fewer where nothing changes any more.
    pub passes: u32,
    /// At most this many features per group are drawn from the memory.
    pub max_points_per_group: i64,
    /// Where the centroids start.
    pub init: KMeansInit,
}

impl Default for KMeansSettings {
    fn default() -> Self {
        Self { passes: 20, max_points_per_group: 256, init: KMeansInit::PlusPlus }
    }
}

/// First centroids of a k-means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KMeansInit {
    /// k-means++: each next centroid is the best of a few points drawn with odds proportional to their squared
    /// distance from the centroids so far.
    PlusPlus,
    /// Distinct random points.
    Random,
}

/// What a reset of the groups did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResetReport {
    /// Features in the memory.
    pub num_features: i64,
    /// Features that were clustered.
    pub num_clustered: i64,
    /// Passes made.
    pub num_passes: u32,
    /// Mean cosine between a feature and the centroid that it was assigned to in the last pass.
    pub mean_cosine: f64,
    /// Members of the smallest cluster in the last pass.
    pub smallest: i64,
    /// Members of the largest cluster in the last pass.
    pub largest: i64,
    /// Centroids that had run empty and were seeded anew, over all passes.
    pub num_reseeded: i64,
}

/// Clusters the directions of `features` `[n, d]`: unit-length centroids `[num_groups, d]` and a report.
///
/// # Errors
/// [`ModelError::TooFewFeatures`], [`ModelError::NotFinite`], and [`ModelError::Config`] for settings below 1.
pub fn spherical(
    features: &Tensor,
    num_groups: i64,
    settings: &KMeansSettings,
    seed: u64,
    step: u64,
) -> Result<(Tensor, ResetReport), ModelError> {
    if settings.passes < 1 || settings.max_points_per_group < 1 {
        return Err(ModelError::Config {
            field: "kmeans",
            reason: "passes and max_points_per_group must be at least 1".to_owned(),
        });
    }
    let num_features = features.size()[0];
    if num_features < num_groups || num_groups < 1 {
        return Err(ModelError::TooFewFeatures { num_features, num_groups });
    }
    let mut draw = Draw::new(seed, Domain::KMeans, [step as u32, (step >> 32) as u32, 0, 0, 0]);
    no_grad(|| {
        let most = num_groups.saturating_mul(settings.max_points_per_group);
        let points = normalize(&sample(features, most, &mut draw));
        if points.isfinite().all().int64_value(&[]) == 0 {
            return Err(ModelError::NotFinite { what: "the feature memory" });
        }
        let start = match settings.init {
            KMeansInit::PlusPlus => plus_plus(&points, num_groups, &mut draw),
            KMeansInit::Random => sample(&points, num_groups, &mut draw),
        };
        let (centroids, mut report) = lloyd(&points, start, settings.passes, &mut draw);
        report.num_features = num_features;
        Ok((centroids, report))
    })
}

/// `most` distinct rows, or all where there are no more.
fn sample(points: &Tensor, most: i64, draw: &mut Draw) -> Tensor {
    let total = points.size()[0];
    if total <= most {
        return points.shallow_clone();
    }
    let rows = draw.distinct(most as u64, total as u64);
    points.index_select(0, &Tensor::from_slice(&rows).to_device(points.device()))
}

/// Passes of assigning and averaging until nothing moves.
fn lloyd(
    points: &Tensor,
    mut centroids: Tensor,
    passes: u32,
    draw: &mut Draw,
) -> (Tensor, ResetReport) {
    let mut report = ResetReport {
        num_features: points.size()[0],
        num_clustered: points.size()[0],
        num_passes: 0,
        mean_cosine: 0.0,
        smallest: 0,
        largest: 0,
        num_reseeded: 0,
    };
    let mut before: Option<Tensor> = None;
    for _ in 0..passes {
        let (cosines, nearest) = assign(points, &centroids);
        let sums = centroids.zeros_like().index_add(0, &nearest, points);
        let counts = Tensor::zeros([centroids.size()[0]], (Kind::Int64, points.device()))
            .index_add(0, &nearest, &nearest.ones_like());
        let distances = Tensor::zeros([centroids.size()[0]], (Kind::Float, points.device()))
            .index_add(0, &nearest, &(-&cosines + 1.0));
        // An empty cluster keeps its place until it is seeded anew below.
        centroids = normalize(&sums).where_self(&counts.gt(0).unsqueeze(1), &centroids);

        let counts = Vec::<i64>::try_from(counts).expect("counts are a vector of 64-bit integers");
        let distances = Vec::<f32>::try_from(distances).expect("distances are a vector of floats");
        report.num_passes += 1;
        report.mean_cosine = cosines.mean(Kind::Double).double_value(&[]);
        report.smallest = counts.iter().copied().min().unwrap_or(0);
        report.largest = counts.iter().copied().max().unwrap_or(0);
        report.num_reseeded += split_largest(&mut centroids, &counts, &distances, draw);

        if report.smallest > 0 && before.as_ref().is_some_and(|before| before.equal(&nearest)) {
            break;
        }
        before = Some(nearest);
    }
    (centroids, report)
}

/// Cosine to and index of the nearest centroid of every point.
fn assign(points: &Tensor, centroids: &Tensor) -> (Tensor, Tensor) {
    let rows = (BLOCK_ELEMENTS / centroids.size()[0]).max(1);
    let (cosines, nearest): (Vec<_>, Vec<_>) = points
        .split(rows, 0)
        .iter()
        .map(|block| block.matmul(&centroids.tr()).max_dim(-1, false))
        .unzip();
    (Tensor::cat(&cosines, 0), Tensor::cat(&nearest, 0))
}

/// Puts every empty centroid a small random step beside the centroid whose members are the furthest from it in
/// total (by their number alone, a large cluster of equal points would be split for ever), which it then shares with
/// it. Returns how many there were.
fn split_largest(
    centroids: &mut Tensor,
    counts: &[i64],
    distances: &[f32],
    draw: &mut Draw,
) -> i64 {
    let empty: Vec<i64> = (0..).zip(counts).filter(|(_, n)| **n == 0).map(|(k, _)| k).collect();
    if empty.is_empty() {
        return 0;
    }
    // Ties go to the lower number, so that the choice is the same everywhere. Whole numbers, to be ordered.
    let mut heap: BinaryHeap<(i64, Reverse<i64>)> = (0..)
        .zip(distances)
        .map(|(k, &distance)| ((f64::from(distance) * 1e9) as i64, Reverse(k)))
        .collect();
    let mut sources = Vec::with_capacity(empty.len());
    for &target in &empty {
        if let Some((distance, source)) = heap.pop() {
            sources.push(source.0);
            heap.push((distance / 2, source));
            heap.push((distance / 2, Reverse(target)));
        }
    }
    // A source may itself have been seeded in this round; it lies beside its own source, so that one serves.
    for position in 0..sources.len() {
        if let Ok(earlier) = empty.binary_search(&sources[position]) {
            sources[position] = sources[earlier];
        }
    }
    let device = centroids.device();
    let dim = centroids.size()[1];
    let steps = draw.normal(&[empty.len() as i64, dim], SPLIT_STEP / (dim as f64).sqrt());
    let seeds = centroids.index_select(0, &Tensor::from_slice(&sources).to_device(device))
        + steps.to_device(device);
    *centroids =
        centroids.index_copy(0, &Tensor::from_slice(&empty).to_device(device), &normalize(&seeds));
    empty.len() as i64
}

/// Greedy k-means++ as in scikit-learn: of 2 + ln K candidates per centroid, the one that leaves the least
/// distance. Nothing is read back from the device.
fn plus_plus(points: &Tensor, num_groups: i64, draw: &mut Draw) -> Tensor {
    let points = sample(points, num_groups.saturating_mul(START_POINTS_PER_GROUP), draw);
    let device = points.device();
    let total = points.size()[0];
    let num_candidates = 2 + (num_groups as f64).ln() as i64;

    let first = Tensor::from_slice(&[draw.below(total as u64) as i64]).to_device(device);
    let mut chosen = vec![points.index_select(0, &first)];
    let mut distances = away(&points, &chosen[0]).squeeze_dim(1);
    for _ in 1..num_groups {
        let cumulated = distances.cumsum(0, Kind::Double);
        let odds: Vec<f64> = (0..num_candidates).map(|_| draw.unit()).collect();
        let odds = Tensor::from_slice(&odds).to_device(device) * cumulated.narrow(0, total - 1, 1);
        let rows = odds
            .searchsorted(&cumulated, false, true, "right", None::<Tensor>)
            .clamp_max(total - 1);
        let candidates = points.index_select(0, &rows);
        let left = away(&points, &candidates).minimum(&distances.unsqueeze(1));
        let best = left.sum_dim_intlist([0i64].as_slice(), true, Kind::Double).argmin(-1, false);
        distances = left.index_select(1, &best).squeeze_dim(1);
        chosen.push(candidates.index_select(0, &best));
    }
    Tensor::cat(&chosen, 0)
}

/// Half the squared distance of unit vectors: `[n, d]` and `[m, d]` to `[n, m]`.
fn away(points: &Tensor, centroids: &Tensor) -> Tensor {
    let cosines = points.matmul(&centroids.tr());
    (1.0f64 - cosines).clamp_min(0.0)
}

#[cfg(test)]
mod tests;
