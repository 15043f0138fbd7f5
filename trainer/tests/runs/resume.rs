//! A run that was stopped anywhere and resumed is the run that was never stopped, to the last bit.

use std::path::Path;

use crate::support::{data, events, losses, newest, open, refused, tiny, train, within};
use smog_trainer::folder::stored_settings;
use smog_trainer::session::{RunOptions, Session};
use smog_trainer::settings::RunConfig;
use smog_trainer::signals::StopRequest;
use smog_trainer::train::Outcome;

/// The run that all others are compared with.
fn whole(dir: &Path) {
    assert_eq!(train(tiny(&[]), dir, false, None), Outcome::Finished);
    let resets: Vec<u64> =
        events(dir, "reset").iter().map(|line| line["step"].as_u64().unwrap()).collect();
    assert_eq!(resets, [5, 14, 23, 32], "the tests below stop at some of these");
    assert_eq!(losses(dir).len(), 40);
}

/// Asserts equal losses at every step and equal tensors at the end. Files are equal if and only if their
/// digests are.
fn assert_same(dir: &Path, reference: &Path, case: &str) {
    assert_eq!(losses(dir), losses(reference), "{case}");
    let (state, expected) = (newest(dir).state, newest(reference).state);
    assert_eq!(state.step, 40, "{case}");
    assert_eq!(state.files, expected.files, "{case}");
    assert_eq!(state.files.len(), 3, "model, optimizer, memory");
    assert_eq!(
        (state.steps_since_reset, state.num_resets),
        (expected.steps_since_reset, expected.num_resets)
    );
    assert_eq!(state.stream, expected.stream, "{case}");
}

#[test]
fn a_run_stopped_at_any_step_and_resumed_is_the_whole_run_to_the_last_bit() {
    within(300, || {
        let dir = tempfile::tempdir().unwrap();
        let reference = dir.path().join("whole");
        whole(&reference);
        // 5 and 14: in the step of a reset; 6: right after one; 7 and 21: epoch edges; 39: before the last step.
        for stop in [1, 5, 6, 7, 14, 21, 33, 39] {
            let run = dir.path().join(format!("stopped-{stop}"));
            assert_eq!(train(tiny(&[]), &run, false, Some(stop)), Outcome::Interrupted);
            assert_eq!(newest(&run).state.step, stop);
            assert_eq!(train(tiny(&[]), &run, true, None), Outcome::Finished);
            assert_same(&run, &reference, &format!("stopped after step {stop}"));
        }
        let run = dir.path().join("stopped-often");
        train(tiny(&[]), &run, false, Some(4));
        while newest(&run).state.step < 40 {
            train(tiny(&[]), &run, true, Some(7));
        }
        assert_same(&run, &reference, "stopped every 7 steps");
    });
}

#[test]
fn a_transformer_with_drop_path_resumes_to_the_last_bit() {
    within(120, || {
        for arch in ["vit_small", "swin_t"] {
            let dir = tempfile::tempdir().unwrap();
            let arch = format!("model.encoder.arch={arch}");
            let run = |name: &str, drop_path: &str, resume, stop| {
                let drop_path = format!("model.encoder.drop_path={drop_path}");
                let sets = [
                    arch.as_str(),
                    drop_path.as_str(),
                    "model.encoder.patch=4",
                    "model.encoder.image_size=32",
                    "run.length=\"8 steps\"",
                ];
                let path = dir.path().join(name);
                train(tiny(&sets), &path, resume, stop);
                path
            };
            let reference = run("whole", "0.5", false, None);
            run("stopped", "0.5", false, Some(3));
            let resumed = run("stopped", "0.5", true, None);
            assert_eq!(losses(&resumed), losses(&reference), "{arch}");
            assert_eq!(newest(&resumed).state.files, newest(&reference).state.files, "{arch}");
            let without = run("without", "0.0", false, Some(2));
            assert_ne!(losses(&without)[&1], losses(&reference)[&1], "{arch}: nothing was dropped");
        }
    });
}

#[test]
fn a_run_killed_between_checkpoints_repeats_the_lost_steps_to_the_last_bit() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let (reference, run) = (dir.path().join("whole"), dir.path().join("killed"));
        whole(&reference);
        let config = || tiny(&["run.checkpoint_every=\"6 steps\""]);
        train(config(), &run, false, Some(16));
        // As a kill in step 16 while its checkpoint is written would leave it: that one half, the metrics'
        // last line cut short.
        let checkpoints = run.join("checkpoints");
        std::fs::remove_file(checkpoints.join("step-00000016/state.json")).unwrap();
        let metrics = run.join("metrics.jsonl");
        let mut text = std::fs::read_to_string(&metrics).unwrap();
        text.truncate(text.len() - 30);
        std::fs::write(&metrics, text).unwrap();
        assert_eq!(newest(&run).state.step, 12);
        assert_eq!(train(config(), &run, true, None), Outcome::Finished);
        let resumed: Vec<u64> =
            events(&run, "resume").iter().map(|line| line["step"].as_u64().unwrap()).collect();
        assert_eq!(resumed, [12]);
        assert_same(&run, &reference, "killed in step 16");
    });
}

