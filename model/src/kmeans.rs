//! k-means over the feature memory, for the reset of the groups: spherical, or Euclidean as scikit-learn's.
//!
//! Both are one algorithm: a point goes to the centroid with the largest x.c - |c|^2 / 2, which for unit lengths is
//! the cosine but for a constant. They differ in whether points and centroids are scaled to unit length on the way.
//!
//! Distances are computed in blocks, so memory stays bounded whatever the number of features. Every random choice
//! is drawn on the host with the key (seed, step): a resumed run makes the same reset. Host and device meet once per
//! pass, to look for empty clusters.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

use crate::device::upload;
use crate::draw::{Domain, Draw};
use crate::error::ModelError;
use crate::groups::{block_rows, lengths, normalize};
use crate::stats::spread;

/// The k-means++ start looks at no more than this many features per group; the passes look at all.
const START_POINTS_PER_GROUP: i64 = 64;

/// Length of the random step by which a copy of the largest cluster's centroid leaves it, over that centroid's.
const SPLIT_STEP: f64 = 0.05;

/// How a group reset clusters the memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KMeansSettings {
    /// What is near.
    pub distance: KMeansDistance,
    /// Most passes of assigning and averaging; fewer where nothing changes any more.
    pub passes: u32,
    /// Ends the passes where the centroids moved by less: sum of their squared moves, over the mean variance of a
    /// dimension (scikit-learn's rule). 0 goes on until no point changes its cluster.
    pub tolerance: f64,
    /// At most this many features per group are drawn from the memory.
    pub max_points_per_group: i64,
    /// Where the centroids start.
    pub init: KMeansInit,
}

impl Default for KMeansSettings {
    fn default() -> Self {
        Self {
            distance: KMeansDistance::Spherical,
            passes: 20,
            tolerance: 1e-4,
            max_points_per_group: 256,
            init: KMeansInit::PlusPlus,
        }
    }
}

/// What a k-means measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KMeansDistance {
    /// Angles: features and centroids are scaled to unit length.
    Spherical,
    /// Distances between the features as they are; only the groups made from the centroids are scaled to unit length.
    Euclidean,
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
    /// Sum of the squared distances between the features and the centroids that they were assigned to in the last
    /// pass; with spherical distance, between those of unit length.
    pub inertia: f64,
    /// Share of the clustered features that tells them apart: their variance over their mean squared length.
    pub feature_spread: f64,
    /// Mean cosine between a feature and the new centroid of its cluster.
    pub mean_cosine: f64,
    /// Members of the smallest cluster in the last pass.
    pub smallest: i64,
    /// Members of the largest cluster in the last pass.
    pub largest: i64,
    /// Centroids that had run empty and were seeded anew, over all passes.
    pub num_reseeded: i64,
}

