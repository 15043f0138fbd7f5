//! A run whose weights break leaves a checkpoint to go on from, and none that is broken.

use std::path::Path;

use smog_trainer::checkpoint::Checkpoint;
use smog_trainer::error::{Broken, TrainError};
use smog_trainer::folder::checkpoints;
use smog_trainer::session::{RunOptions, Session};
use smog_trainer::settings::RunConfig;
use smog_trainer::train::Outcome;

use crate::support::{data, events, losses, newest, open, tiny, train, within};

/// A checkpoint after each step, and only one of them kept.
const EACH_STEP: &[&str] =
    &["run.checkpoint_every=\"1 steps\"", "run.keep_checkpoints=1", "optimizer.kind=sgd"];

fn config(more: &[&str]) -> RunConfig {
    tiny(&[EACH_STEP, more].concat())
}

/// Three good steps, then steps at another learning rate; what these end with.
fn broken_after_three(run: &Path, lr: &str) -> TrainError {
    three_good(run);
    goes_on_at(run, lr)
}

fn three_good(run: &Path) {
    assert_eq!(train(config(&[]), run, false, Some(3)), Outcome::Interrupted);
    assert_eq!(
        checkpoints(run, 1).steps(),
        [2, 3],
        "one is kept, and one until it is known to be good"
    );
}

fn goes_on_at(run: &Path, lr: &str) -> TrainError {
    let options = RunOptions {
        run_dir: run.to_owned(),
        resume: true,
        allow_change: vec!["schedule.lr_per_256".to_owned()],
        quiet: true,
        ..RunOptions::default()
    };
    let lr = format!("schedule.lr_per_256={lr}");
    let session = Session::open(config(&[&lr]), &data(), None, options).unwrap();
    session.train(&Default::default()).unwrap_err()
}

/// That the run goes on at step 3 by itself and ends as one that never broke.
fn assert_goes_on_at_three(run: &Path, error: &TrainError) {
    let text = error.to_string();
    assert!(text.contains("that of step 3: --resume goes on there"), "{text}");
    assert_eq!((checkpoints(run, 1).steps(), newest(run).state.step), (vec![3], 3));
    let whole = run.with_file_name("whole");
    train(config(&[]), &whole, false, None);
    assert_eq!(train(config(&[]), run, true, None), Outcome::Finished);
    let resumed = events(run, "resume");
    assert_eq!(resumed.last().unwrap()["step"].as_u64(), Some(3));
    assert_eq!(losses(run), losses(&whole));
    assert_eq!(newest(run).state.files, newest(&whole).state.files);
}

#[test]
fn a_checkpoint_whose_weights_give_no_loss_is_set_aside_for_the_good_one_before_it() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let error = broken_after_three(&run, "1e30");
        // The update of step 4 leaves numbers, far too large ones; the loss of step 5 shows it.
        let TrainError::Diverged { what: Broken::Loss, step: 5, saved: Some(saved), .. } = &error
        else {
            panic!("{error}")
        };
        assert!(saved.join("samples.json").is_file());
        let state = Checkpoint::open(saved).unwrap().state;
        assert_eq!(state.step, 4);
        // The checkpoint itself: the state after it has seen the batch of step 5.
        assert_eq!(state.stream.next_step, 4);
        assert_eq!(events(&run, "checkpoint").last().unwrap()["step"].as_u64(), Some(4));
        assert_goes_on_at_three(&run, &error);
    });
}

#[test]
fn weights_that_are_no_numbers_are_not_kept_as_a_checkpoint() {
    within(120, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let error = broken_after_three(&run, "1e300");
        let TrainError::Diverged {
            what: Broken::State { tensor },
            step: 4,
            saved: Some(saved),
            ..
        } = &error
        else {
            panic!("{error}")
        };
        assert!(tensor.starts_with("online.encoder."), "{tensor}");
        assert!(saved.join("samples.json").is_file());
        assert_eq!(events(&run, "diverged")[0]["step"].as_u64(), Some(4));
        assert_goes_on_at_three(&run, &error);
    });
}

#[test]
fn a_last_step_that_breaks_the_weights_is_no_finished_run() {
    within(60, || {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let sets = ["run.length=\"1 steps\"", "schedule.lr_per_256=1e300", "schedule.warmup=never"];
        let session = open(config(&sets), &run, false, None).unwrap();
        let text = session.train(&Default::default()).unwrap_err().to_string();
        for part in ["online.encoder.", "finite numbers", "at step 1", "There is no checkpoint"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!run.join("checkpoints").exists() && events(&run, "end").is_empty());
    });
}

/// A file where the folder should be stands in for a disk that refuses it.
#[test]
fn a_state_that_cannot_be_saved_hides_no_divergence_and_the_run_goes_back_all_the_same() {
    within(120, || {
        for (lr, broken_at) in [("1e30", 5), ("1e300", 4)] {
            let dir = tempfile::tempdir().unwrap();
            let run = dir.path().join("run");
            three_good(&run);
            std::fs::write(run.join("diverged"), "").unwrap();
            let error = goes_on_at(&run, lr);
            let text = error.to_string();
            let TrainError::Diverged { step, saved: None, good: Some(3), .. } = error else {
                panic!("{text}")
            };
            assert_eq!(step, broken_at, "{text}");
            assert!(text.contains("But the state could not be saved for a look: cannot"), "{text}");
            assert_eq!(newest(&run).state.step, 3, "{text}");
            assert_eq!(events(&run, "diverged")[0]["step"].as_u64(), Some(broken_at));
        }
    });
}
