//! The settings in steps, once the size of the data set is known, and the checks that need that size.
//!
//! Everything that changes over a run is a pure function of the step, so a resume needs no scheduler state.

use smog_model::schedule::{self, Warmup};

use crate::settings::{RunConfig, Scale, Span};

/// A run that cannot work, found before its first step.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PreflightError {
    /// Not one full batch.
    #[error(
        "the batch is larger than the data set: run.batch_size = {batch_size}, but there are only {num_samples} \
         samples; lower run.batch_size"
    )]
    BatchLargerThanSet {
        /// Samples per step.
        batch_size: u64,
        /// Samples in the training split.
        num_samples: u64,
    },
    /// Groups cannot all have a member.
    #[error(
        "more groups than samples: model.groups.count = {groups}, but there are only {num_samples} samples; \
         lower model.groups.count (a group for every 50 samples is a good start: {suggestion})"
    )]
    FewerSamplesThanGroups {
        /// Samples in the training split.
        num_samples: u64,
        /// Groups.
        groups: u64,
        /// One group for every 50 samples.
        suggestion: u64,
    },
    /// k-means could never be made.
    #[error(
        "the feature memory is smaller than the number of groups: it holds {memory} features ({why}) for \
         model.groups.count = {groups}; {advice}"
    )]
    MemorySmallerThanGroups {
        /// Features that it can hold.
        memory: u64,
        /// Where that number comes from.
        why: String,
        /// What would help.
        advice: &'static str,
        /// Groups.
        groups: u64,
    },
    /// The learning rate would never be reached.
    #[error(
        "the warm-up of {warmup} ({steps} steps) is not shorter than the run of {total_steps} steps"
    )]
    WarmupTooLong {
        /// The setting.
        warmup: Span,
        /// In steps.
        steps: u64,
        /// Steps of the run.
        total_steps: u64,
    },
    /// Nothing to do.
    #[error("the run has no steps: run.length = {length}")]
    NoSteps {
        /// The setting.
        length: Span,
    },
}

/// What happens at which step.
#[derive(Clone, Debug, PartialEq)]
pub struct Timetable {
    /// Samples per step, steps per epoch, steps in all.
    pub scale: Scale,
    /// Rising learning rate.
    pub warmup: Warmup,
    /// Highest learning rate, after scaling with the batch.
    pub peak_lr: f64,
    /// Steps between group resets.
    pub reset_every: Option<u64>,
    /// Features remembered for a reset; 0 without resets.
    pub memory: u64,
    /// Features that must be remembered before the early first reset.
    pub early_features: Option<u64>,
    /// Steps between log lines.
    pub log_every: u64,
    /// Steps between checkpoints.
    pub checkpoint_every: Option<u64>,
    /// Steps between k-NN evaluations.
    pub knn_every: Option<u64>,
    /// Loss of a guess: ln K.
    pub chance_loss: f64,
    /// What a person should know before a long run; nothing that stops it.
    pub warnings: Vec<String>,
    groups: u64,
    final_lr: f64,
    momentum_start: f64,
    momentum_rises: bool,
}

impl Timetable {
    /// Turns the settings into steps for a training split of `num_samples`.
    ///
    /// # Errors
    /// If the run could not work; each message names the settings to change.
    pub fn new(config: &RunConfig, num_samples: u64) -> Result<Self, PreflightError> {
        let batch_size = u64::from(config.run.batch_size);
        if batch_size > num_samples {
            return Err(PreflightError::BatchLargerThanSet { batch_size, num_samples });
        }
        let groups = config.model.groups.count.max(1) as u64;
        if groups > num_samples {
            let suggestion = (num_samples / 50).max(2);
            return Err(PreflightError::FewerSamplesThanGroups { num_samples, groups, suggestion });
        }
        let mut scale =
            Scale { batch_size, steps_per_epoch: num_samples / batch_size, total_steps: 0 };
        let length = config.run.length;
        scale.total_steps = length.steps(scale).ok_or(PreflightError::NoSteps { length })?;
        let warmup = config.schedule.warmup;
        let warmup_steps = warmup.steps(scale).unwrap_or(0);
        if warmup_steps >= scale.total_steps && warmup_steps > 1 {
            let total_steps = scale.total_steps;
            return Err(PreflightError::WarmupTooLong { warmup, steps: warmup_steps, total_steps });
        }
        let peak_lr = schedule::scale_to_batch(config.schedule.lr_per_256, batch_size, 256);
        let reset_every = config.reset.every.steps(scale);
        let memory = memory(config, scale, reset_every)?;
        let mut timetable = Self {
            scale,
            warmup: Warmup {
                steps: warmup_steps.min(scale.total_steps - 1),
                start: peak_lr * config.schedule.warmup_start,
            },
            peak_lr,
            reset_every,
            memory,
            early_features: config.reset.early_first.then_some(memory.min(10 * groups)),
            log_every: config.run.log_every.steps(scale).unwrap_or(1),
            checkpoint_every: config.run.checkpoint_every.steps(scale),
            knn_every: config.eval.knn_every.steps(scale),
            chance_loss: (groups as f64).ln(),
            warnings: Vec::new(),
            groups,
            final_lr: peak_lr * config.schedule.final_lr_ratio,
            momentum_start: config.schedule.momentum_start,
            momentum_rises: config.schedule.momentum_rises,
        };
        timetable.warnings = timetable.notes(config, num_samples);
        Ok(timetable)
    }

