//! The two residual blocks, as in torchvision (stride on the 3x3 convolution of a bottleneck).

use tch::Tensor;

use crate::layers::{BatchNorm, Conv, Mode};
use crate::network::{Builder, Leaf, Network};

/// A residual block: a chain of convolution and norm, a shortcut, and a ReLU over their sum.
#[derive(Debug)]
pub(crate) struct Block {
    /// Named `conv1`, `bn1`, `conv2`, ...; a ReLU between, none after the last.
    chain: Vec<(Conv, BatchNorm)>,
    /// Named `downsample.0` and `downsample.1`; present where size or channels change.
    downsample: Option<(Conv, BatchNorm)>,
}

impl Block {
    /// Two 3x3 convolutions.
    pub(crate) fn basic(builder: &mut Builder, inputs: i64, inner: i64, stride: i64) -> Self {
        Self::new(builder, inputs, stride, &[(inner, 3, stride), (inner, 3, 1)])
    }

    /// 1x1 down, 3x3, 1x1 up to four times the inner channels.
    pub(crate) fn bottleneck(builder: &mut Builder, inputs: i64, inner: i64, stride: i64) -> Self {
        let plan = [(inner, 1, 1), (inner, 3, stride), (inner * 4, 1, 1)];
        Self::new(builder, inputs, stride, &plan)
    }

    /// `plan`: output channels, kernel and stride of each convolution.
    fn new(builder: &mut Builder, inputs: i64, stride: i64, plan: &[(i64, i64, i64)]) -> Self {
        let mut channels = inputs;
        let mut chain = Vec::with_capacity(plan.len());
        for &(outputs, kernel, stride) in plan {
            let conv = Conv::new(builder, channels, outputs, kernel, stride);
            chain.push((conv, BatchNorm::new(builder, outputs)));
            channels = outputs;
        }
        let downsample = (stride != 1 || inputs != channels).then(|| {
            let conv = Conv::new(builder, inputs, channels, 1, stride);
            (conv, BatchNorm::new(builder, channels))
        });
        Self { chain, downsample }
    }

    pub(crate) fn forward(&self, x: &Tensor, mode: Mode) -> Tensor {
        let mut out = x.shallow_clone();
        for (number, (conv, norm)) in self.chain.iter().enumerate() {
            if number > 0 {
                out = out.relu_();
            }
            out = norm.forward(&conv.forward(&out), mode);
        }
        match &self.downsample {
            Some((conv, norm)) => out += norm.forward(&conv.forward(x), mode),
            None => out += x,
        }
        out.relu_()
    }
}

impl Network for Block {
    fn walk(&self, prefix: &str, see: &mut dyn FnMut(String, Leaf<'_>)) {
        for (number, (conv, norm)) in (1..).zip(&self.chain) {
            conv.walk(&format!("{prefix}conv{number}."), see);
            norm.walk(&format!("{prefix}bn{number}."), see);
        }
        if let Some((conv, norm)) = &self.downsample {
            conv.walk(&format!("{prefix}downsample.0."), see);
            norm.walk(&format!("{prefix}downsample.1."), see);
        }
    }
}
