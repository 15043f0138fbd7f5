//! LARS in the form of LARC without clipping, as SwAV uses it: the gradient plus decay is scaled so that at a
//! learning rate of 1 a step is `trust_coefficient` times as long as the weights; SGD with momentum follows.
//! Biases and norms are neither decayed nor scaled (SwAV's code scales them, too; most others do not).

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::sgd::descend;

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
}

impl Default for LarsConfig {
    fn default() -> Self {
        Self { momentum: 0.9, weight_decay: 1e-6, trust_coefficient: 0.001 }
    }
}

impl LarsConfig {
    pub(super) fn update(
        &self,
        weights: &Tensor,
        gradient: &Tensor,
        adapt: bool,
        direction: &Tensor,
        lr: f64,
    ) {
        if !adapt {
            descend(weights, gradient, direction, self.momentum, lr);
            return;
        }
        let weight_norm = weights.norm();
        let gradient_norm = gradient.norm();
        let trust = &weight_norm * self.trust_coefficient
            / (&gradient_norm + &weight_norm * self.weight_decay + EPS);
        let scaled = (gradient + weights * self.weight_decay) * trust;
        // Where either length is 0 the gradient is taken as it is. Decided on the device: no read-back.
        let usable = weight_norm.ne(0.0).logical_and(&gradient_norm.ne(0.0));
        descend(weights, &scaled.where_self(&usable, gradient), direction, self.momentum, lr);
    }
}
