//! How a network hands out its tensors: one walk serves parameters, saving, loading and copying.

use std::cell::Cell;
use std::collections::HashMap;

use tch::{Device, Kind, Tensor};

use crate::draw::{Domain, Draw};
use crate::error::ModelError;
use crate::parameter::{self, Parameter};
use crate::{tensors, torch};

/// One thing a network keeps.
pub(crate) enum Leaf<'a> {
    /// Trained by the optimiser; `decay` is false for biases and norms.
    Parameter { tensor: &'a Tensor, decay: bool },
    /// Running statistics, and indices where PyTorch saves them.
    Buffer(&'a Tensor),
    /// `num_batches_tracked`: kept on the host, so that counting costs no kernel.
    Counter(&'a Cell<i64>),
}

/// A network, or a part of one. Names are those of the same network in PyTorch.
pub(crate) trait Network {
    /// Calls `see` with the full name of every leaf below `prefix` (empty or ending in a dot), in PyTorch's order.
    fn walk(&self, prefix: &str, see: &mut dyn FnMut(String, Leaf<'_>));

    /// The trained parameters; handles share the tensors.
    fn parameters(&self, prefix: &str) -> Vec<Parameter> {
        let mut all = Vec::new();
        self.walk(prefix, &mut |name, leaf| {
            if let Leaf::Parameter { tensor, decay } = leaf {
                all.push(Parameter { name, tensor: tensor.shallow_clone(), decay });
            }
        });
        all
    }

    /// Everything that is saved; shares memory with the live tensors wherever they are contiguous.
    fn state(&self, prefix: &str) -> Vec<(String, Tensor)> {
        let mut all = Vec::new();
        self.walk(prefix, &mut |name, leaf| {
            let tensor = match leaf {
                Leaf::Parameter { tensor, .. } | Leaf::Buffer(tensor) => {
                    tensor.detach().contiguous()
                }
                Leaf::Counter(count) => Tensor::from(count.get()),
            };
            all.push((name, tensor));
        });
        all
    }

    /// Checks that `state` holds everything [`Network::load`] needs.
    fn check(&self, prefix: &str, state: &HashMap<String, Tensor>) -> Result<(), ModelError> {
        self.try_walk(prefix, &mut |name, leaf| match leaf {
            Leaf::Parameter { tensor, .. } | Leaf::Buffer(tensor) => {
                tensors::check(tensor, state, name)
            }
            Leaf::Counter(_) => tensors::counter(state, name).map(|_| ()),
        })
    }

    /// Copies a saved state into the live tensors.
    fn load(&self, prefix: &str, state: &HashMap<String, Tensor>) -> Result<(), ModelError> {
        self.try_walk(prefix, &mut |name, leaf| match leaf {
            Leaf::Parameter { tensor, .. } | Leaf::Buffer(tensor) => {
                tensors::load(tensor, state, name)
            }
            Leaf::Counter(count) => {
                count.set(tensors::counter(state, name)?);
                Ok(())
            }
        })
    }

    /// A walk that stops at the first error.
    fn try_walk(
        &self,
        prefix: &str,
        see: &mut dyn FnMut(&str, Leaf<'_>) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        let mut result = Ok(());
        self.walk(prefix, &mut |name, leaf| {
            if result.is_ok() {
                result = see(&name, leaf);
            }
        });
        result
    }
}

/// Makes the tensors of a network in the order in which it asks for them; parameter number n is drawn from its
/// own stream, so a change of one layer's size moves no other layer's weights.
pub(crate) struct Builder {
    seed: u64,
    device: Device,
    number: u32,
    trained: bool,
}

impl Builder {
    /// Weights drawn from `seed`, with gradients.
    pub(crate) fn online(seed: u64, device: Device) -> Self {
        Self { seed, device, number: 0, trained: true }
    }

    /// Zeros without gradients: a copy of the online network follows.
    pub(crate) fn momentum(device: Device) -> Self {
        Self { seed: 0, device, number: 0, trained: false }
    }

    /// Normal weights of a convolution, in the memory order that [`channels_last`] gives.
    pub(crate) fn kernel(&mut self, shape: &[i64; 4], std: f64) -> Tensor {
        self.parameter(shape, |draw| channels_last(&draw.normal(shape, std)))
    }

    /// Normal weights. PyTorch's `trunc_normal_` is the same where its bounds of -2 and 2 are many deviations away.
    pub(crate) fn normal(&mut self, shape: &[i64], std: f64) -> Tensor {
        self.parameter(shape, |draw| draw.normal(shape, std))
    }

    /// Uniform weights of a convolution, in the memory order that [`channels_last`] gives.
    pub(crate) fn uniform_kernel(&mut self, shape: &[i64; 4], bound: f64) -> Tensor {
        self.parameter(shape, |draw| channels_last(&draw.uniform(shape, bound)))
    }

    /// Uniform weights in `[-bound, bound)`.
    pub(crate) fn uniform(&mut self, shape: &[i64], bound: f64) -> Tensor {
        self.parameter(shape, |draw| draw.uniform(shape, bound))
    }

    /// A trained tensor of one value.
    pub(crate) fn constant(&mut self, shape: &[i64], value: f64) -> Tensor {
        self.parameter(shape, |_| Tensor::full(shape, value, (Kind::Float, Device::Cpu)))
    }

    /// A tensor of one value that is no parameter.
    pub(crate) fn buffer(&self, shape: &[i64], value: f64) -> Tensor {
        Tensor::full(shape, value, (Kind::Float, self.device))
    }

    /// Integers that are no parameter.
    pub(crate) fn indices(&self, values: &[i64]) -> Tensor {
        Tensor::from_slice(values).to_device(self.device)
    }

    fn parameter(&mut self, shape: &[i64], make: impl FnOnce(&mut Draw) -> Tensor) -> Tensor {
        let number = self.number;
        self.number += 1;
        if !self.trained {
            let zeros = Tensor::zeros(shape, (Kind::Float, self.device));
            return if shape.len() == 4 { channels_last(&zeros) } else { zeros };
        }
        let mut draw = Draw::new(self.seed, Domain::Weights, [number, 0, 0, 0, 0]);
        make(&mut draw).to_device(self.device).set_requires_grad(true)
    }
}

/// The same `[B, C, H, W]` with the channels of a pixel side by side in memory; no copy where they are already.
///
/// Convolutions and batch norms follow the order of their input and weights. On a CPU this one made a training
/// step of a residual network 1.1 to 1.6 times as fast; GPUs want it, too.
pub(crate) fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// Moves every parameter of `target` towards the one of `source`, keeping the share `keep` of the old value. `source`
/// may have more at its end: a predictor.
pub(crate) fn average_parameters(source: &[Parameter], target: &[Parameter], keep: f64) {
    torch::lerp(
        &parameter::tensors(target),
        &parameter::tensors(&source[..target.len()]),
        1.0 - keep,
    );
}
