use super::*;
use crate::metrics::MetricsFile;
use crate::train::tiny::session;
use smog_pipeline::sample::{Ordinal, SampleId};

/// As on a GPU, where a loss is only seen in its line.
#[test]
fn a_line_that_cannot_be_written_hides_no_divergence() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = session(&dir.path().join("run"), &[], false, None);
    let mut window = session.window().unwrap();
    let batch = session.take_batch(&mut window).unwrap();
    let Ok(report) = session.step(0, batch).unwrap() else { panic!("the first step diverged") };
    window.losses = vec![Tensor::from(f64::NAN)];
    session.begin_line(&mut window, &report.groups).unwrap();
    session.metrics = MetricsFile::open(std::path::Path::new("/dev/full")).unwrap();
    let error = session.read_line(true).unwrap_err();
    let text = error.to_string();
    let TrainError::Diverged { what: Broken::Loss, step: 1, saved: Some(_), .. } = error else {
        panic!("{text}")
    };
    assert!(text.contains("But the metrics cannot be written any more: "), "{text}");
}

/// As on a GPU, where losses are looked at some steps later.
#[test]
fn a_loss_that_is_looked_at_later_names_its_own_step_and_samples() {
    let dir = tempfile::tempdir().unwrap();
    let mut session = session(&dir.path().join("run"), &[], false, None);
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
