//! What the tests of whole runs share: tiny runs on generated images, and a watchdog.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use smog_trainer::checkpoint::Checkpoint;
use smog_trainer::data::DataSet;
use smog_trainer::error::TrainError;
use smog_trainer::folder::checkpoints;
use smog_trainer::session::{RunOptions, Session};
use smog_trainer::settings::{RawConfig, RunConfig};
use smog_trainer::signals::StopRequest;
use smog_trainer::train::Outcome;

/// Runs `body` on a thread of its own and fails when it does not end in time, with whatever it hangs on.
pub(crate) fn within<T: Send + 'static>(
    seconds: u64,
    body: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (done, wait) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().spawn(move || {
        let value = body();
        let _ = done.send(());
        value
    });
    let thread = thread.unwrap();
    if let Err(mpsc::RecvTimeoutError::Timeout) = wait.recv_timeout(Duration::from_secs(seconds)) {
        panic!("not done within {seconds} s");
    }
    thread.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
}

/// Settings of a run of 40 steps, an epoch of 7 steps, and resets at steps 5 (the early first), 14, 23 and 32.
pub(crate) const TINY: &[&str] = &[
    "run.length=\"40 steps\"",
    "run.batch_size=8",
    "run.device=cpu",
    "run.threads=1",
    "run.log_every=\"1 steps\"",
    "run.checkpoint_every=\"1000 steps\"",
    "run.keep_checkpoints=9",
    "model.encoder.width=8",
    "model.projector_hidden=16",
    "model.predictor_hidden=16",
    "model.dim=8",
    "model.groups.count=8",
    "schedule.lr_per_256=0.24",
    "reset.every=\"9 steps\"",
    "reset.memory=100",
    "augment.views.0.size=24",
    "augment.views.1.size=24",
    "eval.size=24",
    "eval.resize=24",
];

/// The tiny settings with changes.
pub(crate) fn tiny(sets: &[&str]) -> RunConfig {
    let raw = TINY
        .iter()
        .chain(sets)
        .fold(RawConfig::preset("demo").unwrap(), |raw, set| raw.with_set(set).unwrap());
    raw.resolve().unwrap()
}

/// 60 generated images of 32 pixels: 7 steps of 8 and 4 samples left over.
pub(crate) fn data() -> DataSet {
    DataSet::Synthetic { count: 60, side: 32 }
}

/// Opens a run without training.
pub(crate) fn open(
    config: RunConfig,
    dir: &Path,
    resume: bool,
    stop_after: Option<u64>,
) -> Result<Session, TrainError> {
    let options = RunOptions {
        run_dir: dir.to_owned(),
        resume,
        stop_after,
        quiet: true,
        ..RunOptions::default()
    };
    Session::open(config, &data(), None, options)
}

/// Trains until the end or for so many steps.
pub(crate) fn train(
    config: RunConfig,
    dir: &Path,
    resume: bool,
    stop_after: Option<u64>,
) -> Outcome {
    open(config, dir, resume, stop_after).unwrap().train(&StopRequest::default()).unwrap()
}

/// The error that opening a run ends with.
pub(crate) fn refused(config: RunConfig, dir: &Path, resume: bool) -> String {
    match open(config, dir, resume, None) {
        Ok(_) => panic!("the run was not refused"),
        Err(error) => error.to_string(),
    }
}

/// All lines of a kind in the metrics file.
pub(crate) fn events(dir: &Path, kind: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(dir.join("metrics.jsonl")).unwrap_or_default();
    let lines =
        text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines.filter(|line| line["event"] == kind).collect()
}

/// The bits of the loss of each step; of a step that was done twice, those of the last time.
pub(crate) fn losses(dir: &Path) -> BTreeMap<u64, u64> {
    let of =
        |line: &serde_json::Value| Some((line["step"].as_u64()?, line["loss"].as_f64()?.to_bits()));
    events(dir, "step").iter().map(|line| of(line).unwrap()).collect()
}

/// The newest checkpoint.
pub(crate) fn newest(dir: &Path) -> Checkpoint {
    checkpoints(dir, 9).newest().unwrap()
}
