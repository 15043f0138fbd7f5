//! Samples that cannot be decoded: how many are borne before the run stops.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::codec::CodecError;
use crate::runtime::FailureCause;
use crate::sample::SampleId;

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

impl fmt::Display for BadSamplePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.max {
            BadSampleLimit::Count(count) => write!(f, "{count} different samples"),
            BadSampleLimit::Rate(rate) => {
                write!(f, "{}% after the first {}", rate * 100.0, self.probation_samples)
            }
        }
    }
}

/// At most one warning in this time; what was left out is counted in the next one.
const WARN_EVERY: Duration = Duration::from_secs(1);

/// Counts bad samples over all workers. Good samples cost one relaxed addition; the lock is taken for bad
/// ones only.
#[derive(Debug)]
pub struct BadSamples {
    policy: BadSamplePolicy,
    shown: AtomicU64,
    refused: Mutex<Refused>,
}

#[derive(Debug, Default)]
struct Refused {
    /// Refusals, repetitions included.
    total: u64,
    /// Different samples that were refused; kept only where these are what is limited.
    samples: HashSet<SampleId>,
    by_kind: BTreeMap<&'static str, u64>,
    last_warning: Option<Instant>,
    unreported: u64,
}

impl BadSamples {
    /// Counters under `policy`.
    pub fn new(policy: BadSamplePolicy) -> Self {
        Self { policy, shown: AtomicU64::new(0), refused: Mutex::default() }
    }

    /// Counts a sample that was shown.
    pub fn shown(&self) {
        self.shown.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a sample that the decoder refused, and warns of it, though not too often.
    ///
    /// # Errors
    /// If there are now more bad samples than the policy bears.
    pub fn refused(
        &self,
        sample: SampleId,
        path: &str,
        reason: &CodecError,
    ) -> Result<(), FailureCause> {
        let shown = self.shown.load(Ordering::Relaxed);
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.total += 1;
        *refused.by_kind.entry(reason.kind()).or_default() += 1;
        let (bad, over) = match self.policy.max {
            BadSampleLimit::Count(limit) => {
                refused.samples.insert(sample);
                let bad = refused.samples.len() as u64;
                (bad, bad > limit)
            }
            BadSampleLimit::Rate(rate) => {
                let met = shown + refused.total;
                let over = refused.total as f64 > rate * met as f64;
                (refused.total, over && met > self.policy.probation_samples)
            }
        };
        if over {
            return Err(FailureCause::BadSamples {
                bad,
                shown: shown + refused.total,
                limit: self.policy.to_string(),
                path: path.to_owned(),
                reason: reason.to_string(),
            });
        }
        if refused.last_warning.is_none_or(|last| last.elapsed() >= WARN_EVERY) {
            refused.last_warning = Some(Instant::now());
            let unreported = std::mem::take(&mut refused.unreported);
            drop(refused);
            tracing::warn!(path, %reason, bad, unreported, "bad sample replaced by another");
        } else {
            refused.unreported += 1;
        }
        Ok(())
    }

    /// Refusals by kind.
    pub fn by_kind(&self) -> Vec<(&'static str, u64)> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.by_kind.iter().map(|(&kind, &count)| (kind, count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damaged() -> CodecError {
        CodecError::Damaged { what: "cut off".into() }
    }

    #[test]
    fn a_count_is_of_different_samples() {
        let bad = BadSamples::new(BadSamplePolicy {
            max: BadSampleLimit::Count(2),
            probation_samples: 0,
        });
        for sample in [1, 2, 1, 2, 2] {
            bad.refused(SampleId(sample), "a.jpg", &damaged()).expect("two are allowed");
        }
        let error = bad.refused(SampleId(3), "b.jpg", &damaged()).expect_err("three are not");
        assert_eq!(
            error.to_string(),
            "3 of 6 samples cannot be decoded, the limit is 2 different samples; \
             the last was b.jpg: damaged image: cut off"
        );
        assert_eq!(bad.by_kind(), [("damaged", 6)]);
    }

    #[test]
    fn a_rate_is_not_judged_during_probation() {
        let policy = BadSamplePolicy { max: BadSampleLimit::Rate(0.1), probation_samples: 100 };
        let bad = BadSamples::new(policy);
        for sample in 0..100 {
            bad.refused(SampleId(sample), "a.jpg", &damaged()).expect("on probation");
        }
        bad.refused(SampleId(100), "a.jpg", &damaged()).expect_err("all of 101 are bad");

        let mostly_good = BadSamples::new(policy);
        (0..1000).for_each(|_| mostly_good.shown());
        mostly_good.refused(SampleId(0), "a.jpg", &damaged()).expect("one in a thousand");
    }

    #[test]
    fn the_strict_policy_stops_at_the_first() {
        let bad = BadSamples::new(BadSamplePolicy::FAIL);
        bad.refused(SampleId(0), "a.jpg", &damaged()).expect_err("none is allowed");
    }
}
