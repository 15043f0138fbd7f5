//! An encoder without heads and groups: for evaluation, fine-tuning and files that other programs read.

use std::collections::{HashMap, HashSet};

use tch::{Device, Kind, Tensor, no_grad};

use crate::config::EncoderConfig;
use crate::draw::{Domain, Draw};
use crate::encoder::Encoder;
use crate::error::ModelError;
use crate::guard::guard;
use crate::layers::Mode;
use crate::network::{Builder, Leaf, Network};
use crate::parameter::Parameter;

/// How classifiers are called in files of torchvision and timm. They are no part of an encoder.
const CLASSIFIERS: [&str; 4] = ["fc.", "head.", "heads.", "classifier."];
/// Parameter number of a classifier's weights: no network has as many.
const HEAD_NUMBER: u32 = u32::MAX;

/// An encoder alone.
#[derive(Debug)]
pub struct Backbone {
    config: EncoderConfig,
    device: Device,
    encoder: Encoder,
}

impl Backbone {
    /// The weights that a model of this seed begins with.
    ///
    /// # Errors
    /// [`ModelError::Config`]; [`ModelError::Torch`] where the device cannot be used.
    pub fn new(config: &EncoderConfig, seed: u64, device: Device) -> Result<Self, ModelError> {
        config.validate()?;
        let encoder = guard(|| Encoder::new(&mut Builder::online(seed, device), config))?;
        Ok(Self { config: config.clone(), device, encoder })
    }

    /// The settings that it was made with.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Where it lies.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Features `[B, F]` in evaluation mode, without gradient.
    pub fn encode(&self, images: &Tensor) -> Tensor {
        no_grad(|| self.encoder.forward(images, Mode::Eval))
    }

    /// Features `[B, F]` in training mode, with a graph behind them.
    pub fn forward_train(&self, images: &Tensor) -> Tensor {
        self.encoder.forward(images, Mode::Train)
    }

    /// The trained parameters, always in the same order; handles share the tensors.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.encoder.parameters("")
    }

    /// Weights and buffers under torchvision's or timm's names, without the classifier.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        self.encoder.state("")
    }

    /// Takes over the tensors of `state` whose names begin with `prefix`. Checks every name and shape before it
    /// changes anything.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn load_state(
        &mut self,
        state: &HashMap<String, Tensor>,
        prefix: &str,
    ) -> Result<(), ModelError> {
        self.encoder.check(prefix, state)?;
        self.encoder.load(prefix, state)
    }

    /// Takes over the tensors of a file of this or of another program, and gives the names that were left out: those of
    /// a classifier. Counters that the file lacks begin at 0. Nothing is changed where an error is given.
    ///
    /// # Errors
    /// A tensor is missing, has another shape, or belongs to another network: a larger one can hold all the tensors of
    /// a smaller.
    pub fn load_pretrained(
        &mut self,
        state: HashMap<String, Tensor>,
    ) -> Result<Vec<String>, ModelError> {
        load_pretrained(&self.encoder, state)
    }
}

/// [`Backbone::load_pretrained`] for any network.
pub(crate) fn load_pretrained(
    network: &dyn Network,
    mut state: HashMap<String, Tensor>,
) -> Result<Vec<String>, ModelError> {
    let mut names = HashSet::new();
    network.walk("", &mut |name, leaf| {
        if let Leaf::Counter(_) = leaf {
            state.entry(name.clone()).or_insert_with(|| Tensor::from(0i64));
        }
        names.insert(name);
    });
    network.check("", &state)?;
    let mut others: Vec<String> =
        state.keys().filter(|name| !names.contains(*name)).cloned().collect();
    others.sort_unstable();
    let is_classifier = |name: &String| CLASSIFIERS.iter().any(|part| name.starts_with(part));
    if let Some(name) = others.iter().find(|name| !is_classifier(name)) {
        return Err(ModelError::UnknownTensor { name: name.clone() });
    }
    network.load("", &state)?;
    Ok(others)
}

/// A linear classifier over features.
#[derive(Debug)]
pub struct LinearHead {
    weight: Tensor,
    bias: Tensor,
}

