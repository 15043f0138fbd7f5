//! Rows as they are stored.

use super::{Order, num_samples};
use crate::source::RowGroupInfo;

/// The stored order, the same in each epoch.
#[derive(Clone, Debug)]
pub struct Sequential {
    num_samples: u32,
}

impl Sequential {
    /// The order of the rows of `groups`.
    pub fn new(groups: &[RowGroupInfo]) -> Self {
        Self { num_samples: num_samples(groups) }
    }
}

impl Order for Sequential {
    fn fill(&self, _epoch: u32, samples: &mut Vec<u32>) {
        samples.clear();
        samples.extend(0..self.num_samples);
    }

    fn max_resident_groups(&self) -> u32 {
        1
    }
}
