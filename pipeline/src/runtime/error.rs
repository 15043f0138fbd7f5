//! Errors of the stream. The first failure of a stage wins and reaches the trainer as a value.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::augment::RecipeError;
use crate::source::SourceError;
use crate::stream::MemoryForecast;

/// A stream that cannot be opened, or that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The augmentation recipe cannot be followed.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A setting is out of range.
    #[error("{key} = {value}, expected {expected}")]
    Setting {
        /// Name of the setting.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        expected: String,
    },
    /// The stream would need more memory than it may have. Refused before the first thread starts.
    #[error("the stream does not fit in its memory budget: {forecast}; {remedy}")]
    Memory {
        /// All figures.
        forecast: Box<MemoryForecast>,
        /// Which settings to change, and to what.
        remedy: String,
    },
    /// The saved position belongs to another stream.
    #[error(
        "this position belongs to another stream: {field} was {saved} when it was saved and is {now} now"
    )]
    StateMismatch {
        /// What differs.
        field: &'static str,
        /// The saved value.
        saved: String,
        /// The value of this run.
        now: String,
    },
    /// A thread cannot be started.
    #[error("cannot start thread {name}")]
    Spawn {
        /// Name of the thread.
        name: String,
        /// The cause.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// Memory for the slots cannot be had.
    #[error("cannot allocate a slot of {bytes} bytes: {problem}")]
    SlotMemory {
        /// Size of the block that was asked for.
        bytes: u64,
        /// What the allocator said.
        problem: String,
    },
    /// A stage failed; the others were stopped. Every later call gives the same error.
    #[error(transparent)]
    Stage(Arc<StageFailure>),
    /// The stages were stopped and could not be started again.
    #[error("the stream is not running")]
    NotRunning,
    /// Stages did not end in time after they were told to.
    #[error("stages did not end within {seconds} s: {}", stages.join(", "))]
    StillRunning {
        /// Thread names.
        stages: Vec<String>,
        /// How long they were waited for.
        seconds: u64,
    },
}

/// What failed, and where.
#[derive(Debug, thiserror::Error)]
#[error("stage {stage} failed")]
pub struct StageFailure {
    /// Name of the thread.
    pub stage: String,
    /// Why.
    #[source]
    pub cause: FailureCause,
}

/// Why a stage failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FailureCause {
    /// A row group cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Too many samples cannot be decoded.
    #[error(
        "{bad} of {shown} samples cannot be decoded, the limit is {limit}; the last was {path}: {reason}"
    )]
    BadSamples {
        /// Bad samples so far.
        bad: u64,
        /// Samples shown so far.
        shown: u64,
        /// The limit in words.
        limit: String,
        /// Original path of the last bad sample.
        path: String,
        /// What the decoder said of it.
        reason: String,
    },
    /// No sample of a row group can be decoded, so there is none to stand in for another.
    #[error(
        "none of the {rows} samples of row group {row_group} can be decoded; the last was {path}: {reason}"
    )]
    NoSubstitute {
        /// Index into the table of row groups.
        row_group: u32,
        /// Its rows.
        rows: u32,
        /// Original path of the last one tried.
        path: String,
        /// What the decoder said of it.
        reason: String,
    },
    /// A source gave something else than its table of row groups says.
    #[error("row group {row_group}{} {problem}", in_file(file.as_deref()))]
    WrongRowGroup {
        /// Index into the table of row groups.
        row_group: u32,
        /// The file that it lies in, where the source knows one.
        file: Option<PathBuf>,
        /// What was found and what was expected, as a clause that begins with a verb.
        problem: String,
    },
    /// A bug: the stage panicked.
    #[error("panicked: {message}")]
    Panic {
        /// Message of the panic.
        message: String,
    },
    /// A channel was closed by a stage that left no reason of its own.
    #[error("a neighbouring stage ended without a reason")]
    Orphaned,
    /// A device or another part behind a seam failed.
    #[error("{0}")]
    Other(String),
}

fn in_file(file: Option<&Path>) -> String {
    file.map_or(String::new(), |file| format!(" in {}", file.display()))
}
