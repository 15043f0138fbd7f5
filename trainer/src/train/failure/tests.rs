use std::path::Path;
use std::sync::Arc;

use smog_model::Accumulate;
use smog_pipeline::sample::RowGroupId;
use smog_pipeline::source::{RowGroup, RowGroupInfo, Source, SourceError, SyntheticSource};
use smog_pipeline::stream::{BatchStream, Start, StreamMode};

use super::*;
use crate::error::Broken;
use crate::eval::knn::KnnData;
use crate::metrics::MetricsFile;
use crate::signals::StopRequest;
use crate::train::Outcome;
use crate::train::tiny::session;

/// The images of the tiny run, read after a call of `before`, which may refuse it.
struct Watched(SyntheticSource, Box<dyn Fn() -> Result<(), SourceError> + Send + Sync>);

impl Watched {
    fn new(before: impl Fn() -> Result<(), SourceError> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self(SyntheticSource::new(60, 64, 32, 0), Box::new(before)))
    }
}

impl Source for Watched {
    fn row_groups(&self) -> &[RowGroupInfo] {
        self.0.row_groups()
    }

    fn digest(&self) -> &str {
        self.0.digest()
    }

    fn classes(&self) -> &[String] {
        self.0.classes()
    }

    fn max_pixels(&self) -> u64 {
        self.0.max_pixels()
    }

    fn read(&self, group: RowGroupId) -> Result<RowGroup, SourceError> {
        (self.1)()?;
        self.0.read(group)
    }
}

fn newest(run: &Path) -> crate::checkpoint::Checkpoint {
    crate::folder::checkpoints(run, 9).newest().unwrap()
}

#[test]
fn a_stream_that_fails_between_two_steps_costs_none() {
    let dir = tempfile::tempdir().unwrap();
    let sets = ["run.length=\"6 steps\"", "schedule.warmup=never"];
    let [run, whole] = ["run", "whole"].map(|name| dir.path().join(name));
    let open = |resume, stop_after| session(&run, &sets, resume, stop_after);
    open(false, Some(2)).train(&StopRequest::default()).unwrap();
    let mut session = open(true, None);
    // A step that no checkpoint has.
    let mut window = session.window().unwrap();
    let batch = session.take_batch(&mut window).unwrap();
    assert!(session.step(2, batch).unwrap().is_ok());
    let config = session.config.stream.config(
        session.config.augment.clone(),
        session.config.run.batch_size,
        session.config.run.seed,
        StreamMode::Endless,
    );
    let source = Watched::new(|| {
        let (shard, problem) = ("synthetic".into(), "the mount is lost".to_owned());
        Err(SourceError::Damaged { shard, row_group: 0, problem })
    });
    let position = session.stream.position();
    session.stream = BatchStream::open(source, config, Start::State(&position)).unwrap();
    let error = session.train(&StopRequest::default()).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("the stream of batches failed after step 3: "), "{text}");
    assert!(text.contains("the mount is lost"), "{text}");
    assert!(text.contains(". What was trained is saved. Mend that, and go on with: "), "{text}");
    assert!(text.ends_with(&format!("run --resume {}", run.display())), "{text}");
    assert!(matches!(error, TrainError::Halted { step: 3, .. }), "{text}");
    assert_eq!(newest(&run).state.step, 3);
    open(true, None).train(&StopRequest::default()).unwrap();
    self::session(&whole, &sets, false, None).train(&StopRequest::default()).unwrap();
    assert_eq!(newest(&run).state.files, newest(&whole).state.files);
}

const EVERY_SECOND: [&str; 4] = [
    "run.length=\"6 steps\"",
    "schedule.warmup=never",
    "eval.knn_every=\"2 steps\"",
    "run.checkpoint_every=\"1000 steps\"",
];

