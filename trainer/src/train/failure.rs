//! What a person is told of a run that a full disk or too little memory ended.

use smog_model::ModelError;

use crate::checkpoint::CheckpointError;
use crate::error::TrainError;
use crate::session::{METRICS_FILE, Session};

impl Session {
    /// Ends a run whose metrics the disk refused, now that its state is saved.
    pub(super) fn all_written(&mut self) -> Result<(), TrainError> {
        let Some(source) = self.unwritten.take() else { return Ok(()) };
        let step = self.position.step;
        let saved = (step > 0 && self.is_kept()).then_some(step);
        let run = self.folder.path().to_owned();
        Err(TrainError::Unwritten { metrics: run.join(METRICS_FILE), saved, run, source })
    }

    /// The error with what would help.
    pub(super) fn explained(&self, error: TrainError) -> TrainError {
        match error {
            TrainError::Model(source) if is_out_of_memory(&source) => {
                TrainError::OutOfMemory { batch_size: self.config.run.batch_size, source }
            }
            other => other,
        }
    }

    /// What to do about a checkpoint that could not be written. Where it was, and only what follows could not be done, the
    /// error speaks for itself.
    pub(super) fn unsaved(&self, source: CheckpointError) -> TrainError {
        if self.store.of_step(self.position.step).is_ok() {
            return source.into();
        }
        let complete = |step: &u64| self.store.of_step(*step).is_ok();
        TrainError::Unsaved {
            step: self.position.step,
            good: self.store.steps().into_iter().rev().find(complete),
            run: self.folder.path().to_owned(),
            source,
        }
    }
}

/// Whether it is one of libtorch's words for memory that cannot be had.
fn is_out_of_memory(error: &ModelError) -> bool {
    let ModelError::Torch { message } = error else { return false };
    ["alloc_cpu", "not enough memory", "out of memory"].iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::error::Broken;
    use crate::metrics::MetricsFile;
    use crate::signals::StopRequest;
    use crate::train::Outcome;
    use crate::train::tiny::session;

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
        let sets =
            ["run.length=\"6 steps\"", "schedule.warmup=never", "eval.knn_every=\"2 steps\""];
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
        let sets =
            ["schedule.lr_per_256=1e300", "schedule.warmup=never", "run.log_every=\"1 steps\""];
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
}
