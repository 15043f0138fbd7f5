//! Which errors are the caller's: those end the program with another exit code than what went wrong by itself.

use std::error::Error;
use std::fmt;

use smog_pipeline::augment::RecipeError;
use smog_pipeline::manifest::ManifestError;
use smog_pipeline::runtime::PipelineError;
use smog_pipeline::shard::ShardError;
use smog_pipeline::source::OpenError;

/// Wrong arguments that only the command itself can tell, with what was expected.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Usage {}

/// Whether other arguments would have helped.
pub(crate) fn is_usage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<Usage>()
            || cause.is::<RecipeError>()
            || cause.downcast_ref().is_some_and(of_pipeline)
            || cause.downcast_ref().is_some_and(of_shard)
            || cause.downcast_ref().is_some_and(of_open)
    })
}

fn of_pipeline(error: &PipelineError) -> bool {
    matches!(
        error,
        PipelineError::Recipe(_) | PipelineError::Setting { .. } | PipelineError::Memory { .. }
    )
}

fn of_shard(error: &ShardError) -> bool {
    match error {
        ShardError::Option { .. } | ShardError::NoSplit { .. } => true,
        ShardError::Open(error) => of_open(error),
        _ => false,
    }
}

fn of_open(error: &OpenError) -> bool {
    matches!(
        error,
        OpenError::Missing { .. }
            | OpenError::Pattern { .. }
            | OpenError::NoSplit { .. }
            | OpenError::Manifest(ManifestError::NoSplit { .. })
    )
}