impl LinearHead {
    /// Weights drawn from a normal distribution of `std`, biases 0.
    ///
    /// # Errors
    /// [`ModelError::Torch`] where the device cannot be used.
    pub fn new(
        features: i64,
        classes: i64,
        std: f64,
        seed: u64,
        device: Device,
    ) -> Result<Self, ModelError> {
        guard(|| {
            let mut draw = Draw::new(seed, Domain::Weights, [HEAD_NUMBER, 0, 0, 0, 0]);
            let weight = draw.normal(&[classes, features], std).to_device(device);
            let bias = Tensor::zeros([classes], (Kind::Float, device));
            Self { weight: weight.set_requires_grad(true), bias: bias.set_requires_grad(true) }
        })
    }

    /// Logits `[B, classes]`.
    pub fn forward(&self, features: &Tensor) -> Tensor {
        features.linear(&self.weight, Some(&self.bias))
    }

    /// Weights and biases as `fc.weight` and `fc.bias`; decay is for both, as `torch.optim` does it.
    pub fn parameters(&self) -> Vec<Parameter> {
        [("fc.weight", &self.weight), ("fc.bias", &self.bias)]
            .map(|(name, tensor)| Parameter {
                name: name.to_owned(),
                tensor: tensor.shallow_clone(),
                decay: true,
            })
            .into()
    }

    /// Takes over saved weights. Changes nothing where an error is given.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<(), ModelError> {
        let parameters = self.parameters();
        for parameter in &parameters {
            crate::tensors::check(&parameter.tensor, state, &parameter.name)?;
        }
        for parameter in &parameters {
            crate::tensors::load(&parameter.tensor, state, &parameter.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Arch, Stem};
    use crate::golden::pattern;

    fn backbone(arch: Arch, seed: u64) -> Backbone {
        let config = EncoderConfig { arch, stem: Stem::Cifar, width: 4, ..Default::default() };
        Backbone::new(&config, seed, Device::Cpu).unwrap()
    }

    fn state(backbone: &Backbone) -> HashMap<String, Tensor> {
        backbone.state().into_iter().map(|(name, tensor)| (name, tensor.copy())).collect()
    }

    #[test]
    fn a_file_with_a_classifier_gives_the_encoder_and_names_what_is_left_out() {
        let (from, mut to) = (backbone(Arch::Resnet18, 1), backbone(Arch::Resnet18, 2));
        let mut file = state(&from);
        file.insert("fc.weight".to_owned(), Tensor::zeros([3, 32], (Kind::Float, Device::Cpu)));
        file.insert("fc.bias".to_owned(), Tensor::zeros([3], (Kind::Float, Device::Cpu)));
        file.remove("bn1.num_batches_tracked");
        assert_eq!(to.load_pretrained(file).unwrap(), ["fc.bias", "fc.weight"]);
        let images = pattern("images", &[2, 3, 16, 16]);
        assert_eq!(from.encode(&images), to.encode(&images));
    }

    #[test]
    fn files_of_other_networks_are_refused_and_change_nothing() {
        let mut to = backbone(Arch::Resnet18, 2);
        let before = state(&to);
        let mut refused = |file| to.load_pretrained(file).unwrap_err().to_string();
        // All tensors of a ResNet-18 are in a ResNet-34, with their shapes.
        let message = refused(state(&backbone(Arch::Resnet34, 1)));
        assert!(message.contains("layer1.2.bn1.bias"), "{message}");
        let message = refused(state(&backbone(Arch::Resnet50, 1)));
        assert!(message.contains("layer1.0.conv1.weight"), "{message}");
        assert!(message.contains("[4, 4, 1, 1]") && message.contains("[4, 4, 3, 3]"), "{message}");
        let mut file = state(&backbone(Arch::Resnet18, 1));
        file.remove("layer4.1.bn2.weight");
        assert!(refused(file).contains("layer4.1.bn2.weight"));
        assert_eq!(state(&to), before);
    }

    #[test]
    fn a_head_is_drawn_by_its_seed_and_loads_what_fits() {
        let head = |seed| LinearHead::new(6, 3, 0.01, seed, Device::Cpu).unwrap();
        let (first, mut second) = (head(1), head(2));
        let features = pattern("features", &[4, 6]);
        assert_eq!(first.forward(&features), head(1).forward(&features));
        assert_ne!(first.forward(&features), second.forward(&features));
        let saved = |head: &LinearHead| {
            head.parameters().into_iter().map(|p| (p.name, p.tensor.detach().copy())).collect()
        };
        second.load_state(&saved(&first)).unwrap();
        assert_eq!(first.forward(&features), second.forward(&features));
        let other = LinearHead::new(6, 4, 0.01, 1, Device::Cpu).unwrap();
        assert!(second.load_state(&saved(&other)).is_err());
    }
}
