//! Residual networks with torchvision's names, shapes and initial values, without the classifier `fc`.

use tch::{Kind, Tensor};

use super::block::Block;
use crate::config::{EncoderConfig, Stem};
use crate::layers::{BatchNorm, Conv, Mode};
use crate::network::{Builder, Leaf, Network, channels_last};

/// A residual network up to its pooled features.
#[derive(Debug)]
pub(crate) struct ResNet {
    conv1: Conv,
    bn1: BatchNorm,
    max_pool: bool,
    /// Named `layer1` to `layer4`.
    stages: Vec<Vec<Block>>,
}

impl ResNet {
    /// `num_blocks` of each stage; `expansion`: output channels of a block over its inner channels, 1 for basic blocks.
    pub(crate) fn new(
        builder: &mut Builder,
        config: &EncoderConfig,
        num_blocks: [usize; 4],
        expansion: i64,
    ) -> Self {
        let (kernel, stride) = match config.stem {
            Stem::Imagenet => (7, 2),
            Stem::Cifar => (3, 1),
        };
        let conv1 = Conv::new(builder, 3, config.width, kernel, stride);
        let bn1 = BatchNorm::new(builder, config.width);
        let make = if expansion == 1 { Block::basic } else { Block::bottleneck };
        let mut channels = config.width;
        let mut inner = config.width;
        let mut stages = Vec::with_capacity(4);
        for (stage, num_blocks) in num_blocks.into_iter().enumerate() {
            let mut blocks = Vec::with_capacity(num_blocks);
            for number in 0..num_blocks {
                let stride = if stage > 0 && number == 0 { 2 } else { 1 };
                blocks.push(make(builder, channels, inner, stride));
                channels = inner * expansion;
            }
            stages.push(blocks);
            inner *= 2;
        }
        Self { conv1, bn1, max_pool: config.stem == Stem::Imagenet, stages }
    }

    /// Pictures `[B, 3, H, W]` to features `[B, F]`.
    pub(crate) fn forward(&self, images: &Tensor, mode: Mode) -> Tensor {
        let mut x = self.bn1.forward(&self.conv1.forward(&channels_last(images)), mode).relu_();
        if self.max_pool {
            x = x.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
        }
        for block in self.stages.iter().flatten() {
            x = block.forward(&x, mode);
        }
        x.mean_dim([2i64, 3].as_slice(), false, None::<Kind>)
    }
}

impl Network for ResNet {
    fn walk(&self, prefix: &str, see: &mut dyn FnMut(String, Leaf<'_>)) {
        self.conv1.walk(&format!("{prefix}conv1."), see);
        self.bn1.walk(&format!("{prefix}bn1."), see);
        for (stage, blocks) in (1..).zip(&self.stages) {
            for (number, block) in blocks.iter().enumerate() {
                block.walk(&format!("{prefix}layer{stage}.{number}."), see);
            }
        }
    }
}
