//! Settings that come with the program.

use super::error::{SettingsError, nearest};

/// A named set of settings.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// Name for `--preset`.
    pub name: &'static str,
    /// What it is for, in one line.
    pub about: &'static str,
    /// Commented TOML.
    pub text: &'static str,
}

/// All presets.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "demo",
        about: "a few minutes on two cores: small generated images, ResNet-18 of width 16",
        text: include_str!("../../presets/demo.toml"),
    },
    Preset {
        name: "cifar10-resnet18",
        about: "CIFAR-10 and other sets of 32-pixel images, ResNet-18 with the 3x3 stem",
        text: include_str!("../../presets/cifar10-resnet18.toml"),
    },
    Preset {
        name: "imagenet100-resnet50",
        about: "ImageNet-100 and other sets of about 100,000 images, ResNet-50",
        text: include_str!("../../presets/imagenet100-resnet50.toml"),
    },
    Preset {
        name: "lightly-compat",
        about: "CIFAR-10 as the lightly library trains it: the same loss, groups and gradients, for comparison",
        text: include_str!("../../presets/lightly-compat.toml"),
    },
    Preset {
        name: "imagenet-resnet50",
        about: "ImageNet, ResNet-50, 2 x 224 views; paper-like as far as the paper is known",
        text: include_str!("../../presets/imagenet-resnet50.toml"),
    },
    Preset {
        name: "imagenet-resnet50-multicrop",
        about: "imagenet-resnet50 with four more views of 96 pixels",
        text: include_str!("../../presets/imagenet-resnet50-multicrop.toml"),
    },
    Preset {
        name: "imagenet-swin-t",
        about: "ImageNet, Swin-T, 2 x 224 views",
        text: include_str!("../../presets/imagenet-swin-t.toml"),
    },
    Preset {
        name: "imagenet-vit-s",
        about: "ImageNet, ViT-S/16, 2 x 224 views",
        text: include_str!("../../presets/imagenet-vit-s.toml"),
    },
];

/// The TOML text of a preset.
///
/// # Errors
/// If there is none of that name.
pub fn text(name: &str) -> Result<&'static str, SettingsError> {
    PRESETS.iter().find(|preset| preset.name == name).map(|preset| preset.text).ok_or_else(|| {
        SettingsError::UnknownPreset {
            name: name.to_owned(),
            nearest: nearest(name, PRESETS.iter().map(|preset| preset.name)).map(str::to_owned),
            known: names(),
        }
    })
}

/// All names, for messages.
pub fn names() -> String {
    PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>().join(", ")
}
