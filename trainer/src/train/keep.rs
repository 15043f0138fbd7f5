//! What is kept of a run, and that it is worth going on from.
//!
//! A checkpoint holds weights that have given no loss yet: the next step's is the first. So a state is kept only if all of it
//! is finite, and counts as good when the loss after it was seen to be finite, too. Until then the good one before it
//! stays, whatever `run.keep_checkpoints` says; and where that loss is no number, the run goes back to the good one.

use std::path::{Path, PathBuf};
use std::time::Instant;

use smog_model::{first_not_finite, guard};
use smog_terminal::failure::one_line;
use tch::Tensor;

use crate::checkpoint::Store;
use crate::error::{Broken, TrainError};
use crate::metrics::Event;
use crate::session::Session;

/// Folder within a run folder for the state of a run that cannot go on.
const DIVERGED_DIR: &str = "diverged";

/// The tensors of a checkpoint by part. They share memory with the live ones.
pub(super) type Parts = Vec<(&'static str, Vec<(String, Tensor)>)>;

/// Steps of the checkpoints that matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Of the newest, while no loss was seen that its weights gave.
    unproven: Option<u64>,
    /// Of the newest whose weights gave a finite loss.
    good: Option<u64>,
}

impl Kept {
    /// A run that goes on at the checkpoint of this step, or that begins.
    pub(crate) fn resumed(step: Option<u64>) -> Self {
        Self { unproven: step, good: None }
    }

    /// Whether there is one.
    pub(super) fn has_any(self) -> bool {
        self != Self::default()
    }

    fn written(&mut self, step: u64) {
        self.unproven = Some(step);
    }

    /// The losses of the first `steps` steps are finite. Gives the checkpoint that has become good by it.
    fn seen(&mut self, steps: u64) -> Option<u64> {
        let good = self.unproven.take_if(|step| *step < steps)?;
        self.good = Some(good);
        Some(good)
    }
}

impl Session {
    /// The losses of the first `steps` steps were looked at, and are finite.
    pub(super) fn proven(&mut self, steps: u64) {
        self.keys.checked(steps.saturating_sub(1));
        if let Some(good) = self.kept.seen(steps) {
            self.store.delete_old(good, None);
        }
    }

    fn parts(&self) -> Result<Parts, TrainError> {
        Ok(guard(|| {
            let mut parts =
                vec![("model", self.model.state()), ("optimizer", self.optimizer.state())];
            if let Some(memory) = &self.memory {
                parts.push(("memory", memory.state()));
            }
            parts
        })?)
    }

    /// The state of this moment, all of it finite numbers. Its losses were looked at before; whether the update of the
    /// last step left it whole, they do not say.
    pub(super) fn checked_parts(&mut self) -> Result<Parts, TrainError> {
        let parts = self.parts()?;
        let broken =
            guard(|| first_not_finite(parts.iter().flat_map(|(_, part)| part)).map(str::to_owned))?;
        match broken {
            None => Ok(parts),
            Some(tensor) => {
                let step = self.position.step.saturating_sub(1);
                Err(self.diverged(step, Broken::State { tensor }))
            }
        }
    }

    /// Writes a checkpoint.
    pub(super) fn save(&mut self, parts: &Parts) -> Result<(), TrainError> {
        if !self.is_kept() {
            return Ok(());
        }
        let start = Instant::now();
        match self.write_state(&self.store, parts, self.kept.good) {
            Err(TrainError::Checkpoint(source)) => return Err(self.unsaved(source)),
            written => written?,
        };
        self.kept.written(self.position.step);
        let event = Event::Checkpoint {
            step: self.position.step,
            checkpoint_seconds: start.elapsed().as_secs_f64(),
        };
        self.write(&event);
        Ok(())
    }

    fn write_state(
        &self,
        store: &Store,
        parts: &Parts,
        spare: Option<u64>,
    ) -> Result<PathBuf, TrainError> {
        Ok(guard(|| store.write_sparing(self.state(), parts, spare))??)
    }

