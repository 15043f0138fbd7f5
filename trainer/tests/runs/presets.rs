//! The views that `smog-tools inspect` is given to draw are those that a run makes.

use std::process::Command;

use smog_pipeline::augment::Recipe;
use smog_trainer::settings::RawConfig;

use crate::support::{tiny, train};

fn views(of: &str) -> Recipe {
    let program = env!("CARGO_BIN_EXE_smog-trainer");
    let run = Command::new(program).args(["presets", of, "--views"]).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    serde_json::from_slice(&run.stdout).unwrap()
}

#[test]
fn the_views_of_a_preset_a_file_and_a_run_are_printed_as_a_recipe() {
    let preset = RawConfig::preset("cifar10-resnet18").unwrap().resolve().unwrap();
    assert_eq!(views("cifar10-resnet18"), preset.augment);
    let dir = tempfile::tempdir().unwrap();
    let config = tiny(&["augment.views.1.gray=0.75"]);
    let file = dir.path().join("my.toml");
    std::fs::write(&file, config.to_toml()).unwrap();
    assert_eq!(views(file.to_str().unwrap()), config.augment);
    let run = dir.path().join("run");
    train(config.clone(), &run, false, Some(1));
    assert_eq!(views(run.to_str().unwrap()), config.augment);
}
