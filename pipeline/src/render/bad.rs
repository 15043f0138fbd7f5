//! Samples that cannot be decoded: how many are borne before the run stops.

use serde::{Deserialize, Serialize};

/// How many undecodable samples are replaced by others before the run stops.
///
/// A sample is bad where the reference CPU decoder refuses it, so every renderer agrees on which are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BadSamplePolicy {
    /// The limit.
    pub max: BadSampleLimit,
    /// A rate is judged only after so many samples, lest one early bad file count as 100%.
    #[serde(default = "probation")]
    pub probation_samples: u64,
}

fn probation() -> u64 {
    BadSamplePolicy::DEFAULT_PROBATION_SAMPLES
}

/// The limit of a [`BadSamplePolicy`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadSampleLimit {
    /// So many different samples; 0 stops at the first.
    Count(u64),
    /// This share of all samples shown since the stream was opened, 0 to 1.
    Rate(f64),
}

impl BadSamplePolicy {
    /// Samples shown before a rate is judged.
    pub const DEFAULT_PROBATION_SAMPLES: u64 = 500;

    /// Stops at the first bad sample.
    pub const FAIL: Self = Self { max: BadSampleLimit::Count(0), probation_samples: 0 };
}

impl Default for BadSamplePolicy {
    /// One in a hundred, judged after 500 samples.
    fn default() -> Self {
        Self { max: BadSampleLimit::Rate(0.01), probation_samples: Self::DEFAULT_PROBATION_SAMPLES }
    }
}
