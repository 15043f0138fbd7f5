//! What is saved of a run that its data, an evaluation, a full disk or too little memory ended, and what a person is told.

use smog_model::ModelError;
use smog_pipeline::runtime::PipelineError;
use smog_terminal::failure::one_line;

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
        self.halted("the stream of batches", "Mend that", error.into())
    }

    /// Ends a run whose evaluation failed. Its state was saved before.
    pub(super) fn evaluation_failed(&self, error: anyhow::Error) -> TrainError {
        let refusal = error.chain().find_map(|cause| cause.downcast_ref::<ModelError>());
        let advice = match refusal.is_some_and(is_out_of_memory) {
            true => "Lower eval.batch_size (--set eval.batch_size=N)",
            false => "Mend that",
        };
        let advice = format!("{advice}, or train without evaluations (--set eval.knn_every=never)");
        self.halted("the evaluation", &advice, error.into())
    }

    fn halted(
        &self,
        what: &'static str,
        advice: &str,
        source: crate::error::EvalFailure,
    ) -> TrainError {
        let run = self.is_kept().then(|| self.folder.path().to_owned());
        let advice = advice.to_owned();
        TrainError::Halted { what, step: self.position.step, advice, run, source }
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
