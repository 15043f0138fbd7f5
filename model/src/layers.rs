//! Convolution, norms and linear layer with PyTorch's names, defaults and initial values.

use std::cell::Cell;

use tch::Tensor;

use crate::encoder::DropKey;
use crate::network::{Builder, Leaf, Network};

const BN_EPS: f64 = 1e-5;
const BN_MOMENTUM: f64 = 0.1;
/// Spread of a Transformer's initial weights, in timm and torchvision.
pub(crate) const TRANSFORMER_STD: f64 = 0.02;

/// How a network is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Batch norms use the batch's statistics and update the running ones.
    Train,
    /// As `Train`, and residual branches are dropped as this key draws it, where the encoder has drop path.
    Drop(DropKey),
    /// As `Drop`, once more for the same views: the running statistics have seen them and stay.
    Again(DropKey),
    /// Batch norms use the running statistics.
    Eval,
}

/// A square convolution without bias.
#[derive(Debug)]
pub(crate) struct Conv {
    weight: Tensor,
    stride: i64,
    padding: i64,
}

impl Conv {
    /// Kaiming normal over the outputs, as torchvision's residual networks; padding keeps the size at stride 1.
    pub(crate) fn new(
        builder: &mut Builder,
        inputs: i64,
        outputs: i64,
        kernel: i64,
        stride: i64,
    ) -> Self {
        let fan_out = outputs * kernel * kernel;
        let std = (2.0 / fan_out as f64).sqrt();
        let weight = builder.kernel(&[outputs, inputs, kernel, kernel], std);
        Self { weight, stride, padding: kernel / 2 }
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let convolve = |x: &Tensor, stride: i64| {
            let (stride, padding) = ([stride, stride], [self.padding, self.padding]);
            x.conv2d(&self.weight, None::<&Tensor>, stride, padding, [1, 1], 1)
        };
        if self.overruns_in_onednn() {
            let every = |x: &Tensor, dim: i64| x.slice(dim, None, None, self.stride);
            return convolve(&every(&every(x, 2), 3), 1);
        }
        convolve(x, self.stride)
    }

    /// Where the gradient of a 1x1 convolution with a stride is taken on a CPU, oneDNN (as in libtorch 2.11)
    /// writes past its workspace if there are fewer channels than a vector holds: wrong gradients or a crash
    /// (uxlfoundation/oneDNN#6035). Taking every `stride`-th pixel first is the same convolution.
    fn overruns_in_onednn(&self) -> bool {
        const AVX512_FLOATS: i64 = 16;
        let [_, inputs, kernel, _] = self.weight.size()[..] else { return false };
        kernel == 1 && self.stride > 1 && inputs < AVX512_FLOATS
    }
}

impl Network for Conv {
    fn walk(&self, prefix: &str, see: &mut dyn FnMut(String, Leaf<'_>)) {
        see(format!("{prefix}weight"), Leaf::Parameter { tensor: &self.weight, decay: true });
    }
}

/// Batch norm over `[B, C]` or `[B, C, H, W]`.
#[derive(Debug)]
pub(crate) struct BatchNorm {
    affine: Option<(Tensor, Tensor)>,
    running_mean: Tensor,
    running_var: Tensor,
    num_batches: Cell<i64>,
}

impl BatchNorm {
    pub(crate) fn new(builder: &mut Builder, channels: i64) -> Self {
        let affine = (builder.constant(&[channels], 1.0), builder.constant(&[channels], 0.0));
        Self { affine: Some(affine), ..Self::without_affine(builder, channels) }
    }

    /// Without scale and shift.
    pub(crate) fn without_affine(builder: &Builder, channels: i64) -> Self {
        Self {
            affine: None,
            running_mean: builder.buffer(&[channels], 0.0),
            running_var: builder.buffer(&[channels], 1.0),
            num_batches: Cell::new(0),
        }
    }

