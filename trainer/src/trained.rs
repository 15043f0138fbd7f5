//! The model of a run, for evaluation.

use std::path::Path;

use smog_model::SmogModel;

use crate::checkpoint::Checkpoint;
use crate::error::TrainError;
use crate::folder::{checkpoints, stored_settings};
use crate::settings::RunConfig;
use crate::threads::{ThreadBudget, device};

/// A model and the run that it comes from.
#[derive(Debug)]
pub struct Trained {
    /// Settings of the run.
    pub config: RunConfig,
    /// The model.
    pub model: SmogModel,
    /// Steps that it was trained for.
    pub step: u64,
}

/// Loads the model of the run in `run`: of its newest checkpoint, or of `step`. `device_name` replaces the run's
/// device where it is given.
///
/// # Errors
/// If there is no such run or checkpoint, or the device is not there.
pub fn load(
    run: &Path,
    step: Option<u64>,
    device_name: Option<&str>,
) -> Result<Trained, TrainError> {
    let mut trained = untrained(run, device_name)?;
    let store = checkpoints(run, 1);
    let checkpoint: Checkpoint = match step {
        Some(step) => store.of_step(step)?,
        None => store.newest()?,
    };
    trained.model.load_state(&checkpoint.tensors("model")?)?;
    trained.step = checkpoint.state.step;
    Ok(trained)
}

/// The model that the run in `run` began with.
///
/// # Errors
/// If there is no such run, or the device is not there.
pub fn untrained(run: &Path, device_name: Option<&str>) -> Result<Trained, TrainError> {
    let mut config = stored_settings(run)?.resolve()?;
    if let Some(name) = device_name {
        config.run.device = name.to_owned();
    }
    let device = device(&config.run.device)?;
    ThreadBudget::of_run(&config, device).apply();
    let model = SmogModel::new(&config.model, config.run.seed, device)?;
    Ok(Trained { config, model, step: 0 })
}
