//! Backbones: pictures in, one feature for each out.
//!
//! Names, order and shapes of the tensors are those of torchvision (`resnet*`, `swin_*`) and timm (`vit_*`), without the
//! classifier.

mod block;
mod drop_path;
mod parts;
mod resnet;
mod swin;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod transformer_tests;
mod vit;
mod window;

use tch::Tensor;

use crate::config::{EncoderConfig, Layout};
use crate::layers::Mode;
use crate::network::{Builder, Leaf, Network};

pub(crate) use drop_path::DropKey;
use resnet::ResNet;
use swin::Swin;
use vit::Vit;

/// The network that the settings name.
#[derive(Debug)]
pub(crate) enum Encoder {
    ResNet(ResNet),
    Vit(Vit),
    Swin(Swin),
}

impl Encoder {
    pub(crate) fn new(builder: &mut Builder, config: &EncoderConfig) -> Self {
        match config.arch.layout() {
            Layout::Residual { num_blocks, expansion } => {
                Self::ResNet(ResNet::new(builder, config, num_blocks, expansion))
            }
            Layout::Vit { num_blocks, num_heads } => {
                Self::Vit(Vit::new(builder, config, num_blocks, num_heads))
            }
            Layout::Swin { num_blocks, num_heads } => {
                Self::Swin(Swin::new(builder, config, num_blocks, num_heads))
            }
        }
    }

    /// Pictures `[B, 3, H, W]` to features `[B, F]`.
    pub(crate) fn forward(&self, images: &Tensor, mode: Mode) -> Tensor {
        match self {
            Self::ResNet(network) => network.forward(images, mode),
            Self::Vit(network) => network.forward(images, mode),
            Self::Swin(network) => network.forward(images, mode),
        }
    }
}

impl Network for Encoder {
    fn walk(&self, prefix: &str, see: &mut dyn FnMut(String, Leaf<'_>)) {
        match self {
            Self::ResNet(network) => network.walk(prefix, see),
            Self::Vit(network) => network.walk(prefix, see),
            Self::Swin(network) => network.walk(prefix, see),
        }
    }
}