#[test]
fn an_evaluation_that_fails_costs_no_step_and_says_how_to_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let open = |resume, stop_after| session(&run, &EVERY_SECOND, resume, stop_after);
    let fails = |mut session: Session| {
        // Refused when the neighbours vote.
        session.config.eval.temperature = 0.0;
        session.train(&StopRequest::default()).unwrap_err().to_string()
    };
    let text = fails(open(false, None));
    assert!(text.starts_with("the evaluation failed before the first step: "), "{text}");
    assert!(text.contains("--set eval.knn_every=never), and begin with: smog-trainer"), "{text}");
    open(true, Some(1)).train(&StopRequest::default()).unwrap();
    let text = fails(open(true, None));
    assert!(text.starts_with("the evaluation failed after step 2: "), "{text}");
    let again =
        format!("alone: smog-trainer eval knn {} --checkpoint 2). Mend that", run.display());
    assert!(text.contains(&again), "{text}");
    assert!(text.ends_with(&format!("go on with: smog-trainer run --resume {}", run.display())));
    assert_eq!(newest(&run).state.step, 2);
    // The run is over, so that there is nothing to go on with.
    let mut last = open(true, None);
    last.timetable.knn_every = None;
    let text = fails(last);
    assert!(text.starts_with("the evaluation failed after step 6: "), "{text}");
    let again = format!("evaluate it with: smog-trainer eval knn {} --checkpoint 6", run.display());
    assert!(text.ends_with(&again), "{text}");
    assert_eq!(newest(&run).state.step, 6);
}

#[test]
fn a_request_to_stop_ends_an_evaluation_between_two_steps_and_not_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let open = |resume, stop_after| session(&run, &EVERY_SECOND, resume, stop_after);
    open(false, Some(1)).train(&StopRequest::default()).unwrap();
    let figures = || {
        let text = std::fs::read_to_string(run.join(METRICS_FILE)).unwrap();
        [2, 4, 6].map(|step| text.matches(&format!("\"event\":\"knn\",\"step\":{step},")).count())
    };
    // It comes when the pictures of an evaluation are read.
    let interrupted = || {
        let (mut session, stop) = (open(true, None), StopRequest::default());
        let asked = stop.clone();
        let bank = Watched::new(move || {
            asked.request();
            Ok(())
        });
        session.knn.as_mut().unwrap().0 = KnnData::new(("train", bank), None);
        session.train(&stop).unwrap()
    };
    assert_eq!(interrupted(), Outcome::Interrupted);
    assert_eq!((newest(&run).state.step, figures()), (2, [0, 0, 0]), "nothing but the evaluation");
    assert_eq!(interrupted(), Outcome::Interrupted);
    assert_eq!((newest(&run).state.step, figures()), (4, [0, 0, 0]));
    assert_eq!(interrupted(), Outcome::Finished);
    assert_eq!((newest(&run).state.step, figures()), (6, [0, 0, 2]), "both metrics");
}

#[test]
fn too_little_memory_is_told_with_what_the_run_can_still_change() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let sets = ["run.length=\"6 steps\"", "schedule.warmup=never"];
    let refusal = || ModelError::Torch { message: "CUDA out of memory".to_owned() };
    let text = |session: &Session| session.explained(refusal().into()).to_string();
    let new = session(&run, &sets, false, Some(1));
    let said = text(&new);
    assert!(said.contains("a step of 8 samples; lower --batch-size, or set model.acc"), "{said}");
    assert!(said.ends_with(&format!("run --resume {} --batch-size N", run.display())), "{said}");
    new.train(&StopRequest::default()).unwrap();
    for (accumulate, next) in [(Accumulate::Off, "resolution"), (Accumulate::Resolution, "view")] {
        let mut resumed = session(&run, &sets, true, None);
        resumed.config.model.accumulate = accumulate;
        let said = text(&resumed);
        let flags = format!("--set model.accumulate={next} --allow-change model.accumulate");
        assert!(said.ends_with(&flags) && !said.contains("lower --batch-size"), "{said}");
        let said = resumed.evaluation_failed(refusal().into()).to_string();
        assert!(said.contains("--set eval.batch_size=N"), "{said}");
        resumed.config.model.accumulate = Accumulate::View;
        assert!(text(&resumed).ends_with("a device with more memory"), "{}", text(&resumed));
    }
}

