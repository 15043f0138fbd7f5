//! What a recipe may say, and the digest that names it in resume states.

use std::fmt::Display;

use crate::augment::{Blur, CropRule, Jitter, Recipe, RecipeError, ViewRecipe};

/// Smallest and largest side of a view in pixels.
const SIZES: std::ops::RangeInclusive<u32> = 8..=1024;
/// More views than this are surely a slip: a slot's memory grows with each.
const MAX_VIEWS: usize = 64;
/// Largest standard deviation of the blur in pixels.
const MAX_SIGMA: f64 = 32.0;
/// Names the way in which plans are drawn. Raise it when [`Recipe::draw`] changes, so that a run is not
/// resumed with other views than it began with.
const PLAN_VERSION: u32 = 1;

impl Recipe {
    /// Checks every setting.
    ///
    /// # Errors
    /// For the first setting that is out of range, with its value and what is allowed.
    pub fn validate(&self) -> Result<(), RecipeError> {
        if !(1..=MAX_VIEWS).contains(&self.num_views()) {
            return Err(error(0, "views", self.num_views(), format!("1 to {MAX_VIEWS} in all")));
        }
        let mut only_small = false;
        for (index, view) in self.views.iter().enumerate() {
            validate_view(index, view)?;
            if view.large && only_small {
                return Err(error(index, "large", true, "large views before all small ones"));
            }
            only_small |= !view.large;
        }
        if self.num_large() == 0 {
            return Err(error(0, "large", false, "at least one large view"));
        }
        Ok(())
    }

    /// Names the recipe: BLAKE3 of its JSON together with the version of the drawing, in hexadecimal.
    pub fn digest(&self) -> String {
        let json = serde_json::to_vec(&(PLAN_VERSION, self))
            .expect("a recipe holds only numbers and names, which JSON can write");
        blake3::hash(&json).to_hex().to_string()
    }
}

fn error(view: usize, key: &str, value: impl Display, expected: impl Into<String>) -> RecipeError {
    RecipeError { view, key: key.into(), value: value.to_string(), expected: expected.into() }
}

fn validate_view(index: usize, view: &ViewRecipe) -> Result<(), RecipeError> {
    if view.count == 0 {
        return Err(error(index, "count", 0, "1 or more"));
    }
    if !SIZES.contains(&view.size) {
        let expected = format!("{} to {} pixels", SIZES.start(), SIZES.end());
        return Err(error(index, "size", view.size, expected));
    }
    match view.crop {
        CropRule::RandomResized { scale, ratio } => {
            range(index, "crop.scale", scale, f64::MIN_POSITIVE, 1.0)?;
            range(index, "crop.ratio", ratio, 0.05, 20.0)?;
        }
        CropRule::Center { resize } => {
            if !(view.size..=4 * SIZES.end()).contains(&resize) {
                let expected = format!("{} (the view's size) to {}", view.size, 4 * SIZES.end());
                return Err(error(index, "crop.resize", resize, expected));
            }
        }
    }
    probability(index, "flip", view.flip)?;
    probability(index, "gray", view.gray)?;
    if let Some(Jitter { p, brightness, contrast, saturation, hue }) = view.jitter {
        probability(index, "jitter.p", p)?;
        between(index, "jitter.brightness", brightness, 0.0, 10.0)?;
        between(index, "jitter.contrast", contrast, 0.0, 10.0)?;
        between(index, "jitter.saturation", saturation, 0.0, 10.0)?;
        between(index, "jitter.hue", hue, 0.0, 0.5)?;
    }
    if let Some(Blur { p, sigma }) = view.blur {
        probability(index, "blur.p", p)?;
        range(index, "blur.sigma", sigma, 0.01, MAX_SIGMA)?;
    }
    if let Some(solarize) = view.solarize {
        probability(index, "solarize.p", solarize.p)?;
    }
    Ok(())
}

fn probability(view: usize, key: &str, value: f64) -> Result<(), RecipeError> {
    between(view, key, value, 0.0, 1.0)
}

/// NaN is in no range.
fn between(view: usize, key: &str, value: f64, low: f64, high: f64) -> Result<(), RecipeError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(error(view, key, value, format!("{low} to {high}")))
}

fn range(view: usize, key: &str, pair: [f64; 2], low: f64, high: f64) -> Result<(), RecipeError> {
    if pair[0] <= pair[1] && pair[0] >= low && pair[1] <= high {
        return Ok(());
    }
    let low = if low == f64::MIN_POSITIVE { "above 0".into() } else { format!("from {low}") };
    let value = format!("[{}, {}]", pair[0], pair[1]);
    Err(error(view, key, value, format!("[low, high] with low <= high, {low} up to {high}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(change: impl FnOnce(&mut Recipe)) -> RecipeError {
        let mut recipe = Recipe::smog();
        change(&mut recipe);
        recipe.validate().expect_err("this recipe is invalid")
    }

    #[test]
    fn every_preset_is_valid_and_has_its_own_digest() {
        let mut digests: Vec<_> = Recipe::PRESETS
            .iter()
            .map(|name| {
                let recipe = Recipe::preset(name).unwrap();
                recipe.validate().unwrap();
                recipe.digest()
            })
            .collect();
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), Recipe::PRESETS.len());
    }

    #[test]
    fn errors_name_view_setting_value_and_range() {
        let error = bad(|recipe| recipe.views[1].flip = 1.5);
        assert_eq!(error.to_string(), "augmentation view 1: flip = 1.5, expected 0 to 1");
    }

    #[test]
    fn impossible_settings_are_refused() {
        type Change = fn(&mut Recipe);
        let cases: [(&str, Change); 9] = [
            ("views", |recipe| recipe.views.clear()),
            ("count", |recipe| recipe.views[0].count = 0),
            ("size", |recipe| recipe.views[0].size = 7),
            ("large", |recipe| recipe.views[0].large = false),
            ("gray", |recipe| recipe.views[0].gray = f64::NAN),
            ("crop.scale", |recipe| {
                recipe.views[0].crop =
                    CropRule::RandomResized { scale: [0.0, 1.0], ratio: [1.0; 2] };
            }),
            ("crop.ratio", |recipe| {
                recipe.views[0].crop =
                    CropRule::RandomResized { scale: [0.1, 1.0], ratio: [2.0, 1.0] };
            }),
            ("crop.resize", |recipe| recipe.views[0].crop = CropRule::Center { resize: 8 }),
            ("blur.sigma", |recipe| {
                recipe.views[0].blur = Some(Blur { p: 1.0, sigma: [0.0, 2.0] });
            }),
        ];
        for (key, change) in cases {
            assert_eq!(bad(change).key, key);
        }
    }

    #[test]
    fn the_digest_changes_with_any_setting() {
        let mut recipe = Recipe::smog();
        let before = recipe.digest();
        recipe.views[0].flip = 0.25;
        assert_ne!(before, recipe.digest());
    }
}
