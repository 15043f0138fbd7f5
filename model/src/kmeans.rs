//! Spherical k-means.

use serde::{Deserialize, Serialize};

/// How a group reset clusters the memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KMeansSettings {
    /// Passes of assigning and averaging.
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
    /// k-means++: each next centroid is drawn with odds proportional to its squared distance from the chosen ones.
    PlusPlus,
    /// Distinct random points.
    Random,
}
