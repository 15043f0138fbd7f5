//! Parts of what errors say.

use std::path::Path;

use smog_model::Accumulate;
use smog_model::cuda::CudaError;
use smog_terminal::quoted;

/// How the missing library is put in reach; where it is there, nothing.
pub(super) fn cuda_advice(reason: &CudaError) -> &'static str {
    match reason {
        CudaError::Library { .. } => {
            "It comes with the torch 2.11 package, in torch/lib: put that folder into LD_LIBRARY_PATH, or name it in \
             SMOG_LIBTORCH_CUDA. "
        }
        _ => "",
    }
}

pub(super) fn good_step(good: Option<u64>) -> String {
    good.map_or_else(
        || " and there is none before it".to_owned(),
        |step| format!("; the last good one is that of step {step}"),
    )
}

pub(super) fn ended(saved: Option<u64>, run: &Path) -> String {
    match saved {
        Some(step) => format!(
            ", so the run ends after step {step}, with its state saved. Make room on the disk, and go on with: smog-trainer \
             run --resume {}",
            quoted(run)
        ),
        None => ", so the run ends before there is anything to save. Make room on the disk, and start again".to_owned(),
    }
}

pub(super) fn seen(step: u64, seen_after: u64) -> String {
    if seen_after > step {
        format!(" (seen after step {seen_after}, of which the saved state is)")
    } else {
        String::new()
    }
}

pub(super) fn look(saved: Option<&Path>) -> String {
    saved.map_or_else(String::new, |saved| {
        format!(
            "; the state was saved in {} for a look, with the samples of this batch in samples.json there",
            saved.display()
        )
    })
}

pub(super) fn remarks(refused: &[String]) -> String {
    refused.iter().map(|problem| format!(". But {problem}")).collect()
}

pub(super) fn go_on(good: Option<u64>) -> String {
    match good {
        Some(step) => format!(
            "The newest checkpoint that gave a finite loss is that of step {step}: --resume goes on there, with another \
             learning rate by --allow-change schedule.lr_per_256"
        ),
        None => "There is no checkpoint before it that is known to be good".to_owned(),
    }
}

pub(super) fn steps(steps: &[u64]) -> String {
    match steps {
        [] => "no step".to_owned(),
        steps => steps.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// Between which steps.
pub(super) fn when(step: u64) -> String {
    match step {
        0 => "before the first step".to_owned(),
        step => format!("after step {step}"),
    }
}

/// What makes a step smaller, as far as it may change.
pub(super) fn less_memory(
    has_checkpoint: bool,
    accumulate: Accumulate,
    run: Option<&Path>,
) -> String {
    let of_sizes = "model.accumulate=resolution, which keeps the intermediate results of the views of one size at a time \
                    (the same gradients)";
    let of_views = "model.accumulate=view, which keeps those of one view at a time (batch norms then see one view at a time, \
                    too)";
    let parts = match accumulate {
        Accumulate::Off => format!("set {of_sizes}, or {of_views}"),
        Accumulate::Resolution => format!("set {of_views}"),
        Accumulate::View => "one view at a time is the least that a step keeps".to_owned(),
    };
    let value = if accumulate == Accumulate::Off { "resolution" } else { "view" };
    match (run, has_checkpoint) {
        (None, _) => format!("lower --batch-size, or {parts}"),
        (Some(run), false) => format!(
            "lower --batch-size, or {parts}. Begin again with less, such as: smog-trainer run --resume {} --batch-size N",
            quoted(run)
        ),
        (Some(_), true) if accumulate == Accumulate::View => {
            format!(
                "{parts}, and run.batch_size stays within a run: take a device with more memory"
            )
        }
        (Some(run), true) => format!(
            "run.batch_size stays within a run, but {parts}. Go on with: smog-trainer run --resume {} --set \
             model.accumulate={value} --allow-change model.accumulate",
            quoted(run)
        ),
    }
}
