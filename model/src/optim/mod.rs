//! Optimisers over plain tensors. libtorch's own cannot save their state through tch, so the moments are named
//! tensors here and go into a checkpoint like any other.

mod adamw;
mod lars;
mod sgd;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tch::{Tensor, no_grad};

pub use adamw::AdamWConfig;
pub use lars::LarsConfig;
pub use sgd::SgdConfig;

use crate::error::ModelError;
use crate::parameter::Parameter;
use crate::tensors;

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
        } else {
            return Ok(());
        };
        Err(ModelError::Config { field: "optimizer", reason })
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
        Ok(Self { config: config.clone(), slots, num_steps: 0 })
    }

    /// One update with learning rate `lr` from the gradients that hang on `parameters`. A parameter without a
    /// gradient stays as it is.
    ///
    /// # Panics
    /// Where `parameters` are not those it was made for, in the same order.
    pub fn step(&mut self, parameters: &[Parameter], lr: f64) {
        assert_eq!(parameters.len(), self.slots.len(), "the parameters it was made for");
        self.num_steps += 1;
        no_grad(|| {
            for (parameter, slot) in parameters.iter().zip(&self.slots) {
                let gradient = parameter.tensor.grad();
                if !gradient.defined() {
                    continue;
                }
                let (weights, decay) = (&parameter.tensor, parameter.decay);
                match (&self.config, slot.moments.as_slice()) {
                    (OptimizerConfig::Sgd(sgd), [direction]) => {
                        sgd.update(weights, &gradient, decay, direction, lr);
                    }
                    (OptimizerConfig::Lars(lars), [direction]) => {
                        lars.update(weights, &gradient, decay, direction, lr);
                    }
                    (OptimizerConfig::AdamW(adamw), [first, second]) => {
                        let moments = [first, second];
                        adamw.update(weights, &gradient, decay, moments, lr, self.num_steps);
                    }
                    _ => unreachable!("`new` makes as many moments as the rule has"),
                }
            }
        });
    }

    /// Clears the gradients.
    pub fn zero_grad(&self, parameters: &[Parameter]) {
        for parameter in parameters {
            parameter.tensor.shallow_clone().zero_grad();
        }
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

#[cfg(test)]
mod tests;
