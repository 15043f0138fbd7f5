//! What a person is told of a run that a full disk or too little memory ended.

use smog_model::ModelError;

use crate::checkpoint::CheckpointError;
use crate::error::TrainError;
use crate::session::Session;

impl Session {
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
    use super::*;

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
