//! SGD with momentum, as `torch.optim.SGD` (no dampening, no Nesterov).

use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Settings of SGD.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SgdConfig {
    /// Share of the old direction that a step keeps.
    pub momentum: f64,
    /// L2 decay, not for biases and norms.
    pub weight_decay: f64,
    /// Decay biases and norms, too, as plain `torch.optim.SGD(model.parameters())` does.
    pub decay_norms_and_biases: bool,
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self { momentum: 0.9, weight_decay: 5e-4, decay_norms_and_biases: false }
    }
}

impl SgdConfig {
    pub(super) fn update(
        &self,
        weights: &Tensor,
        gradient: &Tensor,
        decay: bool,
        direction: &Tensor,
        lr: f64,
    ) {
        if (decay || self.decay_norms_and_biases) && self.weight_decay != 0.0 {
            let decayed = gradient + weights * self.weight_decay;
            descend(weights, &decayed, direction, self.momentum, lr);
        } else {
            descend(weights, gradient, direction, self.momentum, lr);
        }
    }
}

/// `direction = momentum * direction + gradient; weights -= lr * direction`, in place.
pub(super) fn descend(
    weights: &Tensor,
    gradient: &Tensor,
    direction: &Tensor,
    momentum: f64,
    lr: f64,
) {
    let mut direction = direction.shallow_clone();
    let _ = direction.g_mul_scalar_(momentum);
    let _ = direction.g_add_(gradient);
    let _ = weights.shallow_clone().g_sub_(&(direction * lr));
}
