//! Whether the images are large enough for the views that a recipe cuts from them.

use std::cmp::Reverse;

use smog_pipeline::augment::Recipe;
use smog_pipeline::sample::RowGroupId;
use smog_pipeline::source::{Source, SourceError};

/// Images above this share of the side of a view are no matter: crops are enlarged now and then in every recipe.
const LEAST_SHARE: f64 = 0.5;

/// What to say before a run whose images are far smaller than its views; `None` where they are not. Looks at two row
/// groups, or one where reading takes long.
///
/// # Errors
/// If a row group cannot be read.
pub(crate) fn advice(source: &dyn Source, recipe: &Recipe) -> Result<Option<String>, SourceError> {
    let largest = (0..).zip(&recipe.views).min_by_key(|(_, view)| Reverse(view.size));
    let Some((number, view)): Option<(u32, _)> = largest else { return Ok(None) };
    let num_groups = source.row_groups().len() as u32;
    let looked_at = if source.reads_ahead() > 1 { vec![0] } else { vec![0, num_groups / 2] };
    let mut sides = Vec::new();
    for group in looked_at.into_iter().filter(|&group| group < num_groups) {
        let metas = source.read(RowGroupId(group))?.metas;
        sides.extend(metas.iter().map(|meta| meta.width.min(meta.height)).filter(|&side| side > 0));
    }
    sides.sort_unstable();
    let Some(&median) = sides.get(sides.len() / 2) else { return Ok(None) };
    if f64::from(median) >= LEAST_SHARE * f64::from(view.size) {
        return Ok(None);
    }
    Ok(Some(format!(
        "half of the images are no larger than {median} pixels on their shorter side, and augment.views.{number}.size = {} \
         enlarges every crop of them; lower the sizes of the views, with a stem or patch that suits them \
         (model.encoder.stem, model.encoder.patch), or take a preset for small images such as cifar10-resnet18",
        view.size
    )))
}

#[cfg(test)]
mod tests {
    use smog_pipeline::source::SyntheticSource;

    use super::*;
    use crate::settings::RawConfig;

    #[test]
    fn images_far_smaller_than_the_largest_view_are_named_with_the_setting() {
        let of = |preset: &str, side| {
            let recipe = RawConfig::preset(preset).unwrap().resolve().unwrap().augment;
            advice(&SyntheticSource::new(100, 16, side, 0), &recipe).unwrap()
        };
        let text = of("imagenet-resnet50-multicrop", 32).unwrap();
        for part in ["32 pixels", "augment.views.0.size = 224", "cifar10-resnet18"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(of("imagenet-resnet50", 111).is_some());
        assert_eq!(of("imagenet-resnet50", 112), None, "half of the side");
        assert_eq!(of("cifar10-resnet18", 32), None);
        assert_eq!(of("demo", 48), None);
    }
}
