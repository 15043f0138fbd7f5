//! All that does not fit the data at once, and the settings that would: who has 700 images and a preset for a million
//! should not have to find out one limit after the other.

use std::fmt;

use crate::settings::{RawConfig, RunConfig};
use crate::timetable::{PreflightError, Timetable};

/// Settings that do not fit the data.
#[derive(Debug)]
pub struct Misfits {
    num_samples: u64,
    errors: Vec<PreflightError>,
    /// `section.key=value` of what would fit.
    sets: Vec<String>,
    /// Whether a run with them can begin.
    is_complete: bool,
}

/// The settings in steps for a training split of `num_samples`.
///
/// # Errors
/// With everything that does not fit, and what would.
pub fn timetable(config: &RunConfig, num_samples: u64) -> Result<Timetable, Misfits> {
    let error = match Timetable::new(config, num_samples) {
        Ok(timetable) => return Ok(timetable),
        Err(error) => error,
    };
    let mut misfits =
        Misfits { num_samples, errors: vec![error], sets: Vec::new(), is_complete: false };
    let mut config = config.clone();
    // Each limit is mended before the next can show. One setting is mended once, so this ends.
    while let Some(set) = misfits.errors.last().and_then(|error| fix(error, &config, num_samples)) {
        let key = |set: &str| set.split('=').next().map(str::to_owned);
        let Some(mended) = with(&config, &set) else { break };
        if misfits.sets.iter().any(|earlier| key(earlier) == key(&set)) {
            break;
        }
        misfits.sets.push(set);
        config = mended;
        match Timetable::new(&config, num_samples) {
            Ok(_) => {
                misfits.is_complete = true;
                break;
            }
            Err(error) => misfits.errors.push(error),
        }
    }
    Err(misfits)
}

fn with(config: &RunConfig, set: &str) -> Option<RunConfig> {
    RawConfig::from_table(config.to_table()).with_set(set).and_then(|raw| raw.resolve()).ok()
}

/// A value with which this would not be said.
fn fix(error: &PreflightError, config: &RunConfig, num_samples: u64) -> Option<String> {
    Some(match error {
        // Eight steps an epoch, in a power of two.
        PreflightError::BatchLargerThanSet { .. } => {
            let most = (num_samples / 8).max(2);
            format!("run.batch_size={}", 1 << most.ilog2())
        }
        PreflightError::FewerSamplesThanGroups { suggestion, .. } => {
            format!("model.groups.count={suggestion}")
        }
        PreflightError::MemorySmallerThanGroups { .. } if config.reset.memory > 0 => {
            "reset.memory=0".to_owned()
        }
        PreflightError::MemorySmallerThanGroups { memory, .. } => {
            format!("model.groups.count={}", (memory / 10).max(2))
        }
        PreflightError::WarmupTooLong { .. } => "schedule.warmup=5 %".to_owned(),
        PreflightError::NoSteps { .. } => "run.length=100 epochs".to_owned(),
    })
}

impl fmt::Display for Misfits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errors.as_slice() {
            [error] => write!(f, "{error}")?,
            errors => {
                write!(f, "the settings do not fit {} samples:", self.num_samples)?;
                errors.iter().try_for_each(|error| write!(f, "\n  {error}"))?;
            }
        }
        if self.is_complete {
            let flags = self.sets.iter().map(|set| match set.contains(' ') {
                true => format!("--set '{set}'"),
                false => format!("--set {set}"),
            });
            let flags: Vec<String> = flags.collect();
            write!(f, "\nWith these it can begin: {}", flags.join(" "))?;
        }
        Ok(())
    }
}

impl std::error::Error for Misfits {}

#[cfg(test)]
mod tests {
    use super::*;

    fn preset(name: &str, sets: &[&str]) -> RunConfig {
        let raw = RawConfig::preset(name).unwrap();
        sets.iter().fold(raw, |raw, set| raw.with_set(set).unwrap()).resolve().unwrap()
    }

    #[test]
    fn a_preset_for_a_million_images_names_all_that_does_not_fit_seven_hundred_and_what_would() {
        let sets = ["run.length=20 steps", "run.batch_size=1024"];
        let text = timetable(&preset("imagenet-resnet50", &sets), 700).unwrap_err().to_string();
        for part in ["run.batch_size", "model.groups.count", "warm-up", "With these it can begin: "]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        // What it says is what works.
        let flags = text.lines().last().unwrap().split("--set ").skip(1);
        let sets: Vec<String> = sets
            .iter()
            .map(ToString::to_string)
            .chain(flags.map(|set| set.trim().replace('\'', "")))
            .collect();
        let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
        timetable(&preset("imagenet-resnet50", &sets), 700).unwrap();
    }

    #[test]
    fn one_misfit_is_said_in_one_line_with_its_way_out() {
        let sets = ["run.batch_size=256", "model.groups.count=40"];
        let text = timetable(&preset("demo", &sets), 255).unwrap_err().to_string();
        assert!(text.starts_with("the batch is larger than the data set"), "{text}");
        assert!(text.contains("--set run.batch_size=16"), "{text}");
        let text = timetable(&preset("demo", &["reset.memory=7"]), 6000).unwrap_err().to_string();
        assert!(text.ends_with("--set reset.memory=0"), "{text}");
        assert!(timetable(&preset("demo", &[]), 6000).is_ok());
    }

    #[test]
    fn where_nothing_would_fit_nothing_is_promised() {
        let text = timetable(&preset("demo", &[]), 1).unwrap_err().to_string();
        assert!(!text.contains("With these"), "{text}");
    }
}