    pub(crate) fn forward(&self, x: &Tensor, mode: Mode) -> Tensor {
        let train = mode != Mode::Eval;
        let again = matches!(mode, Mode::Again(_));
        if train && !again {
            self.num_batches.set(self.num_batches.get() + 1);
        }
        let (weight, bias) = match &self.affine {
            Some((weight, bias)) => (Some(weight), Some(bias)),
            None => (None, None),
        };
        x.batch_norm(
            weight,
            bias,
            (!again).then_some(&self.running_mean),
            (!again).then_some(&self.running_var),
            train,
            BN_MOMENTUM,
            BN_EPS,
            true,
        )
    }
}

impl Network for BatchNorm {
    fn walk(&self, prefix: &str, see: &mut dyn FnMut(String, Leaf<'_>)) {
        if let Some((weight, bias)) = &self.affine {
            see(format!("{prefix}weight"), Leaf::Parameter { tensor: weight, decay: false });
            see(format!("{prefix}bias"), Leaf::Parameter { tensor: bias, decay: false });
        }
        see(format!("{prefix}running_mean"), Leaf::Buffer(&self.running_mean));
        see(format!("{prefix}running_var"), Leaf::Buffer(&self.running_var));
        see(format!("{prefix}num_batches_tracked"), Leaf::Counter(&self.num_batches));
    }
}

/// Layer norm over the last dimension.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    pub(crate) fn new(builder: &mut Builder, size: i64, eps: f64) -> Self {
        Self { weight: builder.constant(&[size], 1.0), bias: builder.constant(&[size], 0.0), eps }
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.eps, true)
    }
}

impl Network for LayerNorm {
    fn walk(&self, prefix: &str, see: &mut dyn FnMut(String, Leaf<'_>)) {
        see(format!("{prefix}weight"), Leaf::Parameter { tensor: &self.weight, decay: false });
        see(format!("{prefix}bias"), Leaf::Parameter { tensor: &self.bias, decay: false });
    }
}

/// A linear layer; without bias where a batch norm follows, which would cancel it.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    pub(crate) fn new(builder: &mut Builder, inputs: i64, outputs: i64, bias: bool) -> Self {
        let bound = 1.0 / (inputs as f64).sqrt();
        let weight = builder.uniform(&[outputs, inputs], bound);
        let bias = bias.then(|| builder.uniform(&[outputs], bound));
        Self { weight, bias }
    }

    /// With normal weights and, if any, a bias of zeros, as in Transformers.
    pub(crate) fn normal(builder: &mut Builder, inputs: i64, outputs: i64, bias: bool) -> Self {
        let weight = builder.normal(&[outputs, inputs], TRANSFORMER_STD);
        Self { weight, bias: bias.then(|| builder.constant(&[outputs], 0.0)) }
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, self.bias.as_ref())
    }
}

impl Network for Linear {
    fn walk(&self, prefix: &str, see: &mut dyn FnMut(String, Leaf<'_>)) {
        see(format!("{prefix}weight"), Leaf::Parameter { tensor: &self.weight, decay: true });
        if let Some(bias) = &self.bias {
            see(format!("{prefix}bias"), Leaf::Parameter { tensor: bias, decay: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    /// oneDNN#6035. The sizes are those that crashed a run with narrow layers.
    #[test]
    fn a_strided_1x1_convolution_of_few_channels_has_the_gradient_of_the_definition() {
        let conv = Conv::new(&mut Builder::online(1, Device::Cpu), 8, 16, 1, 2);
        let x = Tensor::arange(60 * 8 * 64 * 64, (Kind::Float, Device::Cpu)).sin();
        // Pixels of all channels together, as the views of a batch come.
        let x = x.view([60, 64, 64, 8]).permute([0, 3, 1, 2]);
        conv.forward(&x).square().sum(Kind::Float).backward();
        let found = conv.weight.grad().view([16, 8]).to_kind(Kind::Double);

        // y = W x at every second pixel, d(sum y^2)/dW = 2 y x^T, as products of matrices in double precision.
        let (x, weight) = (x.to_kind(Kind::Double), conv.weight.detach().to_kind(Kind::Double));
        let columns = x.slice(2, None, None, 2).slice(3, None, None, 2).permute([1, 0, 2, 3]);
        let columns = columns.reshape([8, -1]);
        let expected = weight.view([16, 8]).matmul(&columns).matmul(&columns.tr()) * 2.0;
        let difference = (found - &expected).abs().max() / expected.abs().max();
        assert!(difference.double_value(&[]) < 1e-4, "{}", difference.double_value(&[]));
    }
}
