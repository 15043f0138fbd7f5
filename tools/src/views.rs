//! The views of a sheet or a bench, as typed.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use smog_pipeline::augment::{Recipe, ViewRecipe};

/// A recipe and the text that named it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Views {
    text: String,
    pub(crate) recipe: Recipe,
}

impl fmt::Display for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Views {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let recipe = match Recipe::preset(text).or_else(|| counted(text)) {
            Some(recipe) => recipe,
            None if text.ends_with(".json") || Path::new(text).exists() => from_file(text)?,
            None => {
                return Err(format!(
                    "expected counts and sides such as 2x224+4x96, one of {}, or a file: \
                     `smog-trainer presets NAME --views` prints that of a preset, of settings or of a run",
                    Recipe::PRESETS.join(", ")
                ));
            }
        };
        recipe.validate().map_err(|error| error.to_string())?;
        Ok(Self { text: text.to_owned(), recipe })
    }
}

/// A recipe in full, so that other programs can be given the very same one.
fn from_file(path: &str) -> Result<Recipe, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{path} is not a recipe: {error}"))
}

/// `2x224+4x96`: the large views of the recipe `smog` in turn, then small ones.
fn counted(text: &str) -> Option<Recipe> {
    let mut parts = text.split('+').map(|part| {
        let (count, size) = part.split_once('x')?;
        Some((count.trim().parse::<u32>().ok()?, size.trim().parse::<u32>().ok()?))
    });
    let (count, size) = parts.next()??;
    let pair = Recipe::smog().views;
    let mut recipe = Recipe { views: Vec::new() };
    for (index, view) in pair.iter().enumerate() {
        let share = (count + 1 - index as u32) / 2;
        if share > 0 {
            recipe.views.push(ViewRecipe { count: share, size, ..view.clone() });
        }
    }
    for part in parts {
        let (count, size) = part?;
        recipe = recipe.with_small(count, size);
    }
    Some(recipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_sides_make_a_recipe() {
        let recipe = "3x160+4x96".parse::<Views>().expect("two kinds").recipe;
        assert_eq!(recipe.view_sizes(), [160, 160, 160, 96, 96, 96, 96]);
        assert_eq!(recipe.num_large(), 3);
        assert_eq!("1x64".parse::<Views>().expect("one view").recipe.num_views(), 1);
    }

    #[test]
    fn the_recipes_that_the_peers_get_are_ours() {
        let read = |name: &str| {
            let path = format!("{}/../benches/peers/recipes/{name}", env!("CARGO_MANIFEST_DIR"));
            path.parse::<Views>().expect("a recipe").recipe
        };
        let smog = "2x224+4x96".parse::<Views>().expect("two kinds").recipe;
        assert_eq!(read("smog_views.json"), smog);
        let one = read("one_view.json");
        assert_eq!(one.view_sizes(), [224]);
        let view = &one.views[0];
        assert!(view.jitter.is_none() && view.blur.is_none() && view.solarize.is_none());
    }

    #[test]
    fn a_recipe_file_that_is_not_there_or_wrong_is_named() {
        let missing = "/nonexistent/views.json".parse::<Views>().expect_err("missing");
        assert!(missing.contains("/nonexistent/views.json"), "{missing}");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("views.json");
        fs::write(&path, r#"{"views": [{"size": 224, "crops": {}}]}"#).expect("written");
        let wrong = path.to_str().expect("UTF-8").parse::<Views>().expect_err("wrong");
        assert!(wrong.contains("views.json") && wrong.contains("crops"), "{wrong}");
    }

    #[test]
    fn recipes_go_by_their_names_and_nonsense_is_refused() {
        assert_eq!("smog".parse::<Views>().expect("known").recipe, Recipe::smog());
        for text in ["", "2x", "x224", "0x224", "2x224+", "large", "2x4"] {
            assert!(text.parse::<Views>().is_err(), "{text}");
        }
    }
}