/// Clusters `features` `[n, d]`: centroids `[num_groups, d]`, of unit length with spherical distance, and a report.
///
/// # Errors
/// [`ModelError::TooFewFeatures`], [`ModelError::NotFinite`], and [`ModelError::Config`] for settings below 1.
pub fn cluster(
    features: &Tensor,
    num_groups: i64,
    settings: &KMeansSettings,
    seed: u64,
    step: u64,
) -> Result<(Tensor, ResetReport), ModelError> {
    settings.validate()?;
    let num_features = features.size()[0];
    if num_features < num_groups || num_groups < 1 {
        return Err(ModelError::TooFewFeatures { num_features, num_groups });
    }
    let mut draw = Draw::new(seed, Domain::KMeans, [step as u32, (step >> 32) as u32, 0, 0, 0]);
    no_grad(|| {
        let most = num_groups.saturating_mul(settings.max_points_per_group);
        let points = settings.distance.points(&sample(features, most, &mut draw));
        if points.isfinite().all().int64_value(&[]) == 0 {
            return Err(ModelError::NotFinite { what: "the feature memory" });
        }
        let start = match settings.init {
            KMeansInit::PlusPlus => plus_plus(&points, num_groups, &mut draw),
            KMeansInit::Random => sample(&points, num_groups, &mut draw),
        };
        let (centroids, mut report) = lloyd(&points, start, settings, &mut draw);
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
    points.index_select(0, &upload(&Tensor::from_slice(&rows), points.device()))
}

/// Passes of assigning and averaging until nothing moves.
pub(crate) fn lloyd(
    points: &Tensor,
    mut centroids: Tensor,
    settings: &KMeansSettings,
    draw: &mut Draw,
) -> (Tensor, ResetReport) {
    let mut report = ResetReport {
        num_features: points.size()[0],
        num_clustered: points.size()[0],
        num_passes: 0,
        inertia: 0.0,
        feature_spread: spread(points).double_value(&[]),
        mean_cosine: 0.0,
        smallest: 0,
        largest: 0,
        num_reseeded: 0,
    };
    let num_groups = centroids.size()[0];
    let half_squares = settings.distance.half_squares(points);
    let least_move = settings.tolerance
        * points.var_dim([0i64].as_slice(), false, false).mean(Kind::Double).double_value(&[]);
    let mut nearest = Tensor::new();
    for pass in 0..settings.passes {
        let (scores, assigned) = settings.distance.assign(points, &centroids);
        let costs = (&half_squares - scores).clamp_min(0.0);
        let rows = assigned.unsqueeze(1).expand_as(points);
        let sums = centroids.zeros_like().scatter_add(0, &rows, points);
        let counts = assigned.bincount(None::<&Tensor>, num_groups);
        let costs_of = Tensor::zeros([num_groups], (points.kind(), points.device()))
            .scatter_add(0, &assigned, &costs);
        let means = settings.distance.means(&sums, &counts);
        // An empty cluster keeps its place until it is seeded anew below.
        let means = means.where_self(&counts.gt(0).unsqueeze(1), &centroids);
        let moved = (&means - &centroids).square().sum(Kind::Double).double_value(&[]);
        centroids = means;

        let counts = Vec::<i64>::try_from(counts).expect("counts are a vector of 64-bit integers");
        let costs_of =
            Vec::<f64>::try_from(costs_of.to_kind(Kind::Double)).expect("costs are a vector");
        report.num_passes += 1;
        report.inertia = 2.0 * costs_of.iter().sum::<f64>();
        report.smallest = counts.iter().copied().min().unwrap_or(0);
        report.largest = counts.iter().copied().max().unwrap_or(0);
        report.num_reseeded +=
            split_largest(&mut centroids, &counts, &costs_of, settings.distance, draw);

        let settled = pass > 0 && (moved <= least_move || nearest.equal(&assigned));
        nearest = assigned;
        if settled && report.smallest > 0 {
            break;
        }
    }
    let directions = normalize(&centroids);
    let cosines = (normalize(points) * directions.index_select(0, &nearest)).sum(Kind::Double);
    report.mean_cosine = cosines.double_value(&[]) / report.num_clustered as f64;
    (centroids, report)
}

impl KMeansSettings {
    /// Checks every number.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming what is out of range.
    pub fn validate(&self) -> Result<(), ModelError> {
        let reason = if self.passes < 1 || self.max_points_per_group < 1 {
            "passes and max_points_per_group must be at least 1"
        } else if !(self.tolerance >= 0.0 && self.tolerance.is_finite()) {
            "tolerance must be 0 or more"
        } else {
            return Ok(());
        };
        Err(ModelError::Config { field: "kmeans", reason: reason.to_owned() })
    }
}

impl KMeansDistance {
    /// The features as they are clustered.
    pub(crate) fn points(self, features: &Tensor) -> Tensor {
        match self {
            Self::Spherical => normalize(features),
            Self::Euclidean => features.shallow_clone(),
        }
    }

    /// What a score is subtracted from to give half the squared distance: `[n]`, or `[]` where all are equal.
    fn half_squares(self, points: &Tensor) -> Tensor {
        match self {
            Self::Spherical => Tensor::from(1.0).to_kind(points.kind()).to_device(points.device()),
            Self::Euclidean => half_squares(points),
        }
    }

    /// Score of and index of the nearest centroid of every point.
    fn assign(self, points: &Tensor, centroids: &Tensor) -> (Tensor, Tensor) {
        let rows = block_rows(centroids.size()[0], points.device());
        let offsets = (self == Self::Euclidean).then(|| -half_squares(centroids));
        let (scores, nearest): (Vec<_>, Vec<_>) = points
            .split(rows, 0)
            .iter()
            .map(|block| block.linear(centroids, offsets.as_ref()).max_dim(-1, false))
            .unzip();
        (Tensor::cat(&scores, 0), Tensor::cat(&nearest, 0))
    }

    /// Centroids of clusters from the sums of their members.
    fn means(self, sums: &Tensor, counts: &Tensor) -> Tensor {
        match self {
            Self::Spherical => normalize(sums),
            Self::Euclidean => sums / counts.clamp_min(1).to_kind(sums.kind()).unsqueeze(1),
        }
    }
}

fn half_squares(x: &Tensor) -> Tensor {
    x.square().sum_dim_intlist([-1i64].as_slice(), false, x.kind()) * 0.5
}

/// Puts every empty centroid a small random step beside the centroid whose members are the furthest from it in
/// total (by their number alone, a large cluster of equal points would be split for ever), which it then shares with
/// it. Returns how many there were.
fn split_largest(
    centroids: &mut Tensor,
    counts: &[i64],
    costs: &[f64],
    distance: KMeansDistance,
    draw: &mut Draw,
) -> i64 {
    let empty: Vec<i64> = (0..).zip(counts).filter(|(_, n)| **n == 0).map(|(k, _)| k).collect();
    if empty.is_empty() {
        return 0;
    }
    // Ties go to the lower number, so that the choice is the same everywhere. Whole numbers, to be ordered.
    let mut heap: BinaryHeap<(i64, Reverse<i64>)> =
        (0..).zip(costs).map(|(k, &cost)| ((cost * 1e9) as i64, Reverse(k))).collect();
    let mut sources = Vec::with_capacity(empty.len());
    for &target in &empty {
        if let Some((cost, source)) = heap.pop() {
            sources.push(source.0);
            heap.push((cost / 2, source));
            heap.push((cost / 2, Reverse(target)));
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
    let seeds = centroids.index_select(0, &upload(&Tensor::from_slice(&sources), device));
    let steps = upload(&steps, device).to_kind(seeds.kind()) * lengths(&seeds).unsqueeze(1);
    let seeds = distance.points(&(seeds + steps));
    *centroids = centroids.index_copy(0, &upload(&Tensor::from_slice(&empty), device), &seeds);
    empty.len() as i64
}

/// Greedy k-means++ as in scikit-learn: of 2 + ln K candidates per centroid, the one that leaves the least
/// distance. The host does not wait for the device.
fn plus_plus(points: &Tensor, num_groups: i64, draw: &mut Draw) -> Tensor {
    let points = sample(points, num_groups.saturating_mul(START_POINTS_PER_GROUP), draw);
    let device = points.device();
    let total = points.size()[0];
    let num_candidates = 2 + (num_groups as f64).ln() as i64;

    let squares = half_squares(&points);
    // Half the squared distances of all points from each of `centroids`, a row for each.
    let away = |centroids: &Tensor| {
        let products = centroids.matmul(&points.tr());
        (half_squares(centroids).unsqueeze(1) + &squares - products).clamp_min(0.0)
    };
    let first = upload(&Tensor::from_slice(&[draw.below(total as u64) as i64]), device);
    let mut chosen = vec![points.index_select(0, &first)];
    let mut distances = away(&chosen[0]).squeeze_dim(0);
    for _ in 1..num_groups {
        let cumulated = distances.cumsum(0, Kind::Double);
        let odds: Vec<f64> = (0..num_candidates).map(|_| draw.unit()).collect();
        let odds = upload(&Tensor::from_slice(&odds), device) * cumulated.narrow(0, total - 1, 1);
        let rows = odds
            .searchsorted(&cumulated, false, true, "right", None::<Tensor>)
            .clamp_max(total - 1);
        let candidates = points.index_select(0, &rows);
        let left = away(&candidates).minimum(&distances);
        let best = left.sum_dim_intlist([1i64].as_slice(), false, Kind::Double).argmin(-1, true);
        distances = left.index_select(0, &best).squeeze_dim(0);
        chosen.push(candidates.index_select(0, &best));
    }
    Tensor::cat(&chosen, 0)
}

#[cfg(test)]
mod tests;
