//! What ends a run before its last step.

mod kind;
mod words;

use std::path::PathBuf;

use smog_model::cuda::{CudaError, VersionError};
use smog_model::{Accumulate, ModelError};
use smog_pipeline::runtime::PipelineError;
use smog_terminal::failure::one_line;
use smog_terminal::quoted;

use crate::checkpoint::CheckpointError;
use crate::data::DataError;
use crate::eval::labels::LabelError;
use crate::misfits::Misfits;
use crate::outfile::OutFileError;
use crate::resume::ResumeError;
use crate::settings::SettingsError;
use words::{cuda_advice, ended, go_on, good_step, less_memory, look, remarks, seen, steps, when};

/// A run that cannot begin, or that stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The settings are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Settings and data do not fit together.
    #[error(transparent)]
    Preflight(#[from] Misfits),
    /// Splits are not labelled as an evaluation needs it.
    #[error(transparent)]
    Labels(#[from] LabelError),
    /// A checkpoint cannot be written or taken over.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The stream of batches cannot be opened, or failed.
    #[error(transparent)]
    Pipeline(PipelineError),
    /// The stream may not have the memory that it needs.
    #[error("the stream does not fit in its memory budget: {forecast}; {remedy}")]
    MemoryBudget {
        /// All figures.
        forecast: String,
        /// Which settings to change, and to what.
        remedy: String,
    },
    /// The run cannot go on from its checkpoint.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// A file cannot be written where it is asked for.
    #[error(transparent)]
    OutFile(#[from] OutFileError),
    /// A checkpoint was not saved, which ends the run.
    #[error(
        "the checkpoint of step {step} was not saved ({}){}. Make room on the disk, and go on with: smog-trainer run \
         --resume {}",
        one_line(source), good_step(*good), quoted(run)
    )]
    Unsaved {
        /// Steps done.
        step: u64,
        /// Step of the newest complete checkpoint.
        good: Option<u64>,
        /// The run folder.
        run: PathBuf,
        /// The cause.
        #[source]
        source: CheckpointError,
    },
    /// A line of the metrics was not written, which ends the run.
    #[error("{} cannot be written any more ({source}){}", metrics.display(), ended(*saved, run))]
    Unwritten {
        /// The file.
        metrics: PathBuf,
        /// Step of the state that was saved; none where there was nothing to save.
        saved: Option<u64>,
        /// The run folder.
        run: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A step needs more memory than there is.
    #[error(
        "there is not enough memory for a step of {batch_size} samples; {}",
        less_memory(*has_checkpoint, *accumulate, run.as_deref())
    )]
    OutOfMemory {
        /// Samples per step.
        batch_size: u32,
        /// Whose intermediate results a step keeps.
        accumulate: Accumulate,
        /// Whether the run has a checkpoint, so that its batch stays.
        has_checkpoint: bool,
        /// The run folder, where one can go on in it.
        run: Option<PathBuf>,
        /// libtorch's words.
        #[source]
        source: ModelError,
    },
    /// Arguments that make no sense together.
    #[error("{0}")]
    Call(String),
    /// The model refused its settings or its state, or libtorch an operation.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A file does not hold this run's encoder.
    #[error(
        "{} does not fit [model.encoder]; choose the arch, stem and width that it was made with", path.display()
    )]
    Init {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        #[source]
        source: ModelError,
    },
    /// There is a run already.
    #[error(
        "{} already holds a run; continue it with --resume {}, or choose another --run-dir",
        path.display(), quoted(path)
    )]
    Exists {
        /// The run folder.
        path: PathBuf,
    },
    /// The folder for a new run holds other things.
    #[error(
        "--run-dir {} is not empty ({found} is in it) and is no run; name a new folder, such as {}",
        path.display(), quoted(path.join("run"))
    )]
    NotEmpty {
        /// The folder.
        path: PathBuf,
        /// One of the things in it.
        found: String,
    },
    /// There is no run to continue.
    #[error("{} holds no run (it has no config.toml)", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// The run has no checkpoint of this step.
    #[error(
        "{} holds no complete checkpoint of step {step}; there are those of {}", path.display(), steps(there)
    )]
    NoCheckpoint {
        /// The run folder.
        path: PathBuf,
        /// The step that was asked for.
        step: u64,
        /// Steps of the checkpoints that are there.
        there: Vec<u64>,
    },
    /// A file has the encoder only.
    #[error("{} holds an encoder only, and this needs {what}: give the run folder", path.display())]
    NeedsRun {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        what: &'static str,
    },
    /// Another process works on it.
    #[error("another smog-trainer is working in {}", path.display())]
    Locked {
        /// The run folder.
        path: PathBuf,
    },
    /// No device has such a name.
    #[error("run.device = {wanted}: expected auto, cpu, cuda or cuda:N")]
    NoSuchDevice {
        /// The setting.
        wanted: String,
    },
    /// The device is not there.
    #[error(
        "run.device = {wanted}: {reason}. {}To go on with the CPU: --set run.device=cpu (or --device cpu)",
        cuda_advice(reason)
    )]
    Device {
        /// The setting.
        wanted: String,
        /// Which library, driver or device was not found.
        reason: CudaError,
    },
    /// The libtorch that was loaded is not the one that this program was made for.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The renderer is not there.
    #[error("stream.renderer = cuda: {problem}; {advice}")]
    Renderer {
        /// Why not.
        problem: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// The renderer on the GPU cannot be had, or failed.
    #[error("stream.renderer = cuda: {0}")]
    GpuRenderer(#[from] smog_cuda::CudaError),
    /// A run on one batch has nothing to go on with.
    #[error(
        "{}: a run on one resident batch (run.data_mode = \"resident\") measures speed and learns nothing; it keeps no \
         checkpoint and goes on from none. Start a new one", path.display()
    )]
    Resident {
        /// The run folder.
        path: PathBuf,
    },
    /// The loss, or what the run would keep, is not a finite number.
    #[error(
        "{what} at step {step}{}{}. Usual causes: a learning rate that is too high (now {lr:.4}) or a warm-up that is too \
         short. {}{}",
        seen(*step, *seen_after), look(saved.as_deref()), go_on(*good), remarks(refused)
    )]
    Diverged {
        /// What was seen.
        what: Broken,
        /// The step, counted from 1.
        step: u64,
        /// Steps done when it was seen; more than `step` on a GPU, where losses are read later.
        seen_after: u64,
        /// Its learning rate.
        lr: f64,
        /// Where the state is, unless the disk refused it.
        saved: Option<PathBuf>,
        /// What could not be done about it.
        refused: Vec<String>,
        /// Step of the newest checkpoint whose weights gave a finite loss.
        good: Option<u64>,
    },
    /// A part of the run failed between two steps. What was trained is saved.
    #[error(
        "{what} failed {}: {}{way_on}",
        when(*step), one_line(&**source)
    )]
    Halted {
        /// The part.
        what: &'static str,
        /// Steps done, and saved.
        step: u64,
        /// What is saved and what to do, as sentences behind a full stop; empty where nothing is kept.
        way_on: String,
        /// The cause.
        #[source]
        source: EvalFailure,
    },
    /// Data that k-NN during the run cannot use.
    #[error(
        "k-NN during the run, which eval.knn_every asks for, cannot use these data: {}. Name others with --set \
         eval.path=DATA, or leave it out with --set eval.knn_every=never",
        one_line(&**source)
    )]
    NoKnn {
        /// Why not.
        #[source]
        source: EvalFailure,
    },
    /// Pictures cannot be made ready for the encoder.
    #[error("pictures cannot be made ready for the encoder")]
    Eval(#[source] EvalFailure),
    /// A file of the run folder cannot be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A bug: the stream is not where the run is.
    #[error("the stream gave {found} where the batch of step {expected} was due")]
    OutOfStep {
        /// What came.
        found: String,
        /// Steps done.
        expected: u64,
    },
}

/// What is not a finite number in a run that cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The loss of the step.
    Loss,
    /// Features that the groups were to be made anew from, of a step with a finite loss.
    Features,
    /// What the update of the step left.
    State {
        /// The first such tensor.
        tensor: String,
    },
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Loss => f.write_str("the loss is not a finite number"),
            Self::Features => f.write_str(
                "the features in memory are not finite numbers, so the groups cannot be made anew",
            ),
            Self::State { tensor } => {
                write!(f, "{tensor} does not hold finite numbers any more after the update")
            }
        }
    }
}

/// The cause of a failed evaluation, with its own chain of causes.
pub type EvalFailure = Box<dyn std::error::Error + Send + Sync>;

impl TrainError {
    pub(crate) fn io(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn eval(error: anyhow::Error) -> Self {
        Self::Eval(error.into())
    }
}
