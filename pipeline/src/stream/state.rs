//! The position of a stream: what a checkpoint saves, a few hundred bytes.

use serde::{Deserialize, Serialize};

use crate::order::OrderSettings;
use crate::runtime::PipelineError;

/// Where a stream stands and which stream it is. `next_step` counts what was handed out, never what was
/// read ahead, and runs on over epochs: the end of one epoch *is* the start of the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamState {
    /// Version of this record, [`StreamState::VERSION`].
    pub version: u32,
    /// Content of the data set ([`Source::digest`](crate::source::Source::digest)).
    pub dataset_digest: String,
    /// Order of samples.
    pub order: OrderSettings,
    /// Augmentation ([`Recipe::digest`](crate::augment::Recipe::digest)).
    pub recipe_digest: String,
    /// Seed of order and augmentation.
    pub seed: u64,
    /// Samples per step over all ranks.
    pub global_batch: u64,
    /// Ranks; may differ on resume as long as `global_batch` does not.
    pub world_size: u32,
    /// The step whose batch comes next.
    pub next_step: u64,
}

impl StreamState {
    /// Version that this crate writes.
    pub const VERSION: u32 = 1;

    /// Checks that `self` is the stream of which `saved` is a position. [`StreamMode`](super::StreamMode) and
    /// [`RenderSettings`](crate::render::sample::RenderSettings) are no part of a position: who changes them between
    /// sittings has to compare them, as `smog-trainer` does with all of its settings.
    ///
    /// # Errors
    /// What differs, with both values. A different order of batches is never guessed around.
    pub fn accept(&self, saved: &Self) -> Result<(), PipelineError> {
        let same = |field, saved: &dyn ToString, now: &dyn ToString| {
            let (saved, now) = (saved.to_string(), now.to_string());
            if saved == now {
                Ok(())
            } else {
                Err(PipelineError::StateMismatch { field, saved, now })
            }
        };
        same("version", &saved.version, &self.version)?;
        same("dataset_digest", &saved.dataset_digest, &self.dataset_digest)?;
        same("order", &saved.order, &self.order)?;
        same("recipe_digest", &saved.recipe_digest, &self.recipe_digest)?;
        same("seed", &saved.seed, &self.seed)?;
        same("global_batch", &saved.global_batch, &self.global_batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> StreamState {
        StreamState {
            version: StreamState::VERSION,
            dataset_digest: "aa".into(),
            order: OrderSettings::Window { row_groups: 64 },
            recipe_digest: "bb".into(),
            seed: 7,
            global_batch: 256,
            world_size: 2,
            next_step: 12_345,
        }
    }

    #[test]
    fn a_state_survives_json() {
        let text = serde_json::to_string(&state()).expect("serialises");
        assert!(text.len() < 400, "{text}");
        assert_eq!(serde_json::from_str::<StreamState>(&text).expect("parses"), state());
    }

    #[test]
    fn a_change_of_world_size_is_accepted_and_everything_else_refused_with_both_values() {
        let now = state();
        now.accept(&StreamState { world_size: 4, next_step: 3, ..state() }).expect("elastic");
        let message = |saved: StreamState| now.accept(&saved).expect_err("differs").to_string();
        assert_eq!(
            message(StreamState { global_batch: 512, ..state() }),
            "this position belongs to another stream: global_batch was 512 when it was saved and is 256 now"
        );
        for saved in [
            StreamState { version: 2, ..state() },
            StreamState { dataset_digest: "ab".into(), ..state() },
            StreamState { order: OrderSettings::Full, ..state() },
            StreamState { recipe_digest: "cc".into(), ..state() },
            StreamState { seed: 8, ..state() },
        ] {
            message(saved);
        }
    }
}
