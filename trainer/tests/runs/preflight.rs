//! What is refused before step 0, in plain words, and leaves no run folder behind.

use crate::support::{data, events, open, refused, tiny, train, within};

fn assert_refused(sets: &'static [&'static str], parts: &'static [&'static str]) {
    within(60, move || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let message = refused(tiny(sets), &run, false);
        for part in parts {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(!run.exists(), "a refused run leaves nothing behind");
    });
}

#[test]
fn fewer_samples_than_groups() {
    assert_refused(&["model.groups.count=61"], &["model.groups.count = 61", "only 60 samples"]);
}

#[test]
fn a_memory_smaller_than_the_groups() {
    assert_refused(&["reset.memory=7"], &["7 features", "model.groups.count = 8"]);
}

#[test]
fn a_batch_larger_than_the_set() {
    assert_refused(&["run.batch_size=64"], &["run.batch_size = 64", "only 60 samples"]);
}

#[test]
fn slots_over_the_memory_budget() {
    assert_refused(
        &[
            "stream.memory_budget_mib=1",
            "run.batch_size=60",
            "augment.views.0.size=256",
            "augment.views.1.size=256",
        ],
        &[
            "does not fit in its memory budget",
            "raise stream.memory_budget_mib to ",
            "run.batch_size",
        ],
    );
}

#[test]
fn all_that_does_not_fit_at_once_with_the_settings_that_would() {
    assert_refused(
        &["run.batch_size=64", "model.groups.count=61"],
        &[
            "run.batch_size = 64",
            "model.groups.count = 61",
            "--set run.batch_size=4 --set model.groups.count=2",
        ],
    );
}

#[test]
fn a_folder_of_pictures_as_run_folder() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("0001.jpg"), "").unwrap();
        let message = refused(tiny(&[]), dir.path(), false);
        assert!(message.contains("0001.jpg is in it"), "{message}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was added");
    });
}

#[test]
fn a_device_that_is_not_there() {
    assert_refused(&["run.device=cuda:99"], &["run.device = cuda:99"]);
}

#[test]
fn a_run_folder_that_is_taken_and_one_that_is_empty() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let message = refused(tiny(&[]), &run, true);
        assert!(message.contains("holds no run"), "{message}");
        train(tiny(&[]), &run, false, Some(1));
        let message = refused(tiny(&[]), &run, false);
        assert!(
            message.contains("already holds a run") && message.contains("--resume"),
            "{message}"
        );
    });
}

#[test]
fn two_processes_in_one_run_folder() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let first = open(tiny(&[]), &run, false, None).unwrap();
        let message = refused(tiny(&[]), &run, true);
        assert!(message.contains("another smog-trainer"), "{message}");
        drop(first);
        train(tiny(&[]), &run, true, Some(1));
    });
}

#[test]
fn a_loss_that_is_not_a_number_stops_the_run_and_keeps_its_state_apart() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let sets = ["schedule.lr_per_256=1e30", "schedule.warmup=never"];
        let session = open(tiny(&sets), &run, false, None).unwrap();
        let error = session.train(&Default::default()).unwrap_err().to_string();
        assert!(error.contains("not a finite number at step"), "{error}");
        assert_eq!(events(&run, "diverged").len(), 1);
        let saved: Vec<_> = std::fs::read_dir(run.join("diverged")).unwrap().flatten().collect();
        assert!(saved.iter().any(|entry| entry.path().join("samples.json").is_file()));
        assert!(!run.join("checkpoints").exists(), "nothing resumes from it");
    });
}

#[test]
fn a_line_counts_the_losses_of_all_steps_since_the_last_one() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let means = |name: &str, sets: &[&str]| -> Vec<f64> {
            let run = dir.path().join(name);
            train(tiny(sets), &run, false, Some(8));
            events(&run, "step").iter().map(|line| line["mean_loss"].as_f64().unwrap()).collect()
        };
        let each = means("each", &[]);
        let sets = ["run.log_every=\"4 steps\"", "run.checkpoint_every=\"3 steps\""];
        let fours = means("fours", &sets);
        assert_eq!((each.len(), fours.len()), (8, 2));
        for (mean, four) in fours.iter().zip(each.chunks(4)) {
            let expected = four.iter().sum::<f64>() / 4.0;
            assert!((mean - expected).abs() < 1e-12, "{mean} {expected}");
        }
    });
}

#[test]
fn a_run_folder_that_nobody_named_takes_a_number_where_it_is_taken() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let open = || {
            let options = smog_trainer::session::RunOptions {
                run_dir: run.clone(),
                may_number: true,
                quiet: true,
                ..Default::default()
            };
            smog_trainer::session::Session::open(tiny(&[]), &data(), None, options).unwrap()
        };
        let first = open();
        assert_eq!(first.run_dir(), run);
        assert_eq!(open().run_dir(), run.with_file_name("run-2"));
    });
}

#[test]
fn the_metrics_say_what_a_run_does() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        train(tiny(&["run.log_every=\"4 steps\""]), &run, false, Some(10));
        let start = &events(&run, "start")[0];
        assert_eq!(
            (start["total_steps"].as_u64(), start["steps_per_epoch"].as_u64()),
            (Some(40), Some(7))
        );
        assert_eq!(start["chance_loss"].as_f64(), Some(8f64.ln()));
        let steps = events(&run, "step");
        assert_eq!(
            steps.iter().map(|line| line["step"].as_u64().unwrap()).collect::<Vec<_>>(),
            [4, 8, 10]
        );
        for key in [
            "mean_loss",
            "lr",
            "gradient_norm",
            "images_per_second",
            "data_wait_ratio",
            "effective_groups",
            "epoch",
        ] {
            assert!(steps[0][key].is_number(), "{key}");
        }
        assert!(steps[0]["data_wait_seconds"].is_number());
        let stream = events(&run, "stream");
        assert_eq!(stream.len(), 3, "one beside each line of a step");
        assert_eq!(stream[2]["trainer_batches_total"].as_u64(), Some(10));
        for key in [
            "decode_busy_seconds_total",
            "fetch_queue_occupancy_ratio",
            "transfer_busy_seconds_total",
            "transfer_queue_mean_depth",
            "uptime_seconds",
        ] {
            assert!(stream[2][key].is_number(), "{key}");
        }
        assert_eq!(stream[2]["transfer_samples_total"].as_u64(), Some(80), "every batch of 8");
        let summary = &events(&run, "summary")[0];
        assert!(summary["slowest_stage"].is_string() && summary["data_wait_ratio"].is_number());
        for ring in ["fetch", "decode", "trainer", "transfer"] {
            let ratio = summary["ring_fill_ratios"][ring].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&ratio), "{ring}: {ratio}");
        }
        // On a CPU the device does a step while it is queued, so this says nothing there.
        for line in steps.iter().chain([summary]) {
            assert!(line.get("launch_seconds").is_none() && line.get("launch_ratio").is_none());
        }
        assert_eq!(events(&run, "checkpoint").len(), 1);
        let end = &events(&run, "end")[0];
        assert_eq!((end["step"].as_u64(), end["finished"].as_bool()), (Some(10), Some(false)));
        assert_eq!(data(), smog_trainer::data::DataSet::Synthetic { count: 60, side: 32 });
    });
}