#[test]
fn k_nn_and_other_workers_on_the_way_change_no_step() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let (reference, run) = (dir.path().join("whole"), dir.path().join("other"));
        whole(&reference);
        let sets =
            ["eval.knn_every=\"10 steps\"", "stream.workers=3", "stream.num_slots=5", "eval.k=5"];
        // Three workers would leave libtorch's thread count as it is: one, as the budget has one core.
        train(tiny(&sets), &run, false, Some(15));
        train(tiny(&["stream.workers=2", "run.keep_checkpoints=1"]), &run, true, None);
        assert_same(&run, &reference, "with evaluations and other workers");
        let steps: Vec<u64> =
            events(&run, "knn").iter().map(|line| line["step"].as_u64().unwrap()).collect();
        assert_eq!(steps, [0, 0, 10, 10], "both metrics at the start and at step 10");
    });
}

#[test]
fn clipped_bf16_runs_resume_to_the_last_bit_too() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let config = || {
            tiny(&["run.precision=bf16", "optimizer.kind=adamw", "optimizer.clip_grad_norm=0.5"])
        };
        let (reference, run) = (dir.path().join("whole"), dir.path().join("stopped"));
        train(config(), &reference, false, None);
        train(config(), &run, false, Some(17));
        train(config(), &run, true, None);
        assert_same(&run, &reference, "bf16, AdamW, clipped");
    });
}

#[test]
fn what_a_run_has_for_good_is_refused_even_where_the_change_was_allowed() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        train(tiny(&[]), &run, false, Some(2));
        for (key, value) in [
            ("model.groups.count", "9"),
            ("model.encoder.width", "16"),
            ("run.batch_size", "4"),
            ("run.seed", "5"),
            ("augment.views.0.flip", "0.25"),
            ("stream.order.row_groups", "3"),
        ] {
            let options = RunOptions {
                run_dir: run.clone(),
                resume: true,
                allow_change: vec![key.to_owned()],
                quiet: true,
                ..Default::default()
            };
            let config = tiny(&[&format!("{key}={value}")]);
            let result = Session::open(config, &data(), None, options);
            let Err(error) = result else { panic!("{key} was not refused") };
            assert!(error.is_usage(), "{key}");
            let message = error.to_string();
            assert!(message.contains("cannot change within a run"), "{message}");
            assert!(message.contains(key) && message.contains("--init"), "{message}");
            assert!(
                !message.contains("--allow-change"),
                "what cannot work is not offered: {message}"
            );
        }
        train(tiny(&[]), &run, true, Some(1));
    });
}

#[test]
fn a_run_whose_checkpoints_are_all_damaged_is_refused_and_keeps_them() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        train(tiny(&["run.checkpoint_every=\"1 steps\""]), &run, false, Some(2));
        let checkpoints = run.join("checkpoints");
        for step in [1, 2] {
            let model = checkpoints.join(format!("step-{step:08}/model.safetensors"));
            let bytes = std::fs::read(&model).unwrap();
            std::fs::write(&model, &bytes[..bytes.len() / 2]).unwrap();
        }
        let message = refused(tiny(&[]), &run, true);
        assert!(message.contains("can be read (step 1, 2)"), "{message}");
        assert!(checkpoints.join("step-00000001").is_dir(), "nothing was deleted");
    });
}

#[test]
fn a_run_stopped_before_its_first_checkpoint_starts_again() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let (reference, run) = (dir.path().join("whole"), dir.path().join("early"));
        whole(&reference);
        train(tiny(&[]), &run, false, Some(3));
        std::fs::remove_dir_all(run.join("checkpoints")).unwrap();
        train(tiny(&[]), &run, true, None);
        assert_same(&run, &reference, "started again");
    });
}

#[test]
fn a_run_without_a_checkpoint_goes_on_with_the_settings_of_its_last_sitting() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        train(tiny(&[]), &run, false, Some(1));
        std::fs::remove_dir_all(run.join("checkpoints")).unwrap();
        let smaller = || tiny(&["run.batch_size=4", "model.encoder.width=16"]);
        train(smaller(), &run, true, Some(2));
        let stored = stored_settings(&run).unwrap().resolve().unwrap();
        assert_eq!(stored, smaller());
        train(stored, &run, true, Some(1));
        assert_eq!(newest(&run).state.step, 3);
    });
}

#[test]
fn settings_that_differ_from_the_checkpoint_are_refused_with_both_values() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        train(tiny(&[]), &run, false, Some(2));
        let message =
            refused(tiny(&["model.groups.beta=0.9", "schedule.lr_per_256=0.5"]), &run, true);
        assert!(
            message.contains("model.groups.beta: 0.99 in the checkpoint, 0.9 now"),
            "{message}"
        );
        assert!(
            message.contains("schedule.lr_per_256: 0.24 in the checkpoint, 0.5 now"),
            "{message}"
        );
        assert!(message.contains("--allow-change"), "{message}");
    });
}

/// Goes on with `--allow-change run.length`.
fn train_to_another_length(config: RunConfig, run: &Path) -> Outcome {
    allowing("run.length", config, run, None).train(&StopRequest::default()).unwrap()
}

