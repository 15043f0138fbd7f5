//! What a run shows of its groups.

use serde::Serialize;
use tch::Tensor;

/// Tensors from which [`GroupStats::read`] computes the figures; making them costs nothing beyond the step.
#[derive(Debug)]
pub struct GroupStats {
    pub(crate) placeholder: Tensor,
}

/// Health of the groups at one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GroupFigures {
    /// exp(entropy) of this step's assignments: how many groups are in use, at most the members of the step.
    pub effective_groups: f64,
    /// The same over all assignments since the last reset.
    pub effective_groups_since_reset: f64,
    /// Share of this step's members in the largest group.
    pub largest_share: f64,
    /// Groups without a single member since the last reset.
    pub dead_groups: i64,
    /// Share of pairs of views of one picture whose online group is the momentum branch's group.
    pub agreement: f64,
    /// Standard deviation of the unit-length projections, averaged over dimensions; 1/sqrt(dim) is the best, 0
    /// is collapse.
    pub feature_std: f64,
    /// Mean length of the updated group features before they are renormalised.
    pub group_norm: f64,
}

impl GroupStats {
    /// Computes the figures. Reads from the device, so call it only when logging.
    pub fn read(&self) -> GroupFigures {
        let _ = &self.placeholder;
        todo!()
    }
}
