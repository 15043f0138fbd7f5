//! Presets: that they work, say where their values come from, and hold what the design gives.

use toml::Value;

use super::*;
use crate::timetable::Timetable;

fn preset(name: &str) -> RawConfig {
    RawConfig::preset(name).unwrap()
}

/// For the data that the preset is made for.
fn timetable(name: &str) -> Timetable {
    let num_samples = match name {
        "demo" => 6_000,
        "cifar10-resnet18" | "lightly-compat" => 50_000,
        "imagenet100-resnet50" => 126_689,
        name if name.starts_with("imagenet-") => 1_281_167,
        name => panic!("{name}: say here how many samples it is for"),
    };
    Timetable::new(&preset(name).resolve().unwrap(), num_samples).unwrap()
}

/// The value of a resolved preset at a path such as `model.groups.count`.
fn value(name: &str, path: &str) -> Value {
    let table = Value::Table(preset(name).resolve().unwrap().to_table());
    let found = path.split('.').try_fold(&table, |place, key| place.get(key));
    found.unwrap_or_else(|| panic!("{name}: no {path}")).clone()
}

#[test]
fn every_preset_resolves_and_its_stored_form_gives_the_same_settings() {
    for entry in presets::PRESETS {
        let config = preset(entry.name).resolve().unwrap();
        let again =
            RawConfig::default().with_text(&config.to_toml(), "stored").unwrap().resolve().unwrap();
        assert_eq!(config, again, "{}", entry.name);
        assert_eq!(config.differences(&config.to_table()), []);
        assert_eq!(config.run.name, entry.name);
    }
}

#[test]
fn every_preset_makes_a_timetable_for_its_data_without_a_warning() {
    for entry in presets::PRESETS {
        let config = preset(entry.name).resolve().unwrap();
        let table = timetable(entry.name);
        assert_eq!(table.warnings, Vec::<String>::new(), "{}", entry.name);
        let num_large = config.augment.expanded().filter(|view| view.large).count();
        assert_eq!(num_large, 2, "{}: two views set targets", entry.name);
    }
}

#[test]
fn every_value_of_a_preset_says_where_it_comes_from() {
    for entry in presets::PRESETS {
        for line in entry.text.lines().filter(|line| line.contains(" = ") && !line.starts_with('#'))
        {
            assert!(line.contains(" # "), "{}: no source given in `{line}`", entry.name);
        }
    }
}

/// What presets are meant to be, `name = value`.
const DESIGN: &[(&[&str], &[&str])] = &[
    (
        &["imagenet-resnet50", "imagenet-resnet50-multicrop"],
        &[
            "model.groups.count = 3000",
            "reset.every = '300 steps'",
            "reset.copy_to_momentum = true",
            "schedule.momentum_start = 0.996",
            "optimizer.kind = 'lars'",
            "optimizer.weight_decay = 1e-6",
            "schedule.lr_per_256 = 0.3",
            "schedule.warmup = '10 epochs'",
            // From 0.3 to 4.8.
            "schedule.warmup_start = 0.0625",
            "schedule.final_lr_ratio = 0.001",
            "reset.kmeans.max_points_per_group = 256",
        ],
    ),
    (
        &["cifar10-resnet18"],
        &[
            "model.groups.count = 300",
            "reset.every = '300 steps'",
            "schedule.momentum_start = 0.99",
            "optimizer.kind = 'sgd'",
            "optimizer.weight_decay = 5e-4",
            "schedule.lr_per_256 = 0.12",
        ],
    ),
    (
        &["imagenet-resnet50", "imagenet-resnet50-multicrop", "cifar10-resnet18"],
        &[
            "model.groups.normalize_members = true",
            "model.groups.renormalize_groups = true",
            "model.direction = 'both'",
            "schedule.momentum_rises = true",
            "reset.memory = 0",
            "reset.kmeans.distance = 'spherical'",
            "reset.kmeans.passes = 20",
        ],
    ),
    (
        &["lightly-compat"],
        &[
            "model.groups.count = 300",
            "model.groups.normalize_members = false",
            "model.groups.renormalize_groups = false",
            "model.direction = 'alternate'",
            "schedule.momentum_start = 0.99",
            "schedule.momentum_rises = false",
            "reset.every = '300 steps'",
            "reset.copy_to_momentum = true",
            "reset.kmeans.distance = 'euclidean'",
            "optimizer.kind = 'sgd'",
            "optimizer.weight_decay = 1e-6",
            "schedule.lr_per_256 = 0.01",
        ],
    ),
    (
        &["imagenet-resnet50", "imagenet-resnet50-multicrop", "cifar10-resnet18", "lightly-compat"],
        &[
            "model.groups.beta = 0.99",
            "model.groups.temperature = 0.1",
            "model.momentum_predictor = false",
        ],
    ),
];

#[test]
fn presets_hold_the_values_of_the_design() {
    for (names, lines) in DESIGN {
        for (name, line) in names.iter().flat_map(|name| lines.iter().map(move |line| (name, line)))
        {
            let (path, expected) = line.split_once(" = ").unwrap();
            let expected: toml::Table = format!("value = {expected}").parse().unwrap();
            assert_eq!(value(name, path), expected["value"], "{name}: {path}");
        }
    }
    let sizes = |name| preset(name).resolve().unwrap().augment.view_sizes();
    assert_eq!(sizes("imagenet-resnet50"), [224, 224]);
    assert_eq!(sizes("imagenet-resnet50-multicrop"), [224, 224, 96, 96, 96, 96]);
    assert_eq!(sizes("cifar10-resnet18"), [32, 32]);
    assert_eq!(sizes("lightly-compat").len(), 2);
    let paper = timetable("imagenet-resnet50");
    assert_eq!(paper.lr(0), 0.0625 * paper.peak_lr);
    assert_eq!(paper.lr(paper.warmup.steps - 1), paper.peak_lr);
    // Ten epochs of two hundred; 300 x 256 features, and all of an epoch's.
    let small = timetable("cifar10-resnet18");
    assert_eq!(small.warmup.steps, 10 * small.scale.steps_per_epoch);
    assert_eq!(timetable("lightly-compat").memory, 300 * 256);
    assert!(small.memory >= 50_000);
}

/// Lightly's run is that of `model/src/smog/lightly_tests.rs`.
#[test]
fn lightly_compat_is_the_run_that_was_compared_with_lightly() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/lightly_steps.json");
    let run: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut leaves = Vec::new();
    let mut rest = vec![(String::new(), &run["settings"])];
    while let Some((path, place)) = rest.pop() {
        match place.as_object() {
            Some(table) => {
                rest.extend(table.iter().map(|(key, below)| (format!("{path}.{key}"), below)));
            }
            None => leaves.push((path[1..].to_owned(), place)),
        }
    }
    assert_eq!(leaves.len(), 21, "{leaves:?}");
    for (path, expected) in leaves {
        let found = serde_json::to_value(value("lightly-compat", &path)).unwrap();
        assert_eq!(found, *expected, "{path}");
    }
}