/// Opens a run to go on with, with `--allow-change KEY`.
fn allowing(key: &str, config: RunConfig, run: &Path, stop_after: Option<u64>) -> Session {
    let options = RunOptions {
        run_dir: run.to_owned(),
        resume: true,
        allow_change: vec![key.to_owned()],
        stop_after,
        quiet: true,
        ..RunOptions::default()
    };
    Session::open(config, &data(), None, options).unwrap()
}

#[test]
fn a_change_that_was_allowed_holds_for_a_run_that_is_killed_before_its_next_checkpoint() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        train(tiny(&[]), &run, false, Some(2));
        let changed = || tiny(&["schedule.lr_per_256=0.5"]);
        drop(allowing("schedule.lr_per_256", changed(), &run, None));
        let stored = || stored_settings(&run).unwrap().resolve().unwrap();
        assert_eq!(stored(), changed());
        // That value at that step, and nothing else.
        for other in ["schedule.lr_per_256=0.6", "model.groups.beta=0.9"] {
            let message = refused(tiny(&["schedule.lr_per_256=0.5", other]), &run, true);
            assert!(message.contains("--allow-change"), "{message}");
        }
        assert_eq!(train(stored(), &run, true, Some(2)), Outcome::Interrupted);
        let lines = events(&run, "resume");
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["changed"], lines[1]["changed"]);
        assert_eq!(lines[1]["changed"][0], "schedule.lr_per_256: 0.24 -> 0.5");
        // The checkpoint of step 4 has it; what was allowed at step 2 says nothing of a way back.
        let message = refused(tiny(&[]), &run, true);
        assert!(message.contains("schedule.lr_per_256: 0.5 in the checkpoint"), "{message}");
        // Going on with the old value needs no leave, and takes it back.
        let run = dir.path().join("back");
        train(tiny(&[]), &run, false, Some(2));
        drop(allowing("schedule.lr_per_256", changed(), &run, None));
        drop(open(tiny(&[]), &run, true, None).unwrap());
        let message = refused(changed(), &run, true);
        assert!(message.contains("--allow-change"), "{message}");
    });
}

#[test]
fn a_run_that_gets_resets_on_the_way_waits_until_there_is_something_to_make_groups_of() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        train(tiny(&["reset.every=never"]), &run, false, Some(12));
        let resumed = allowing("reset.every", tiny(&[]), &run, Some(10));
        resumed.train(&StopRequest::default()).unwrap();
        let resets: Vec<_> =
            events(&run, "reset").iter().map(|line| line["step"].as_u64().unwrap()).collect();
        // Ten features for each of 8 groups, 16 a step.
        assert_eq!(resets, [17]);
    });
}

#[test]
fn a_last_step_makes_no_groups_anew_and_a_longer_run_does_so_a_step_later() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let resets = || -> Vec<u64> {
            events(&run, "reset").iter().map(|line| line["step"].as_u64().unwrap()).collect()
        };
        train(tiny(&["run.length=\"14 steps\""]), &run, false, None);
        assert_eq!(resets(), [5], "the next was due in step 14");
        assert_eq!(newest(&run).state.steps_since_reset, 9);
        train_to_another_length(tiny(&["run.length=\"17 steps\""]), &run);
        assert_eq!(resets(), [5, 15]);
    });
}

#[test]
fn a_change_that_was_allowed_is_taken_over_and_written_down() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        train(tiny(&[]), &run, false, Some(2));
        let longer = tiny(&["run.length=\"4 steps\""]);
        assert_eq!(train_to_another_length(longer, &run), Outcome::Finished);
        assert_eq!(newest(&run).state.step, 4);
        assert_eq!(
            events(&run, "resume")[0]["changed"][0],
            "run.length: \"40 steps\" -> \"4 steps\""
        );
    });
}

#[test]
fn a_finished_run_goes_on_when_it_is_made_longer_and_its_memory_grows_with_it() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        // The memory holds what one interval shows, and a run of two steps is shorter than that.
        let of = |length: &str| tiny(&["reset.memory=0", length, "schedule.warmup=never"]);
        assert_eq!(train(of("run.length=2 steps"), &run, false, None), Outcome::Finished);
        assert_eq!(train(of("run.length=2 steps"), &run, true, None), Outcome::Finished);
        assert_eq!(losses(&run).len(), 2, "nothing was left to do");
        assert_eq!(train_to_another_length(of("run.length=8 steps"), &run), Outcome::Finished);
        assert_eq!(newest(&run).state.step, 8);
    });
}

#[test]
fn another_data_set_is_refused() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        train(tiny(&[]), &run, false, Some(2));
        let options = RunOptions { run_dir: run, resume: true, quiet: true, ..Default::default() };
        let other = smog_trainer::data::DataSet::Synthetic { count: 61, side: 32 };
        let error = Session::open(tiny(&[]), &other, None, options).err().unwrap();
        assert!(error.is_usage(), "{error}");
        assert!(error.to_string().contains("the data are not those of the checkpoint"), "{error}");
    });
}
