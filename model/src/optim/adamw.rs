//! Adam with decoupled weight decay, as `torch.optim.AdamW`.

use serde::{Deserialize, Serialize};
use tch::Tensor;

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
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.05 }
    }
}

impl AdamWConfig {
    /// `step` counts from 1.
    pub(super) fn update(
        &self,
        weights: &Tensor,
        gradient: &Tensor,
        decay: bool,
        moments: [&Tensor; 2],
        lr: f64,
        step: i64,
    ) {
        let [beta1, beta2] = self.betas;
        let [mut first, mut second] = moments.map(Tensor::shallow_clone);
        let mut weights = weights.shallow_clone();
        if decay {
            let _ = weights.g_mul_scalar_(1.0 - lr * self.weight_decay);
        }
        let _ = first.lerp_(gradient, 1.0 - beta1);
        let _ = second.g_mul_scalar_(beta2);
        let _ = second.g_add_(&(gradient.square() * (1.0 - beta2)));
        let correction1 = 1.0 - beta1.powf(step as f64);
        let correction2 = 1.0 - beta2.powf(step as f64);
        let scale = second.sqrt() / correction2.sqrt() + self.eps;
        let _ = weights.g_sub_(&(first / scale * (lr / correction1)));
    }
}
