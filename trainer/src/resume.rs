//! What a run goes on from, and whether settings and data are still those that it was saved with.

mod allowed;

use std::path::{Path, PathBuf};

use smog_model::FeatureMemory;
use smog_pipeline::shard::{Listing, split_difference};
use smog_pipeline::source::Source;
use smog_terminal::quoted;
use toml::Table;

use crate::checkpoint::{Checkpoint, CheckpointError, RunState};
use crate::data::DataError;
use crate::error::TrainError;
use crate::folder::RunFolder;
use crate::settings::{Difference, RunConfig};
pub(crate) use allowed::keep_allowed;

/// A run that cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// Settings that a run has for good.
    #[error(
        "these settings cannot change within a run:\n{}\nGo on with the old values, or start a new run with the new ones. It \
         can begin with this run's encoder: smog-trainer export {} --out encoder.safetensors, then \
         smog-trainer run --init encoder.safetensors with another --run-dir",
        list(differences),
        quoted(run)
    )]
    Fixed {
        /// The run folder.
        run: PathBuf,
        /// Those of them that differ.
        differences: Vec<Difference>,
    },
    /// Settings that decide what a run computes differ from those that it began with.
    #[error(
        "these settings differ from the checkpoint's:\n{}\nGo on with the old values, start a new run, or accept each \
         change with --allow-change KEY",
        list(differences)
    )]
    Changed {
        /// What differs and was not allowed to.
        differences: Vec<Difference>,
    },
    /// Other samples.
    #[error(
        "the data are not those of the checkpoint: {}. A run goes on with the same images only, since its place in their \
         order would mean nothing; for other ones start a new run, which can begin with this run's encoder (smog-trainer \
         export, then run --init)",
        data(saved, now)
    )]
    OtherData {
        /// Split and place in the checkpoint.
        saved: String,
        /// Split and place now.
        now: String,
    },
    /// A folder that holds other images than the run was trained on.
    #[error(
        "the images are not those of the run any more: its shards in {} (split `{split}`) were {difference}. A run goes on \
         with the same images only. Leave --data out to go on with those shards; for other images start a new run, which can \
         begin with this run's encoder: smog-trainer export {} --out encoder.safetensors, then smog-trainer run --init \
         encoder.safetensors with another --run-dir",
        shards.display(), quoted(run)
    )]
    OtherImages {
        /// The run folder.
        run: PathBuf,
        /// The shards that it was trained on.
        shards: PathBuf,
        /// The split that differs.
        split: String,
        /// How, as a clause that begins with `made`.
        difference: String,
    },
    /// There are checkpoints, all of them damaged.
    #[error(
        "none of the checkpoints in {} can be read (step {}), and starting again at step 0 would delete them; put back a copy \
         of one, or start a new run with another --run-dir",
        path.display(), steps.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
    )]
    AllDamaged {
        /// The folder of checkpoints.
        path: PathBuf,
        /// Their steps.
        steps: Vec<u64>,
    },
}

/// Refuses what [`Session::open`](crate::session::Session::open) would refuse, as far as it can be told before images of a
/// folder are sharded, which may take hours: another process in the run's folder, settings that differ, images that are not
/// those of the run's shards.
///
/// # Errors
/// If the run cannot go on with these settings and the images in `listing`.
pub fn before_sharding(
    run: &Path,
    config: &RunConfig,
    allowed: &[String],
    listing: &Listing,
) -> Result<(), TrainError> {
    let folder = RunFolder::open(run)?;
    // What is to be said of a run without one is said when it begins.
    let Some(checkpoint) = newest(&folder, &|_| ())? else { return Ok(()) };
    settings(config, &folder, &checkpoint.state, allowed)?;
    let path = checkpoint.state.config.get("data").and_then(|data| data.get("path")?.as_str());
    let Some(shards) = path.map(PathBuf::from).filter(|path| path.is_dir()) else {
        return Ok(());
    };
    let split = config.data.split.clone();
    let difference = split_difference(listing, &shards, &split).map_err(|source| {
        let path = shards.clone();
        DataError::Shard { path, source: Box::new(source) }
    })?;
    match difference {
        Some(difference) => {
            let run = run.to_owned();
            Err(ResumeError::OtherImages { run, shards, split, difference }.into())
        }
        None => Ok(()),
    }
}

