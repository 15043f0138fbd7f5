//! Which views are made of a sample, and with which odds.

use serde::{Deserialize, Serialize};

/// All views of a sample, in the order in which the trainer receives them: large crops first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// One entry per kind of view.
    pub views: Vec<ViewRecipe>,
}

/// One kind of view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewRecipe {
    /// How many views of this kind are drawn from each sample.
    #[serde(default = "one")]
    pub count: u32,
    /// Side of the square view in pixels.
    pub size: u32,
    /// Whether the momentum branch sees it and it sets targets (docs/METHOD.md, difference 5). Small crops only predict.
    #[serde(default = "yes")]
    pub large: bool,
    /// What part of the image is shown.
    pub crop: CropRule,
    /// Probability of a horizontal flip.
    #[serde(default)]
    pub flip: f64,
    /// Colour jitter.
    #[serde(default)]
    pub jitter: Option<Jitter>,
    /// Probability of greyscale.
    #[serde(default)]
    pub gray: f64,
    /// Gaussian blur.
    #[serde(default)]
    pub blur: Option<Blur>,
    /// Solarisation.
    #[serde(default)]
    pub solarize: Option<Solarize>,
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

/// How the crop is chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CropRule {
    /// Random area and aspect ratio, as torchvision's `RandomResizedCrop`.
    RandomResized {
        /// Smallest and largest share of the image's area.
        scale: [f64; 2],
        /// Smallest and largest width over height.
        #[serde(default = "ratio")]
        ratio: [f64; 2],
    },
    /// The centre square after the short side was resized to `resize` pixels: for evaluation.
    Center {
        /// Short side before the crop; at least the view's size.
        resize: u32,
    },
}

fn ratio() -> [f64; 2] {
    [3.0 / 4.0, 4.0 / 3.0]
}

/// Colour jitter; strengths as torchvision's `ColorJitter`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jitter {
    /// Probability that it is applied.
    pub p: f64,
    /// Factor from `[max(0, 1 - b), 1 + b]`.
    pub brightness: f64,
    /// Factor from `[max(0, 1 - c), 1 + c]`.
    pub contrast: f64,
    /// Factor from `[max(0, 1 - s), 1 + s]`.
    pub saturation: f64,
    /// Shift from `[-h, h]` of the colour circle; at most 0.5.
    pub hue: f64,
}

/// Gaussian blur.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blur {
    /// Probability that it is applied.
    pub p: f64,
    /// Smallest and largest standard deviation in pixels of the view.
    #[serde(default = "sigma")]
    pub sigma: [f64; 2],
}

fn sigma() -> [f64; 2] {
    [0.1, 2.0]
}

/// Solarisation: values of at least `threshold` are inverted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Solarize {
    /// Probability that it is applied.
    pub p: f64,
    /// Grey level from which on values are inverted.
    #[serde(default = "threshold")]
    pub threshold: u8,
}

fn threshold() -> u8 {
    128
}

/// A recipe that cannot be followed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("augmentation view {view}: {key} = {value}, expected {expected}")]
pub struct RecipeError {
    /// Index into [`Recipe::views`].
    pub view: usize,
    /// The setting.
    pub key: String,
    /// Its value.
    pub value: String,
    /// What is allowed.
    pub expected: String,
}

impl Recipe {
    /// Side of every view, `count` times each, in the order of the batch.
    pub fn view_sizes(&self) -> Vec<u32> {
        self.expanded().map(|view| view.size).collect()
    }

    /// Number of views that a sample has.
    pub fn num_views(&self) -> usize {
        self.views.iter().map(|view| view.count as usize).sum()
    }

    /// Number of large views; they come first.
    pub fn num_large(&self) -> usize {
        self.views.iter().filter(|view| view.large).map(|view| view.count as usize).sum()
    }

    /// One recipe per view of the batch.
    pub fn expanded(&self) -> impl Iterator<Item = &ViewRecipe> {
        self.views.iter().flat_map(|view| std::iter::repeat_n(view, view.count as usize))
    }

    /// Bytes of all views of one sample.
    pub fn bytes_per_sample(&self) -> u64 {
        self.expanded().map(|view| 3 * u64::from(view.size) * u64::from(view.size)).sum()
    }
}
