//! SGD with momentum, as `torch.optim.SGD` (no dampening, no Nesterov).

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::torch;

/// Settings of SGD.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SgdConfig {
    /// Share of the old direction that a step keeps.
    pub momentum: f64,
    /// L2 decay, not for biases and norms.
    pub weight_decay: f64,
    /// Decay biases and norms, too.
    pub decay_norms_and_biases: bool,
    /// Longest gradient, all parameters taken as one vector; a longer one is scaled down. 0 is no limit.
    pub clip_grad_norm: f64,
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self {
            momentum: 0.9,
            weight_decay: 5e-4,
            decay_norms_and_biases: false,
            clip_grad_norm: 0.0,
        }
    }
}

impl SgdConfig {
    /// Updates tensors that are all decayed, or all not.
    pub(super) fn update(
        &self,
        weights: &[&Tensor],
        decayed: bool,
        directions: &[&Tensor],
        lr: f64,
    ) {
        let decay = if decayed { self.weight_decay } else { 0.0 };
        torch::fused_sgd(weights, directions, decay, self.momentum, lr);
    }
}
