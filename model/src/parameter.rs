//! A trained tensor and its name.

use tch::Tensor;

/// One trained tensor. Handles share the tensor with the network that uses it.
#[derive(Debug)]
pub struct Parameter {
    /// Name within the model, as `encoder.layer1.0.conv1.weight`.
    pub name: String,
    /// The values; the gradient hangs on it after a backward pass.
    pub tensor: Tensor,
    /// Whether weight decay (and LARS adaptation) applies: not for biases and norms.
    pub decay: bool,
}

/// The tensors of all.
pub(crate) fn tensors(parameters: &[Parameter]) -> Vec<&Tensor> {
    parameters.iter().map(|parameter| &parameter.tensor).collect()
}