/// What a run ends with whose metrics meet a full disk from here on.
fn on_a_full_disk(mut session: Session) -> TrainError {
    session.metrics = MetricsFile::open(Path::new("/dev/full")).unwrap();
    session.train(&StopRequest::default()).unwrap_err()
}

#[test]
fn a_run_whose_metrics_are_refused_is_saved_and_goes_on_to_the_same_end() {
    let dir = tempfile::tempdir().unwrap();
    let sets = ["run.length=\"6 steps\"", "schedule.warmup=never", "run.log_every=\"2 steps\""];
    let [run, whole] = ["run", "whole"].map(|name| dir.path().join(name));
    let open = |resume| session(&run, &sets, resume, None);
    let error = on_a_full_disk(open(false));
    let text = error.to_string();
    let TrainError::Unwritten { saved: Some(2), source, .. } = error else { panic!("{text}") };
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
    assert!(text.contains("metrics.jsonl") && text.contains("run --resume "), "{text}");
    let error = on_a_full_disk(open(true));
    assert!(matches!(error, TrainError::Unwritten { saved: Some(4), .. }), "{error}");
    assert_eq!(open(true).train(&StopRequest::default()).unwrap(), Outcome::Finished);
    session(&whole, &sets, false, None).train(&StopRequest::default()).unwrap();
    let files = |run: &Path| crate::folder::checkpoints(run, 9).newest().unwrap().state.files;
    assert_eq!(files(&run), files(&whole));
}

#[test]
fn figures_of_an_evaluation_that_are_refused_cost_no_step() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    // No line and no checkpoint is due at step 2, only the evaluation.
    let sets = ["run.length=\"6 steps\"", "schedule.warmup=never", "eval.knn_every=\"2 steps\""];
    let open = |resume, stop_after| session(&run, &sets, resume, stop_after);
    let error = on_a_full_disk(open(false, None));
    let text = error.to_string();
    assert!(matches!(error, TrainError::Unwritten { saved: None, .. }), "{text}");
    assert!(text.contains("before there is anything to save"), "{text}");
    open(true, Some(1)).train(&StopRequest::default()).unwrap();
    let error = on_a_full_disk(open(true, None));
    assert!(matches!(error, TrainError::Unwritten { saved: Some(2), .. }), "{error}");
    let newest = crate::folder::checkpoints(&run, 9).newest().unwrap();
    assert_eq!(newest.state.step, 2);
}

#[test]
fn a_full_disk_hides_no_weights_that_broke() {
    let dir = tempfile::tempdir().unwrap();
    let sets = ["schedule.lr_per_256=1e300", "schedule.warmup=never", "run.log_every=\"1 steps\""];
    let error = on_a_full_disk(session(&dir.path().join("run"), &sets, false, None));
    let text = error.to_string();
    let TrainError::Diverged { what: Broken::State { .. }, step: 1, .. } = error else {
        panic!("{text}")
    };
    assert!(text.contains("But the metrics cannot be written any more: "), "{text}");
}

#[test]
fn memory_that_cannot_be_had_is_told_from_other_refusals() {
    let refusal = smog_model::guard(|| {
        // Four exbibytes: no machine has them.
        let _ = tch::Tensor::zeros([1 << 60], (tch::Kind::Float, tch::Device::Cpu));
    });
    assert!(is_out_of_memory(&refusal.unwrap_err()));
    let refusal = smog_model::guard(|| {
        let _ = tch::Tensor::zeros([2, 3], (tch::Kind::Float, tch::Device::Cpu)).view([7]);
    });
    assert!(!is_out_of_memory(&refusal.unwrap_err()));
}
