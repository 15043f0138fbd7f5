//! What a person is told of a run that a full disk or too little memory ended.

use smog_model::ModelError;

use crate::checkpoint::CheckpointError;
use crate::error::TrainError;
use crate::session::Session;

impl Session {
    /// The error with what is left of the run, or what would help.
    pub(super) fn explained(&self, error: TrainError) -> TrainError {
        match error {
            TrainError::Checkpoint(source) => self.unsaved(source),
            TrainError::Model(source) if is_out_of_memory(&source) => {
                TrainError::OutOfMemory { batch_size: self.config.run.batch_size, source }
            }
            other => other,
        }
    }

    fn unsaved(&self, source: CheckpointError) -> TrainError {
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
