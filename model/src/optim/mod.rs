//! Optimisers over plain tensors, with their moments as named tensors.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::ModelError;
use crate::parameter::Parameter;

/// Which optimiser, with its settings: `kind = "sgd" | "lars" | "adamw"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum OptimizerConfig {
    /// Stochastic gradient descent with momentum.
    Sgd(SgdConfig),
    /// SGD with layer-wise adapted rates.
    Lars(LarsConfig),
    /// Adam with decoupled weight decay.
    AdamW(AdamWConfig),
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::Sgd(SgdConfig::default())
    }
}

/// Settings of SGD.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SgdConfig {
    /// Share of the old direction that a step keeps.
    pub momentum: f64,
    /// L2 decay, not for biases and norms.
    pub weight_decay: f64,
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self { momentum: 0.9, weight_decay: 5e-4 }
    }
}

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

/// An optimiser and its moments.
#[derive(Debug)]
pub struct Optimizer {}

impl Optimizer {
    /// Moments at zero for these parameters.
    ///
    /// # Errors
    /// [`ModelError::Config`] where a setting is out of range.
    pub fn new(config: &OptimizerConfig, parameters: &[Parameter]) -> Result<Self, ModelError> {
        let _ = (config, parameters);
        todo!()
    }

    /// One update with learning rate `lr` from the gradients that hang on `parameters`, which must be those it was
    /// made for, in the same order.
    pub fn step(&mut self, parameters: &[Parameter], lr: f64) {
        let _ = (parameters, lr);
        todo!()
    }

    /// Clears the gradients.
    pub fn zero_grad(&self, parameters: &[Parameter]) {
        let _ = parameters;
        todo!()
    }

    /// Moments by name, as `momentum.encoder.conv1.weight`; shares memory with the live ones.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        todo!()
    }

    /// Takes over saved moments.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<(), ModelError> {
        let _ = state;
        todo!()
    }
}
