//! Recipes by name.

use crate::augment::{Blur, CropRule, Jitter, Recipe, Solarize, ViewRecipe};

/// The jitter that all recipes of this family share: strength 0.5 of (0.8, 0.8, 0.4, 0.2).
const JITTER: Jitter = Jitter { p: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.2, hue: 0.1 };

impl Recipe {
    /// All names that [`Recipe::preset`] knows.
    pub const PRESETS: [&str; 6] =
        ["smog", "smog_multicrop", "byol", "lightly_smog", "cifar", "eval"];

    /// A recipe by name.
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "smog" => Some(Self::smog()),
            "smog_multicrop" => Some(Self::smog().with_small(4, 96)),
            "byol" => Some(Self::byol()),
            "lightly_smog" => Some(Self::lightly_smog()),
            "cifar" => Some(Self::cifar()),
            "eval" => Some(Self::center(256, 224)),
            _ => None,
        }
    }

    /// Two views of 224 pixels from 0.2 to 1 of the image; blur is stronger in the first, solarisation in
    /// the second, as a reader of the paper says of its version of BYOL's augmentation (labelled S in
    /// docs/METHOD.md).
    pub fn smog() -> Self {
        Self::pair(224, [0.2, 1.0], [0.5, 0.1])
    }

    /// BYOL's pair: 224 pixels from 0.08 to 1, the first view always blurred.
    pub fn byol() -> Self {
        Self::pair(224, [0.08, 1.0], [1.0, 0.1])
    }

    /// Two views of 32 pixels without blur.
    pub fn cifar() -> Self {
        let mut recipe = Self::pair(32, [0.2, 1.0], [0.0, 0.0]);
        recipe.views.iter_mut().for_each(|view| view.blur = None);
        recipe
    }

    /// The defaults of lightly's `SMoGTransform`: four views of 224 and four of 96, jitter always.
    pub fn lightly_smog() -> Self {
        let jitter = Some(Jitter { p: 1.0, ..JITTER });
        let large = ViewRecipe { count: 4, jitter, ..view(224, [0.2, 1.0], 0.5, 0.0) };
        let small =
            ViewRecipe { count: 4, jitter, large: false, ..view(96, [0.05, 0.2], 0.1, 0.2) };
        Self { views: vec![large, small] }
    }

    /// One view without randomness, for evaluation: short side to `resize`, then the centre square.
    pub fn center(resize: u32, size: u32) -> Self {
        let view = ViewRecipe {
            count: 1,
            size,
            large: true,
            crop: CropRule::Center { resize },
            flip: 0.0,
            jitter: None,
            gray: 0.0,
            blur: None,
            solarize: None,
        };
        Self { views: vec![view] }
    }

    /// Adds `count` small views of `size` pixels from 0.05 to 0.2 of the image, blurred half the time and
    /// never solarised (DINO's rule for local crops).
    #[must_use]
    pub fn with_small(mut self, count: u32, size: u32) -> Self {
        let small = view(size, [0.05, 0.2], 0.5, 0.0);
        self.views.push(ViewRecipe { count, large: false, ..small });
        self
    }

    fn pair(size: u32, scale: [f64; 2], blur: [f64; 2]) -> Self {
        Self { views: vec![view(size, scale, blur[0], 0.0), view(size, scale, blur[1], 0.2)] }
    }
}

fn view(size: u32, scale: [f64; 2], blur: f64, solarize: f64) -> ViewRecipe {
    ViewRecipe {
        count: 1,
        size,
        large: true,
        crop: CropRule::RandomResized { scale, ratio: [3.0 / 4.0, 4.0 / 3.0] },
        flip: 0.5,
        jitter: Some(JITTER),
        gray: 0.2,
        blur: Some(Blur { p: blur, sigma: [0.1, 2.0] }),
        solarize: (solarize > 0.0).then_some(Solarize { p: solarize, threshold: 128 }),
    }
}
