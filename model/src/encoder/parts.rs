//! What both kinds of Transformers are made of.

use tch::Tensor;

use crate::layers::Linear;
use crate::network::{Builder, Leaf, Network, channels_last};

/// Channels of a perceptron's hidden layer over those of its input.
const MLP_RATIO: i64 = 4;

/// Cuts pictures into patches and embeds each: a convolution whose stride is its size, with bias.
#[derive(Debug)]
pub(crate) struct PatchEmbed {
    weight: Tensor,
    bias: Tensor,
}

impl PatchEmbed {
    /// PyTorch's default initial values of a convolution, which timm and torchvision leave as they are.
    pub(crate) fn new(builder: &mut Builder, patch: i64, outputs: i64) -> Self {
        let bound = 1.0 / ((3 * patch * patch) as f64).sqrt();
        Self {
            weight: builder.uniform_kernel(&[outputs, 3, patch, patch], bound),
            bias: builder.uniform(&[outputs], bound),
        }
    }

    /// Pictures `[B, 3, H, W]` to `[B, H / patch, W / patch, C]`.
    pub(crate) fn forward(&self, images: &Tensor) -> Tensor {
        let patch = self.weight.size()[2];
        channels_last(images)
            .conv2d(&self.weight, Some(&self.bias), [patch, patch], [0, 0], [1, 1], 1)
            .permute([0, 2, 3, 1])
    }
}

impl Network for PatchEmbed {
    fn walk(&self, prefix: &str, see: &mut dyn FnMut(String, Leaf<'_>)) {
        see(format!("{prefix}weight"), Leaf::Parameter { tensor: &self.weight, decay: true });
        see(format!("{prefix}bias"), Leaf::Parameter { tensor: &self.bias, decay: false });
    }
}

/// The two-layer perceptron of a block, with GELU between.
#[derive(Debug)]
pub(crate) struct Mlp {
    names: [&'static str; 2],
    hidden: Linear,
    output: Linear,
}

impl Mlp {
    /// `names` of the two layers.
    pub(crate) fn new(builder: &mut Builder, size: i64, names: [&'static str; 2]) -> Self {
        let hidden = Linear::normal(builder, size, MLP_RATIO * size, true);
        Self { names, hidden, output: Linear::normal(builder, MLP_RATIO * size, size, true) }
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        self.output.forward(&self.hidden.forward(x).gelu("none"))
    }
}

impl Network for Mlp {
    fn walk(&self, prefix: &str, see: &mut dyn FnMut(String, Leaf<'_>)) {
        let [hidden, output] = self.names;
        self.hidden.walk(&format!("{prefix}{hidden}."), see);
        self.output.walk(&format!("{prefix}{output}."), see);
    }
}

/// Queries, keys and values `[B, heads, N, C / heads]` of `[B, N, 3 * C]`.
pub(crate) fn split_heads(qkv: &Tensor, num_heads: i64) -> [Tensor; 3] {
    let (batch, tokens) = (qkv.size()[0], qkv.size()[1]);
    let qkv = qkv.view([batch, tokens, 3, num_heads, -1]).permute([2, 0, 3, 1, 4]);
    [0, 1, 2].map(|part| qkv.get(part))
}

/// `[B, heads, N, D]` to `[B, N, heads * D]`.
pub(crate) fn join_heads(x: &Tensor) -> Tensor {
    x.transpose(1, 2).flatten(2, 3)
}
