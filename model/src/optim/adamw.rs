//! Adam with decoupled weight decay, as `torch.optim.AdamW`.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::torch;

/// Settings of AdamW.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// Decay rates of the first and second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled decay, not for biases and norms.
    pub weight_decay: f64,
    /// Decay biases and norms, too.
    pub decay_norms_and_biases: bool,
    /// Longest gradient, all parameters taken as one vector; a longer one is scaled down. 0 is no limit.
    pub clip_grad_norm: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.05,
            decay_norms_and_biases: false,
            clip_grad_norm: 0.0,
        }
    }
}

impl AdamWConfig {
    /// Updates tensors that are all decayed, or all not. `step` counts from 1.
    pub(super) fn update(
        &self,
        weights: &[&Tensor],
        decayed: bool,
        [first, second]: [&[&Tensor]; 2],
        lr: f64,
        step: i64,
    ) {
        let decay = if decayed { self.weight_decay } else { 0.0 };
        torch::fused_adamw(weights, first, second, step, lr, self.betas, decay, self.eps);
    }
}
