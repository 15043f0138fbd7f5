use super::*;
use crate::settings::RawConfig;

/// The demo's settings with 40 groups, so that the numbers below are those of this file.
fn with(sets: &[&str]) -> RunConfig {
    ["model.groups.count=40"]
        .iter()
        .chain(sets)
        .fold(RawConfig::preset("demo").unwrap(), |raw, set| raw.with_set(set).unwrap())
        .resolve()
        .unwrap()
}

fn refused(sets: &[&str], num_samples: u64) -> String {
    Timetable::new(&with(sets), num_samples).unwrap_err().to_string()
}

#[test]
fn a_batch_larger_than_the_set_is_refused_with_both_numbers() {
    let message = refused(&["run.batch_size=256"], 255);
    assert!(
        message.contains("run.batch_size = 256") && message.contains("only 255 samples"),
        "{message}"
    );
    assert!(Timetable::new(&with(&["run.batch_size=256"]), 256).is_ok());
}

#[test]
fn more_groups_than_samples_are_refused_with_a_suggestion() {
    let message = refused(&["model.groups.count=3000"], 700);
    assert!(
        message.contains("model.groups.count = 3000") && message.contains("only 700 samples"),
        "{message}"
    );
    assert!(message.contains("start: 14"), "{message}");
}

#[test]
fn a_memory_smaller_than_the_groups_is_refused_as_set_and_as_worked_out() {
    let message = refused(&["reset.memory=39"], 2000);
    assert!(
        message.contains("39 features (reset.memory = 39) for model.groups.count = 40"),
        "{message}"
    );
    let message = refused(&["run.batch_size=4", "reset.every=\"2 steps\""], 2000);
    assert!(
        message.contains("holds 16 features") && message.contains("2 steps of 4 samples"),
        "{message}"
    );
}

#[test]
fn a_run_that_is_too_short_for_its_groups_says_so_with_its_own_steps() {
    let sets = ["run.length=\"2 steps\"", "run.batch_size=8", "reset.every=\"9 steps\""];
    let message = refused(&[&sets[..], &["schedule.warmup=never"]].concat(), 600);
    assert!(message.contains("holds 32 features"), "{message}");
    assert!(
        message.contains("those of 2 steps, all that the run has, of 8 samples, 2 of each"),
        "{message}"
    );
    assert!(
        message.contains("train for more steps") && !message.contains("reset.every"),
        "{message}"
    );
}

#[test]
fn a_warmup_as_long_as_the_run_is_refused() {
    let message = refused(&["schedule.warmup=\"20 steps\"", "run.length=\"20 steps\""], 2000);
    assert!(message.contains("20 steps"), "{message}");
}

#[test]
fn a_run_without_steps_is_refused() {
    assert!(refused(&["run.length=\"0 steps\""], 2000).contains("run.length = 0 steps"));
}

#[test]
fn too_many_groups_and_resets_that_never_come_are_mentioned() {
    let notes = |sets: &[&str], n| Timetable::new(&with(sets), n).unwrap().warnings.join("\n");
    assert_eq!(notes(&[], 3000), "");
    assert!(notes(&["model.groups.count=100"], 900).contains("fewer than ten samples"));
    assert!(notes(&["reset.every=never"], 3000).contains("never made anew"));
    let late = ["reset.every=\"999 epochs\"", "reset.early_first=false"];
    assert!(notes(&late, 3000).contains("there will be no reset"));
    assert!(notes(&["reset.every=\"1 steps\"", "reset.memory=400"], 6400).contains("many resets"));
    // ImageNet's preset at a batch of 256: 300 steps of 5,004.
    let imagenet = |batch: &str| {
        let raw = RawConfig::preset("imagenet-resnet50").unwrap().with_set(batch).unwrap();
        Timetable::new(&raw.resolve().unwrap(), 1_281_167).unwrap().warnings.join("\n")
    };
    let note = imagenet("run.batch_size=256");
    assert!(note.contains("reset.every = 300 steps is 0.060 epoch"), "{note}");
    assert_eq!(imagenet("run.batch_size=512"), "");
    let short = ["reset.every=\"2 steps\"", "reset.memory=400", "run.batch_size=8"];
    assert!(notes(&short, 64).contains("show only 32 features for 40 groups"));
}

#[test]
fn a_reset_that_must_wait_is_said_once() {
    let timetable = Timetable::new(&with(&["reset.every=\"8 steps\""]), 3000).unwrap();
    let waits = |remembered| (1..30).filter(|&n| timetable.reset_waits(n, remembered)).count();
    assert_eq!((waits(39), waits(40)), (1, 0), "40 groups");
    assert!(timetable.reset_waits(8, 39) && !timetable.reset_due(8, 1, 39));
}

#[test]
fn the_learning_rate_follows_the_batch() {
    let lr = |sets: &[&str]| Timetable::new(&with(sets), 3000).unwrap().peak_lr;
    assert_eq!(lr(&["run.batch_size=256", "schedule.lr_per_256=0.5"]), 0.5);
    assert_eq!(lr(&["run.batch_size=64", "schedule.lr_per_256=0.5"]), 0.125);
}

#[test]
fn the_memory_holds_one_interval_within_what_kmeans_draws() {
    let memory = |sets: &[&str]| Timetable::new(&with(sets), 6400).unwrap().memory;
    assert_eq!(memory(&["reset.every=\"10 steps\""]), 10 * 64 * 2);
    assert_eq!(memory(&["reset.every=\"10 steps\"", "model.direction=alternate"]), 10 * 64);
    assert_eq!(memory(&["reset.every=\"1 epochs\""]), 40 * 256);
    assert_eq!(memory(&["reset.memory=777"]), 777);
    assert_eq!(memory(&["reset.every=never"]), 0);
}

#[test]
fn the_preset_of_lightly_has_its_constant_rates_memory_and_resets() {
    let config = RawConfig::preset("lightly-compat").unwrap().resolve().unwrap();
    let table = Timetable::new(&config, 50_000).unwrap();
    for step in [0, 1, 299, 38_999] {
        assert!((table.lr(step) - 0.01).abs() < 1e-12 && table.momentum(step) == 0.99);
    }
    assert_eq!(table.memory, 300 * 256);
    assert!(!table.reset_due(299, 0, 299 * 256) && table.reset_due(300, 0, 300 * 256));
    assert!(table.warnings.is_empty(), "{:?}", table.warnings);
}

#[test]
fn a_reset_comes_early_once_then_at_its_interval_and_waits_for_features() {
    let sets = ["reset.every=\"10 steps\"", "reset.memory=1000"];
    let table = Timetable::new(&with(&sets), 6400).unwrap();
    assert!(!table.reset_due(3, 0, 399));
    assert!(table.reset_due(4, 0, 400), "ten features per group");
    assert!(!table.reset_due(4, 1, 1000), "only the first comes early");
    assert!(table.reset_due(10, 1, 1000));
    assert!(!table.reset_due(10, 0, 39), "fewer features than groups");
    assert!(table.reset_due(12, 0, 40));
}
