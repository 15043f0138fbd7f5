//! Which errors are the caller's, and what the pipeline's are called in a run.

use smog_pipeline::runtime::PipelineError;
use smog_pipeline::source::OpenError;

use super::TrainError;
use crate::checkpoint::CheckpointError;
use crate::data::DataError;
use crate::eval::labels::LabelError;
use crate::resume::ResumeError;

impl TrainError {
    /// Whether the settings or the call are at fault, as against something that happened.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Settings(_)
                | Self::Preflight(_)
                | Self::Init { .. }
                | Self::Exists { .. }
                | Self::NotARun { .. }
                | Self::NoCheckpoint { .. }
                | Self::NeedsRun { .. }
                | Self::NoKnn { .. }
                | Self::NotEmpty { .. }
                | Self::MemoryBudget { .. }
                | Self::Pipeline(PipelineError::Recipe(_) | PipelineError::Setting { .. })
                | Self::OutFile(_)
                | Self::Call(_)
                | Self::Resume(
                    ResumeError::Fixed { .. }
                        | ResumeError::Changed { .. }
                        | ResumeError::OtherData { .. }
                        | ResumeError::OtherImages { .. }
                )
                | Self::Checkpoint(CheckpointError::Kind { .. })
                | Self::Device { .. }
                | Self::NoSuchDevice { .. }
                | Self::Renderer { .. }
                | Self::Resident { .. }
                | Self::Labels(
                    LabelError::NoClasses { .. }
                        | LabelError::OtherClasses { .. }
                        | LabelError::Unlabelled { .. }
                )
                | Self::Data(
                    DataError::NotGiven
                        | DataError::Synthetic { .. }
                        | DataError::Stale { .. }
                        | DataError::Refused { .. }
                        | DataError::CacheGone { .. }
                        | DataError::NoSplit { .. }
                        | DataError::Open(OpenError::Missing { .. } | OpenError::Pattern { .. })
                )
        )
    }
}

impl TrainError {
    /// An error of the stream of an evaluation, which has the settings of its run and few flags of its own.
    pub(crate) fn of_evaluation(error: PipelineError) -> Self {
        let PipelineError::Memory { forecast, .. } = error else { return Self::Pipeline(error) };
        let mib = forecast.total_bytes().div_ceil(1 << 20);
        let remedy = format!(
            "raise the budget: --memory-budget-mib {mib} of an evaluation, --set stream.memory_budget_mib={mib} of a run"
        );
        Self::MemoryBudget { forecast: forecast.to_string(), remedy }
    }
}

impl From<PipelineError> for TrainError {
    /// The stream's settings by the names that a run gives them.
    fn from(error: PipelineError) -> Self {
        let PipelineError::Memory { forecast, remedy } = error else {
            return Self::Pipeline(error);
        };
        let bytes = format!("memory_budget_bytes to {}", forecast.total_bytes());
        let mib = forecast.total_bytes().div_ceil(1 << 20);
        let remedy = remedy
            .replace(&bytes, &format!("stream.memory_budget_mib to {mib}"))
            .replace("lower batch_size or num_slots", "lower run.batch_size or stream.num_slots")
            .replace(
                "lower workers or the limit on pixels",
                "lower stream.workers or stream.max_pixels",
            );
        Self::MemoryBudget { forecast: forecast.to_string(), remedy }
    }
}
