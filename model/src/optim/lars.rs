//! LARS in the form of LARC without clipping, as SwAV uses it: the gradient plus decay is scaled so that at a
//! learning rate of 1 a step is `trust_coefficient` times as long as the weights; SGD with momentum follows.
//! Biases and norms are neither decayed nor scaled (SwAV's code scales them, too; most others do not).

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::torch;

/// Keeps the quotient finite; LARC's value.
const EPS: f64 = 1e-8;

/// Settings of LARS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LarsConfig {
    /// Share of the old direction that a step keeps.
    pub momentum: f64,
    /// L2 decay, not for biases and norms.
    pub weight_decay: f64,
    /// Length of a step over the length of the weights, at a learning rate of 1.
    pub trust_coefficient: f64,
    /// Decay and scale biases and norms, too.
    pub decay_norms_and_biases: bool,
    /// Longest gradient, all parameters taken as one vector; a longer one is scaled down. 0 is no limit.
    pub clip_grad_norm: f64,
}

impl Default for LarsConfig {
    fn default() -> Self {
        Self {
            momentum: 0.9,
            weight_decay: 1e-6,
            trust_coefficient: 0.001,
            decay_norms_and_biases: false,
            clip_grad_norm: 0.0,
        }
    }
}

impl LarsConfig {
    /// Updates tensors that are all decayed and adapted, or all not.
    pub(super) fn update(
        &self,
        weights: &[&Tensor],
        adapted: bool,
        directions: &[&Tensor],
        lr: f64,
    ) {
        if adapted {
            let rule = [self.weight_decay, self.trust_coefficient, EPS, self.momentum];
            torch::lars(weights, directions, rule, lr);
        } else {
            torch::fused_sgd(weights, directions, 0.0, self.momentum, lr);
        }
    }
}
