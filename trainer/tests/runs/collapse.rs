//! Runs that collapse say so, with what to change, and go on.

use std::path::Path;

use smog_trainer::checkpoint::tensors;
use smog_trainer::train::Outcome;

use crate::support::{events, newest, tiny, train, within};

/// Names of the figures that a run warned of.
fn said(run: &Path) -> Vec<String> {
    let figure = |line: &serde_json::Value| line["figure"].as_str().unwrap().to_owned();
    let mut all: Vec<String> = events(run, "collapse").iter().map(figure).collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn a_group_that_takes_over_is_told_and_the_run_goes_on() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        // In one dimension there are two directions, and the first group of either takes all of its side.
        let sets = ["model.dim=1", "reset.every=never", "reset.memory=0"];
        let outcome = train(tiny(&sets), &run, false, Some(20));
        assert_eq!(outcome, Outcome::Interrupted);
        assert_eq!(said(&run), ["largest_share"]);
        let first = &events(&run, "collapse")[0];
        for key in ["figure", "value", "limit", "step"] {
            assert!(!first[key].is_null(), "{key}: {first}");
        }
        assert!(first["advice"].as_str().unwrap().contains("reset.every"), "{first}");
    });
}

#[test]
fn an_encoder_that_gives_every_image_the_same_features_is_told_with_what_to_change() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let (healthy, run) = (dir.path().join("healthy"), dir.path().join("run"));
        train(tiny(&[]), &healthy, false, Some(1));
        // Norms of scale and shift 0 at the end of the last stage: whatever comes in, zeros come out, for good.
        let weights = newest(&healthy).tensors("model").unwrap();
        let of = |name: &str| name.strip_prefix("online.encoder.").map(str::to_owned);
        let encoder: Vec<_> = weights
            .into_iter()
            .filter_map(|(name, tensor)| Some((of(&name)?, tensor)))
            .map(|(name, tensor)| {
                let last = ["layer4.0.bn2.", "layer4.1.bn2.", "layer4.0.downsample.1."]
                    .iter()
                    .any(|norm| name.starts_with(norm))
                    && !name.contains("running")
                    && !name.contains("num_batches");
                let tensor = if last { tensor.zeros_like() } else { tensor };
                (name, tensor)
            })
            .collect();
        let file = dir.path().join("dead.safetensors");
        tensors::write(&file, &encoder).unwrap();
        let init = format!("run.init={}", file.display());
        train(tiny(&[&init]), &run, false, Some(20));
        let said = said(&run);
        for figure in ["encoder_spread", "feature_spread"] {
            assert!(said.iter().any(|name| name == figure), "{figure}: {said:?}");
        }
        for line in events(&run, "collapse") {
            if line["figure"] != "largest_share" {
                let advice = line["advice"].as_str().unwrap();
                assert!(
                    advice.contains("features") && advice.contains("schedule.lr_per_256"),
                    "{advice}"
                );
            }
        }
    });
}

#[test]
fn a_healthy_run_says_nothing() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        train(tiny(&[]), &run, false, None);
        assert_eq!(said(&run), Vec::<String>::new(), "{:?}", events(&run, "collapse"));
    });
}
