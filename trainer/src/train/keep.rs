//! What is kept of a run, and that it is worth going on from.
//!
//! A checkpoint holds weights that have given no loss yet: the next step's is the first. So a state is kept only if all of it
//! is finite, and counts as good when the loss after it was seen to be finite, too. Until then the good one before it
//! stays, whatever `run.keep_checkpoints` says; and where that loss is no number, the run goes back to the good one.

use std::path::PathBuf;
use std::time::Instant;

use smog_model::{first_not_finite, guard};
use tch::Tensor;

use crate::checkpoint::Store;
use crate::error::{Broken, TrainError};
use crate::metrics::Event;
use crate::session::Session;
use crate::settings::DataMode;

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
    pub(super) fn proven(&mut self, steps: u64) -> Result<(), TrainError> {
        self.keys.checked(steps.saturating_sub(1));
        match self.kept.seen(steps) {
            Some(good) => Ok(self.store.delete_old(good, None)?),
            None => Ok(()),
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
                Err(self.diverged(step, Broken::State { tensor })?)
            }
        }
    }

    /// Writes a checkpoint.
    pub(super) fn save(&mut self, parts: &Parts) -> Result<(), TrainError> {
        if self.config.run.data_mode == DataMode::Resident {
            return Ok(());
        }
        let start = Instant::now();
        self.write_state(&self.store, parts, self.kept.good)?;
        self.kept.written(self.position.step);
        let event = Event::Checkpoint {
            step: self.position.step,
            checkpoint_seconds: start.elapsed().as_secs_f64(),
        };
        self.write(&event)
    }

    fn write_state(
        &self,
        store: &Store,
        parts: &Parts,
        spare: Option<u64>,
    ) -> Result<PathBuf, TrainError> {
        Ok(guard(|| store.write_sparing(self.state(), parts, spare))??)
    }

    /// Keeps the state of a run that cannot go on, for a look, outside the checkpoints: nothing resumes there. Where the
    /// newest checkpoint is to blame, it goes there, too.
    pub(super) fn diverged(&mut self, step: u64, what: Broken) -> Result<TrainError, TrainError> {
        let dir = self.folder.path().join(DIVERGED_DIR);
        let parts = self.parts()?;
        let saved = self.write_state(&Store::new(dir.clone(), 1), &parts, None)?;
        let path = saved.join("samples.json");
        let text = serde_json::to_vec_pretty(self.keys.of(step)).unwrap_or_default();
        std::fs::write(&path, text).map_err(TrainError::io("write", &path))?;
        self.write(&Event::Diverged { step: step + 1 })?;
        let good = match self.kept.unproven {
            Some(unproven) if unproven == step => self.store.set_aside(step, &dir)?,
            _ => self.kept.good,
        };
        let lr = self.timetable.lr(step);
        let seen_after = self.position.step;
        Ok(TrainError::Diverged { what, step: step + 1, seen_after, lr, saved, good })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