    /// The end of a run that cannot go on. Its newest checkpoint goes out of the way where it is to blame, and its state is
    /// kept for a look, outside the checkpoints: nothing resumes there. What the disk refuses of that is a remark: the
    /// divergence is what a person must hear of.
    pub(super) fn diverged(&mut self, step: u64, what: Broken) -> TrainError {
        let dir = self.folder.path().join(DIVERGED_DIR);
        let mut refused = Vec::new();
        // Before anything is written: where the run goes on matters more than a look. On a CPU the checkpoint is also of
        // the step of the state, and stands for it: unlike the state it has not seen the batch that broke the loss.
        let mut good = self.kept.good;
        let mut stands_for_state = false;
        if self.kept.unproven == Some(step) {
            match self.store.set_aside(step, &dir) {
                Ok(older) => {
                    good = older;
                    // It may be that it could not be moved, and only the way on was found.
                    let is_there = Store::new(dir.clone(), 1).of_step(step).is_ok();
                    stands_for_state = older.is_some() && is_there && step == self.position.step;
                }
                Err(error) => refused.push(format!(
                    "the checkpoint of step {step}, which is to blame, could not be set aside: {}; remove it before you go on",
                    one_line(&error)
                )),
            }
        }
        let saved = self.keep_for_a_look(step, &dir, stands_for_state).map_err(|error| {
            refused.push(format!("the state could not be saved for a look: {}", one_line(&error)));
        });
        self.write(&Event::Diverged { step: step + 1 });
        if let Some(error) = self.unwritten.take() {
            refused.push(format!("the metrics cannot be written any more: {error}"));
        }
        let lr = self.timetable.lr(step);
        let (saved, seen_after) = (saved.ok(), self.position.step);
        TrainError::Diverged { what, step: step + 1, seen_after, lr, saved, refused, good }
    }

    /// Keeps the state, unless the checkpoint of `step` that was set aside stands for it, and what the step was shown.
    fn keep_for_a_look(
        &self,
        step: u64,
        dir: &Path,
        stands_for_state: bool,
    ) -> Result<PathBuf, TrainError> {
        let store = Store::new(dir.to_owned(), 1);
        let saved = if stands_for_state {
            store.delete_old(step, None);
            store.folder_of(step)
        } else {
            self.write_state(&store, &self.parts()?, Some(step))?
        };
        let path = saved.join("samples.json");
        let text = serde_json::to_vec_pretty(self.keys.of(step)).unwrap_or_default();
        std::fs::write(&path, text).map_err(TrainError::io("write", &path))?;
        Ok(saved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::StopRequest;
    use crate::train::tiny::session;

    #[test]
    fn a_checkpoint_is_good_once_the_loss_of_the_step_after_it_was_seen() {
        let mut kept = Kept::resumed(None);
        assert_eq!(kept.seen(3), None);
        kept.written(3);
        assert_eq!(kept.seen(3), None, "the losses of the steps before it say nothing of it");
        assert_eq!(kept.seen(4), Some(3));
        assert_eq!(kept.seen(5), None, "said once");
        kept.written(5);
        assert_eq!(kept, Kept { unproven: Some(5), good: Some(3) });
        assert_eq!(Kept::resumed(Some(7)).seen(8), Some(7));
    }

    #[test]
    fn a_reset_of_broken_features_blames_no_checkpoint_whose_loss_was_finite() {
        let dir = tempfile::tempdir().unwrap();
        let open = |resume: bool, stop_after: Option<u64>| {
            let sets = [
                "run.checkpoint_every=\"4 steps\"",
                "reset.every=\"9 steps\"",
                "reset.memory=100",
                "schedule.warmup=never",
            ];
            session(&dir.path().join("run"), &sets, resume, stop_after)
        };
        open(false, Some(4)).train(&StopRequest::default()).unwrap();
        // The first reset is due in step 5.
        let mut session = open(true, None);
        let broken = Tensor::full(
            [1, session.config.model.dim],
            f64::NAN,
            (tch::Kind::Float, tch::Device::Cpu),
        );
        session.memory.as_mut().unwrap().push(&broken);
        let store = session.store.clone();
        let error = session.train(&StopRequest::default()).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("the features in memory are not finite numbers"), "{text}");
        let TrainError::Diverged { what: Broken::Features, step: 5, good, .. } = error else {
            panic!("{text}")
        };
        assert_eq!((good, store.newest().unwrap().state.step), (Some(4), 4), "{text}");
    }
}