/// The checkpoint to go on from; `None` where the run was stopped before its first, so it starts again, which is said.
pub(crate) fn newest(
    folder: &RunFolder,
    say: &dyn Fn(&str),
) -> Result<Option<Checkpoint>, TrainError> {
    let store = folder.checkpoints(1);
    match store.newest() {
        Ok(checkpoint) => Ok(Some(checkpoint)),
        Err(CheckpointError::None { path }) => {
            let steps = store.steps();
            if !steps.is_empty() {
                return Err(ResumeError::AllDamaged { path, steps }.into());
            }
            say(&format!("{} holds no checkpoint; the run starts at step 0", path.display()));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Refuses settings that differ from the checkpoint's, unless allowed, and other data. Gives the allowed changes.
pub(crate) fn compare(
    config: &RunConfig,
    folder: &RunFolder,
    state: &RunState,
    source: &dyn Source,
    allowed: &[String],
) -> Result<Vec<Difference>, ResumeError> {
    let accepted = settings(config, folder, state, allowed)?;
    if state.stream.dataset_digest != source.digest() {
        let (saved, now) = (place(&state.config), place(&config.to_table()));
        return Err(ResumeError::OtherData { saved, now });
    }
    Ok(accepted)
}

/// Refuses settings that differ from the saved ones, unless allowed now or when the run last went on from there; gives those
/// that are allowed.
fn settings(
    config: &RunConfig,
    folder: &RunFolder,
    state: &RunState,
    allowed: &[String],
) -> Result<Vec<Difference>, ResumeError> {
    let differences = config.differences(&state.config);
    let (fixed, others): (Vec<_>, Vec<_>) = differences.into_iter().partition(Difference::is_fixed);
    if !fixed.is_empty() {
        let run = folder.path().to_owned();
        return Err(ResumeError::Fixed { run, differences: fixed });
    }
    let before = allowed::read(folder, state.step);
    let (accepted, refused): (Vec<_>, Vec<_>) = others.into_iter().partition(|difference| {
        allowed.contains(&difference.key) || before.get(&difference.key) == Some(&difference.now)
    });
    if !refused.is_empty() {
        return Err(ResumeError::Changed { differences: refused });
    }
    Ok(accepted)
}

/// Fills the memory of features with that of a checkpoint. Where an allowed change gave it another size, the newest that fit
/// are kept; where the checkpoint has none, it begins empty.
pub(crate) fn load_memory(
    memory: &mut FeatureMemory,
    checkpoint: &Checkpoint,
    is_changed: bool,
) -> Result<(), TrainError> {
    if is_changed && !checkpoint.state.files.contains_key("memory.safetensors") {
        return Ok(());
    }
    let state = checkpoint.tensors("memory")?;
    let Err(error) = memory.load_state(&state) else { return Ok(()) };
    match (is_changed, state.get("features"), state.get("position")) {
        (true, Some(features), Some(position)) => Ok(smog_model::guard(|| {
            let rows = features.size()[0];
            // A full ring begins at its position, with the oldest.
            let oldest = position.int64_value(&[0]) % rows.max(1);
            memory.push(&features.narrow(0, oldest, rows - oldest));
            memory.push(&features.narrow(0, 0, oldest));
        })?),
        _ => Err(error.into()),
    }
}

/// Split and path in settings.
fn place(config: &Table) -> String {
    let data = |key: &str| config.get("data").and_then(|data| data.get(key)?.as_str());
    let split = data("split").unwrap_or("train");
    match data("path") {
        Some(path) => format!("split {split} of {path}"),
        None => format!("split {split}"),
    }
}

fn data(saved: &str, now: &str) -> String {
    match saved == now {
        true => format!("{now} has changed since"),
        false => format!("{saved} then, {now} now"),
    }
}

fn list(differences: &[Difference]) -> String {
    let line =
        |d: &Difference| format!("  {}: {} in the checkpoint, {} now", d.key, d.saved, d.now);
    differences.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Store;
    use tch::{Device, Kind, Tensor};

    /// A checkpoint that holds nothing but a memory of four rows, of which 2 to 5 were the last.
    fn checkpoint(dir: &std::path::Path) -> Checkpoint {
        let mut memory = FeatureMemory::new(4, 1, Device::Cpu).unwrap();
        memory.push(&rows(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
        let mut state: RunState = serde_json::from_value(serde_json::json!({
            "version": RunState::VERSION, "step": 3, "steps_since_reset": 0, "num_resets": 0, "last_loss": null,
            "trained_seconds": 0.0, "config_digest": "", "config": {}, "versions": {}, "files": {},
            "stream": {
                "version": 1, "dataset_digest": "", "order": {"kind": "full"}, "recipe_digest": "", "seed": 0,
                "global_batch": 8, "world_size": 1, "next_step": 3
            }
        }))
        .unwrap();
        state.step = 3;
        let store = Store::new(dir.to_owned(), 1);
        store.write(state, &[("memory", memory.state())]).unwrap();
        store.newest().unwrap()
    }

    fn rows(values: &[f32]) -> Tensor {
        Tensor::from_slice(values).view([-1, 1])
    }

    fn held(capacity: i64, checkpoint: &Checkpoint) -> Vec<f32> {
        let mut memory = FeatureMemory::new(capacity, 1, Device::Cpu).unwrap();
        load_memory(&mut memory, checkpoint, true).unwrap();
        let mut held =
            Vec::<f32>::try_from(memory.features().to_kind(Kind::Float).view(-1)).unwrap();
        held.sort_by(f32::total_cmp);
        held
    }

    #[test]
    fn a_memory_of_another_size_takes_the_newest_that_fit() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = checkpoint(dir.path());
        assert_eq!(held(4, &checkpoint), [2.0, 3.0, 4.0, 5.0]);
        assert_eq!(held(3, &checkpoint), [3.0, 4.0, 5.0]);
        assert_eq!(held(9, &checkpoint), [2.0, 3.0, 4.0, 5.0]);
        // The oldest goes first when it is full again.
        let mut memory = FeatureMemory::new(5, 1, Device::Cpu).unwrap();
        load_memory(&mut memory, &checkpoint, true).unwrap();
        memory.push(&rows(&[6.0, 7.0]));
        let mut held = Vec::<f32>::try_from(memory.features().view(-1)).unwrap();
        held.sort_by(f32::total_cmp);
        assert_eq!(held, [3.0, 4.0, 5.0, 6.0, 7.0]);
        let mut memory = FeatureMemory::new(3, 1, Device::Cpu).unwrap();
        assert!(load_memory(&mut memory, &checkpoint, false).is_err(), "nobody allowed a change");
    }
}
