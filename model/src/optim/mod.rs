//! Optimisers over plain tensors. libtorch's own cannot save their state through tch, so the moments are named
//! tensors here and go into a checkpoint like any other. All tensors of a kind are updated by one call of a fused
//! kernel.

mod adamw;
mod lars;
mod sgd;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tch::Tensor;

pub use adamw::AdamWConfig;
pub use lars::LarsConfig;
pub use sgd::SgdConfig;

use crate::error::ModelError;
use crate::parameter::{self, Parameter};
use crate::{tensors, torch};

const STEPS: &str = "num_steps";

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

impl OptimizerConfig {
    /// Checks every number.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming what is out of range.
    pub fn validate(&self) -> Result<(), ModelError> {
        let (rates, weight_decay, scale) = match self {
            Self::Sgd(sgd) => ([sgd.momentum, 0.0], sgd.weight_decay, 1.0),
            Self::Lars(lars) => ([lars.momentum, 0.0], lars.weight_decay, lars.trust_coefficient),
            Self::AdamW(adamw) => (adamw.betas, adamw.weight_decay, adamw.eps),
        };
        let reason = if rates.iter().any(|rate| !(0.0..1.0).contains(rate)) {
            format!("momentum and betas must lie in 0..1, got {rates:?}")
        } else if !(weight_decay >= 0.0 && weight_decay.is_finite()) {
            format!("weight_decay must be 0 or more, got {weight_decay}")
        } else if !(scale > 0.0 && scale.is_finite()) {
            format!("trust_coefficient and eps must be above 0, got {scale}")
        } else if self.clip_grad_norm().is_nan() || self.clip_grad_norm() < 0.0 {
            format!("clip_grad_norm must be 0 (off) or more, got {}", self.clip_grad_norm())
        } else {
            return Ok(());
        };
        Err(ModelError::Config { field: "optimizer", reason })
    }

    /// Longest gradient; 0 is no limit.
    fn clip_grad_norm(&self) -> f64 {
        match self {
            Self::Sgd(sgd) => sgd.clip_grad_norm,
            Self::Lars(lars) => lars.clip_grad_norm,
            Self::AdamW(adamw) => adamw.clip_grad_norm,
        }
    }

    /// Whether biases and norms are treated as weights are.
    fn decay_norms_and_biases(&self) -> bool {
        match self {
            Self::Sgd(sgd) => sgd.decay_norms_and_biases,
            Self::Lars(lars) => lars.decay_norms_and_biases,
            Self::AdamW(adamw) => adamw.decay_norms_and_biases,
        }
    }

    /// Names of the moments that each parameter has.
    fn moments(&self) -> &'static [&'static str] {
        match self {
            Self::Sgd(_) | Self::Lars(_) => &["momentum"],
            Self::AdamW(_) => &["exp_avg", "exp_avg_sq"],
        }
    }
}

/// An optimiser and its moments.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    slots: Vec<Slot>,
    num_steps: i64,
    /// Length of the last gradient before it was clipped; only with clipping.
    gradient_norm: Option<Tensor>,
}

/// The moments of one parameter, in the order of [`OptimizerConfig::moments`].
#[derive(Debug)]
struct Slot {
    name: String,
    moments: Vec<Tensor>,
}

impl Optimizer {
    /// Moments at zero for these parameters.
    ///
    /// # Errors
    /// [`ModelError::Config`] where a setting is out of range.
    pub fn new(config: &OptimizerConfig, parameters: &[Parameter]) -> Result<Self, ModelError> {
        config.validate()?;
        let slots = parameters
            .iter()
            .map(|parameter| Slot {
                name: parameter.name.clone(),
                moments: config
                    .moments()
                    .iter()
                    .map(|_| parameter.tensor.detach().zeros_like())
                    .collect(),
            })
            .collect();
        Ok(Self { config: config.clone(), slots, num_steps: 0, gradient_norm: None })
    }

    /// One update with learning rate `lr` from the gradients that hang on `parameters`. A parameter without a
    /// gradient stays as it is.
    ///
    /// # Panics
    /// Where `parameters` are not those it was made for, in the same order.
    pub fn step(&mut self, parameters: &[Parameter], lr: f64) {
        assert_eq!(parameters.len(), self.slots.len(), "the parameters it was made for");
        self.num_steps += 1;
        let most = self.config.clip_grad_norm();
        let all = with_gradient(parameters);
        if most > 0.0 && !all.is_empty() {
            let norm = torch::gradient_norm(&all);
            torch::clip_gradients(&all, &norm, most);
            self.gradient_norm = Some(norm);
        }
        let all_alike = self.config.decay_norms_and_biases();
        for decayed in [true, false] {
            let chosen: Vec<(&Parameter, &Slot)> = parameters
                .iter()
                .zip(&self.slots)
                .filter(|(parameter, _)| (parameter.decay || all_alike) == decayed)
                .filter(|(parameter, _)| parameter.tensor.grad().defined())
                .collect();
            if chosen.is_empty() {
                continue;
            }
            let weights: Vec<_> = chosen.iter().map(|(parameter, _)| &parameter.tensor).collect();
            let moments = |number: usize| -> Vec<&Tensor> {
                chosen.iter().map(|(_, slot)| &slot.moments[number]).collect()
            };
            match &self.config {
                OptimizerConfig::Sgd(sgd) => sgd.update(&weights, decayed, &moments(0), lr),
                OptimizerConfig::Lars(lars) => lars.update(&weights, decayed, &moments(0), lr),
                OptimizerConfig::AdamW(adamw) => {
                    let moments = [&*moments(0), &*moments(1)];
                    adamw.update(&weights, decayed, moments, lr, self.num_steps);
                }
            }
        }
    }

    /// Length of the gradient of the last step before clipping, all parameters taken as one vector; a scalar on the
    /// device. Valid until gradients are cleared.
    pub fn gradient_norm(&self, parameters: &[Parameter]) -> Tensor {
        match &self.gradient_norm {
            Some(norm) => norm.shallow_clone(),
            None => torch::gradient_norm(&with_gradient(parameters)),
        }
    }

    /// Takes the gradients away. The next backward pass then hands its own buffers over: no zeros are written and
    /// nothing is added to them.
    pub fn zero_grad(&self, parameters: &[Parameter]) {
        torch::drop_gradients(&parameter::tensors(parameters));
    }

    /// Moments by name, as `momentum.encoder.conv1.weight`, and the number of steps made (i64). Shares memory with
    /// the live ones: copy before the next step.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let mut all = vec![(STEPS.to_owned(), Tensor::from_slice(&[self.num_steps]))];
        self.walk(|name, moment| {
            all.push((name, moment.contiguous()));
            Ok(())
        })
        .expect("collecting does not fail");
        all
    }

    /// Takes over saved moments. Checks every name and shape before it changes anything.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<(), ModelError> {
        let num_steps = tensors::counter(state, STEPS)?;
        self.walk(|name, moment| tensors::check(moment, state, &name))?;
        self.walk(|name, moment| tensors::load(moment, state, &name))?;
        self.num_steps = num_steps;
        Ok(())
    }

    fn walk(
        &self,
        mut see: impl FnMut(String, &Tensor) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        for slot in &self.slots {
            for (kind, moment) in self.config.moments().iter().zip(&slot.moments) {
                see(format!("{kind}.{}", slot.name), moment)?;
            }
        }
        Ok(())
    }
}

fn with_gradient(parameters: &[Parameter]) -> Vec<&Tensor> {
    parameter::tensors(parameters).into_iter().filter(|tensor| tensor.grad().defined()).collect()
}

#[cfg(test)]
mod tests;
