//! Which backbone, and the sizes that follow from it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::positive;
use crate::error::ModelError;

/// The backbone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncoderConfig {
    /// Which network.
    pub arch: Arch,
    /// First layers of a residual network: for photographs or for small pictures. Transformers have their patch
    /// embedding instead and do not look at it.
    pub stem: Stem,
    /// Scales the channels of every layer; 64 is the published network, 128 has twice as many channels in each,
    /// 16 a quarter. It is the number of channels of the first stage of a residual network and of a head of a vision
    /// Transformer, and twice that of a head of a Swin Transformer; the number of heads stays.
    pub width: i64,
    /// Side of a Transformer's patches in pixels; 0 takes the published one: 16 for ViT, 4 for Swin. Sizes of views
    /// are multiples of it.
    pub patch: i64,
    /// Side of the pictures that a ViT's table of positions is made for; for other sizes the table is interpolated.
    pub image_size: i64,
    /// Drop path (stochastic depth) of a Transformer: the share of pictures for which the last block's residual
    /// branches are left out in a step; rises in a straight line from 0 in the first block. Online branch only.
    pub drop_path: f64,
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self {
            arch: Arch::Resnet18,
            stem: Stem::Cifar,
            width: 64,
            patch: 0,
            image_size: 224,
            drop_path: 0.0,
        }
    }
}

impl EncoderConfig {
    /// Size of the features; at width 64: 512 for ResNet-18 and 34, 2048 for ResNet-50 and 101, 384 for ViT-S, 768
    /// for ViT-B and Swin.
    pub fn feature_dim(&self) -> i64 {
        match self.arch.layout() {
            Layout::Residual { expansion, .. } => self.width * 8 * expansion,
            Layout::Vit { num_heads, .. } => self.width * num_heads,
            Layout::Swin { num_heads, .. } => self.width / 2 * num_heads * 8,
        }
    }

    /// Side of a patch; residual networks have none.
    pub fn patch_size(&self) -> Option<i64> {
        let published = match self.arch.layout() {
            Layout::Residual { .. } => return None,
            Layout::Vit { .. } => 16,
            Layout::Swin { .. } => 4,
        };
        Some(if self.patch == 0 { published } else { self.patch })
    }

    /// Checks that pictures of this side can be encoded.
    ///
    /// # Errors
    /// What is expected instead, in words.
    pub fn check_side(&self, side: i64) -> Result<(), String> {
        let Some(patch) = self.patch_size() else { return Ok(()) };
        if side >= patch && side % patch == 0 {
            return Ok(());
        }
        let below = side / patch * patch;
        let near = match below {
            0 => format!("{patch}"),
            below => format!("{below} or {}", below + patch),
        };
        Err(format!(
            "expected a multiple of {patch}, such as {near}, the side of a patch of {} (model.encoder.patch)",
            self.arch
        ))
    }

    /// Checks every number, and that they suit the network.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the field and the value.
    pub fn validate(&self) -> Result<(), ModelError> {
        positive("encoder.width", self.width)?;
        let refuse = |field, reason| Err(ModelError::Config { field, reason });
        if self.patch < 0 {
            let reason = format!("must be 0 (the published size) or more, got {}", self.patch);
            return refuse("encoder.patch", reason);
        }
        if !(0.0..1.0).contains(&self.drop_path) {
            let reason = format!("must be at least 0 and below 1, got {}", self.drop_path);
            return refuse("encoder.drop_path", reason);
        }
        match self.arch.layout() {
            Layout::Residual { .. } if self.drop_path > 0.0 => refuse(
                "encoder.drop_path",
                format!(
                    "is for Transformers, and encoder.arch is \"{}\"; set it to 0, got {}",
                    self.arch, self.drop_path
                ),
            ),
            Layout::Vit { .. } => self.check_side(self.image_size).or_else(|expected| {
                refuse("encoder.image_size", format!("{} given, {expected}", self.image_size))
            }),
            Layout::Swin { .. } if self.width % 2 == 1 => refuse(
                "encoder.width",
                format!("must be even for \"{}\", got {}", self.arch, self.width),
            ),
            _ => Ok(()),
        }
    }
}

/// Networks by their names in torchvision and, for ViT, in timm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// Basic blocks 2-2-2-2.
    Resnet18,
    /// Basic blocks 3-4-6-3.
    Resnet34,
    /// Bottleneck blocks 3-4-6-3.
    Resnet50,
    /// Bottleneck blocks 3-4-23-3.
    Resnet101,
    /// Vision Transformer of 12 blocks and 6 heads.
    #[serde(rename = "vit_small")]
    VitSmall,
    /// Vision Transformer of 12 blocks and 12 heads.
    #[serde(rename = "vit_base")]
    VitBase,
    /// Swin Transformer, blocks 2-2-6-2.
    #[serde(rename = "swin_t")]
    SwinT,
    /// Swin Transformer, blocks 2-2-18-2.
    #[serde(rename = "swin_s")]
    SwinS,
}

