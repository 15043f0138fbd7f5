//! What is saved of a run that its data, an evaluation, a full disk or too little memory ended, and what a person is told.

use smog_model::ModelError;
use smog_pipeline::runtime::PipelineError;
use smog_terminal::failure::one_line;
use smog_terminal::quoted;

use super::report::Window;
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
            TrainError::Model(source) if is_out_of_memory(&source) => TrainError::OutOfMemory {
                batch_size: self.config.run.batch_size,
                accumulate: self.config.model.accumulate,
                has_checkpoint: self.kept.has_any(),
                run: self.is_kept().then(|| self.folder.path().to_owned()),
                source,
            },
            other => other,
        }
    }

    /// Ends a run whose stream failed between two steps. Nothing is wrong with what was trained, so it is saved first.
    pub(super) fn stream_failed(&mut self, error: PipelineError, window: &Window) -> TrainError {
        if self.position.step == 0 || !self.is_kept() {
            return error.into();
        }
        let saved = self.check_losses(window).and_then(|()| self.checked_parts());
        if let Err(worse) = saved.and_then(|parts| self.save(&parts)) {
            tracing::warn!("{}", one_line(&error));
            return worse;
        }
        let way_on = self.way_on("What was trained is saved. ", "Mend that");
        TrainError::Halted {
            what: "the stream of batches",
            step: self.position.step,
            way_on,
            source: error.into(),
        }
    }

    /// Ends a run whose evaluation failed. Its state was saved before, and it does not come back to that evaluation.
    pub(super) fn evaluation_failed(&self, error: anyhow::Error) -> TrainError {
        let step = self.position.step;
        let refusal = error.chain().find_map(|cause| cause.downcast_ref::<ModelError>());
        let advice = match refusal.is_some_and(is_out_of_memory) {
            true => "Lower eval.batch_size (--set eval.batch_size=N)",
            false => "Mend that",
        };
        let advice = format!("{advice}, or train without evaluations (--set eval.knn_every=never)");
        let again =
            format!("smog-trainer eval knn {} --checkpoint {step}", quoted(self.folder.path()));
        let way_on = if step == 0 || !self.is_kept() {
            self.way_on("", &advice)
        } else if step == self.timetable.scale.total_steps {
            format!(". The run is complete, and saved. Mend that, and evaluate it with: {again}")
        } else {
            let saved = format!("What was trained is saved (this evaluation alone: {again}). ");
            self.way_on(&saved, &advice)
        };
        TrainError::Halted { what: "the evaluation", step, way_on, source: error.into() }
    }

    /// How the run goes on once `advice` was followed; nothing where it has no folder.
    fn way_on(&self, saved: &str, advice: &str) -> String {
        if !self.is_kept() {
            return String::new();
        }
        let go_on = if self.position.step == 0 { "begin with" } else { "go on with" };
        let run = quoted(self.folder.path());
        format!(". {saved}{advice}, and {go_on}: smog-trainer run --resume {run}")
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
mod tests;
