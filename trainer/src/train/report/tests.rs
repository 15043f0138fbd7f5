use super::*;
use crate::data::DataSet;
use crate::session::RunOptions;
use crate::settings::RawConfig;
use smog_pipeline::sample::{Ordinal, SampleId};

/// A run that has done nothing yet.
fn session(dir: &std::path::Path) -> Session {
    let sets = [
        "run.device=cpu",
        "run.batch_size=8",
        "model.groups.count=8",
        "model.encoder.width=8",
        "run.threads=1",
    ];
    let raw =
        sets.iter().fold(RawConfig::preset("demo").unwrap(), |raw, set| raw.with_set(set).unwrap());
    let options = RunOptions { run_dir: dir.to_owned(), quiet: true, ..RunOptions::default() };
    let data = DataSet::Synthetic { count: 60, side: 32 };
    Session::open(raw.resolve().unwrap(), &data, None, options).unwrap()
}

/// As on a GPU, where losses are looked at some steps later.
#[test]
fn a_loss_that_is_looked_at_later_names_its_own_step_and_samples() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = session(&dir.path().join("run"));
    for step in 0..6 {
        session.keys.note(step, &keys(step as u32));
    }
    session.position.step = 6;
    let mut window = session.window().unwrap();
    window.losses = [1.0, 2.0].map(Tensor::from).into();
    session.check_losses(&window).unwrap();
    window.losses = [1.0, 2.0, f64::NAN, f64::INFINITY].map(Tensor::from).into();
    session.keys = RecentKeys::default();
    for step in 2..6 {
        session.keys.note(step, &keys(step as u32));
    }
    let error = session.check_losses(&window).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("at step 5 (seen after step 6, of which the saved state is)"), "{text}");
    let TrainError::Diverged { saved: Some(saved), .. } = error else { panic!("{text}") };
    let named: Vec<SampleKey> =
        serde_json::from_slice(&std::fs::read(saved.join("samples.json")).unwrap()).unwrap();
    assert_eq!(named, keys(4), "of step 5, counted from 1");
}

fn keys(number: u32) -> Vec<SampleKey> {
    vec![SampleKey {
        epoch: 0,
        ordinal: Ordinal(number.into()),
        sample: SampleId(number),
        attempt: 0,
    }]
}

#[test]
fn the_samples_of_a_step_are_known_until_its_loss_was_looked_at() {
    let mut recent = RecentKeys::default();
    assert_eq!(recent.of(0), []);
    for step in 3..7 {
        recent.note(step, &keys(step as u32));
    }
    assert_eq!(recent.of(4), keys(4));
    recent.checked(4);
    assert_eq!((recent.of(4), recent.of(5)), (&[][..], keys(5).as_slice()));
    recent.checked(9);
    assert_eq!(recent.of(6), keys(6), "the newest stays");
    assert_eq!(recent.of(20), keys(6), "a run on one batch shows it in every later step");
    recent.note(7, &keys(7));
    assert_eq!(recent.of(7), keys(7));
    assert_eq!(recent.spare.len() + recent.steps.len(), 4, "memory is used again");
}