    fn notes(&self, config: &RunConfig, num_samples: u64) -> Vec<String> {
        let mut notes = Vec::new();
        let groups = self.groups;
        if num_samples < 10 * groups {
            notes.push(format!(
                "{groups} groups for {num_samples} samples leave fewer than ten samples to a group; the usual \
                 number is one group for every 50 samples or more"
            ));
        }
        let Some(every) = self.reset_every else {
            notes.push(
                "reset.every = never: groups are never made anew; unused ones stay unused"
                    .to_owned(),
            );
            return notes;
        };
        let total = self.scale.total_steps;
        if every >= total && !config.reset.early_first {
            notes.push(format!(
                "reset.every = {every} steps, but the run has only {total}: there will be no reset"
            ));
        }
        let per_interval = every * self.scale.batch_size * members(config);
        if per_interval < groups {
            notes.push(format!(
                "{every} steps between resets show only {per_interval} features for {groups} groups; the first \
                 reset waits until the memory holds {groups}"
            ));
        }
        if every * 10 < self.scale.steps_per_epoch {
            notes.push(format!(
                "reset.every = {every} steps is {:.3} epoch at this batch size, so there will be many resets; \
                 consider a longer stretch such as \"0.5 epochs\"",
                every as f64 / self.scale.steps_per_epoch as f64
            ));
        }
        notes
    }

    /// Learning rate at `step`.
    pub fn lr(&self, step: u64) -> f64 {
        self.warmup.cosine(step, self.scale.total_steps, self.peak_lr, self.final_lr)
    }

    /// Share of the old momentum weights that the update of `step` keeps.
    pub fn momentum(&self, step: u64) -> f64 {
        if self.momentum_rises {
            schedule::ema_cosine(step, self.scale.total_steps, self.momentum_start)
        } else {
            self.momentum_start
        }
    }

    /// Whether the groups are made anew in this step. All arguments count this step in: steps since the
    /// last reset (or the start), resets so far, and features remembered.
    ///
    /// With too few features for the groups the reset waits instead of failing the run.
    pub fn reset_due(&self, steps_since_reset: u64, num_resets: u64, remembered: u64) -> bool {
        let Some(every) = self.reset_every else { return false };
        let early =
            num_resets == 0 && self.early_features.is_some_and(|features| remembered >= features);
        (early || steps_since_reset >= every) && remembered >= self.groups
    }

    /// Whether a reset that was due for the first time now must wait for features: said once, since a memory that has
    /// held enough never holds less.
    pub fn reset_waits(&self, steps_since_reset: u64, remembered: u64) -> bool {
        self.reset_every == Some(steps_since_reset) && remembered < self.groups
    }

    /// Whether something with this interval happens after `steps_done` steps.
    pub fn is_due(every: Option<u64>, steps_done: u64) -> bool {
        every.is_some_and(|every| steps_done.is_multiple_of(every))
    }
}

/// Projections of each sample that a step puts into the memory.
fn members(config: &RunConfig) -> u64 {
    config.model.num_members(config.augment.num_large()) as u64
}

/// Capacity of the feature memory: as set, or what one interval shows, within what k-means would draw.
fn memory(config: &RunConfig, scale: Scale, every: Option<u64>) -> Result<u64, PreflightError> {
    let Some(every) = every else { return Ok(0) };
    let groups = config.model.groups.count.max(1) as u64;
    let steps = every.min(scale.total_steps);
    let (memory, why) = match config.reset.memory {
        0 => {
            let views = members(config);
            let interval = steps * scale.batch_size * views;
            let most = groups * config.reset.kmeans.max_points_per_group.max(1) as u64;
            let why = format!(
                "reset.memory = 0 takes those of {steps} steps{} of {} samples, {views} of each",
                if steps < every { ", all that the run has," } else { "" },
                scale.batch_size
            );
            (interval.min(most), why)
        }
        memory => (memory, format!("reset.memory = {memory}")),
    };
    if memory < groups {
        let advice = match config.reset.memory {
            0 if steps < every => "train for more steps, or lower model.groups.count",
            _ => "raise reset.memory or reset.every, or lower model.groups.count",
        };
        return Err(PreflightError::MemorySmallerThanGroups { memory, why, advice, groups });
    }
    Ok(memory)
}

#[cfg(test)]
mod tests;
