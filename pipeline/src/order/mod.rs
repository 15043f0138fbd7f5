//! The sampler: which sample stands at which position.
//!
//! An epoch's order is an array of sample numbers, made ahead of time as a pure function of (seed, epoch).
//! That costs 4 bytes a sample and turns everything behind it into look-ups: resuming is one of them, and
//! reading becomes a schedule ([`crate::fetch`]). For the 1.28 million images of ImageNet-1k the array
//! takes 5 MB and its making a quarter of a second and 20 MB for the time of the sort, in the reader's
//! thread, ahead of need.

mod positions;
mod quality;
mod sequential;
mod settings;
#[cfg(test)]
mod tests;
mod window;

use std::fmt;

pub use positions::{Position, Positions};
pub use quality::{ShuffleQuality, shuffle_quality};
pub use sequential::Sequential;
pub use settings::OrderSettings;
pub use window::{Full, Windowed};

use crate::sample::SampleId;
use crate::source::RowGroupInfo;

/// A way of ordering the samples of a data set within an epoch.
pub trait Order: Send + Sync + fmt::Debug {
    /// Writes the order of `epoch` to `samples`, a permutation of all sample numbers; what the buffer held
    /// is discarded. A pure function of `self` and `epoch`.
    fn fill(&self, epoch: u32, samples: &mut Vec<u32>);

    /// Most row groups of which some, but not all, rows may have been shown at any position.
    fn max_resident_groups(&self) -> u32;

    /// The order of one epoch.
    fn epoch(&self, epoch: u32) -> EpochOrder {
        let mut samples = Vec::new();
        self.fill(epoch, &mut samples);
        EpochOrder { epoch, samples }
    }
}

/// The order of one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochOrder {
    /// Which epoch.
    pub epoch: u32,
    /// Sample number by position.
    pub samples: Vec<u32>,
}

impl EpochOrder {
    /// The sample at `position` of the epoch.
    pub fn sample_at(&self, position: u32) -> SampleId {
        SampleId(self.samples[position as usize])
    }
}

/// The order that `settings` name for a data set with these row groups.
pub fn order(settings: OrderSettings, groups: &[RowGroupInfo], seed: u64) -> Box<dyn Order> {
    let num_groups = groups.len() as u32;
    match settings {
        OrderSettings::Sequential => Box::new(Sequential::new(groups)),
        OrderSettings::Window { row_groups } if row_groups < num_groups => {
            Box::new(Windowed::new(groups, row_groups, seed))
        }
        OrderSettings::Full | OrderSettings::Window { .. } => Box::new(Full::new(groups, seed)),
    }
}

/// Row numbers that follow those of `groups`: the number of samples.
fn num_samples(groups: &[RowGroupInfo]) -> u32 {
    groups.last().map_or(0, |last| last.first_sample.0 + last.rows)
}