/// What distinguishes the networks of a family.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layout {
    /// Blocks of each stage; output channels of a block over its inner channels.
    Residual {
        num_blocks: [usize; 4],
        expansion: i64,
    },
    Vit {
        num_blocks: usize,
        num_heads: i64,
    },
    /// Blocks of each stage; heads in the first one, twice as many in each later one.
    Swin {
        num_blocks: [usize; 4],
        num_heads: i64,
    },
}

impl Arch {
    pub(crate) fn layout(self) -> Layout {
        match self {
            Self::Resnet18 => Layout::Residual { num_blocks: [2, 2, 2, 2], expansion: 1 },
            Self::Resnet34 => Layout::Residual { num_blocks: [3, 4, 6, 3], expansion: 1 },
            Self::Resnet50 => Layout::Residual { num_blocks: [3, 4, 6, 3], expansion: 4 },
            Self::Resnet101 => Layout::Residual { num_blocks: [3, 4, 23, 3], expansion: 4 },
            Self::VitSmall => Layout::Vit { num_blocks: 12, num_heads: 6 },
            Self::VitBase => Layout::Vit { num_blocks: 12, num_heads: 12 },
            Self::SwinT => Layout::Swin { num_blocks: [2, 2, 6, 2], num_heads: 3 },
            Self::SwinS => Layout::Swin { num_blocks: [2, 2, 18, 2], num_heads: 3 },
        }
    }
}

/// First layers of a residual network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stem {
    /// 7x7 convolution with stride 2, then 3x3 max-pool with stride 2.
    Imagenet,
    /// 3x3 convolution with stride 1, no pool; for pictures of 32 to 64 pixels.
    Cifar,
}

named!(Arch {
    "resnet18" => Arch::Resnet18,
    "resnet34" => Arch::Resnet34,
    "resnet50" => Arch::Resnet50,
    "resnet101" => Arch::Resnet101,
    "vit_small" => Arch::VitSmall,
    "vit_base" => Arch::VitBase,
    "swin_t" => Arch::SwinT,
    "swin_s" => Arch::SwinS,
});
named!(Stem { "imagenet" => Stem::Imagenet, "cifar" => Stem::Cifar });

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: fn(&mut EncoderConfig)) -> String {
        let mut config = EncoderConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn numbers_that_do_not_suit_the_network_are_refused_with_their_field() {
        assert!(refused(|c| c.width = 0).starts_with("encoder.width"));
        assert!(refused(|c| c.patch = -4).starts_with("encoder.patch"));
        assert!(refused(|c| c.drop_path = 1.0).starts_with("encoder.drop_path"));
        assert!(refused(|c| c.drop_path = f64::NAN).starts_with("encoder.drop_path"));
        assert!(refused(|c| c.drop_path = 0.1).contains("is for Transformers"));
        let odd = refused(|c| (c.arch, c.width) = (Arch::SwinT, 15));
        assert!(odd.contains("must be even"), "{odd}");
        let size = refused(|c| (c.arch, c.image_size) = (Arch::VitSmall, 100));
        assert!(size.starts_with("encoder.image_size") && size.contains("96 or 112"), "{size}");
        for arch in [Arch::VitSmall, Arch::SwinS] {
            let config = EncoderConfig { arch, drop_path: 0.1, ..EncoderConfig::default() };
            config.validate().unwrap();
        }
    }

    #[test]
    fn a_side_is_whole_patches_or_refused_with_the_nearest() {
        let check = |arch, patch, side| {
            EncoderConfig { arch, patch, ..EncoderConfig::default() }.check_side(side)
        };
        for (arch, patch, side) in [
            (Arch::VitSmall, 0, 96),
            (Arch::VitSmall, 4, 36),
            (Arch::SwinT, 0, 92),
            (Arch::Resnet18, 0, 7),
        ] {
            check(arch, patch, side).unwrap();
        }
        let message = check(Arch::VitBase, 0, 100).unwrap_err();
        assert!(message.contains("96 or 112") && message.contains("vit_base"), "{message}");
        assert!(check(Arch::VitBase, 0, 8).unwrap_err().contains("such as 16,"));
        assert!(check(Arch::SwinT, 0, 90).unwrap_err().contains("88 or 92"));
    }
}
