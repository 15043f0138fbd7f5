//! `smog-trainer export`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use smog_terminal::outln;
use smog_trainer::error::TrainError;
use smog_trainer::export;
use smog_trainer::outfile::OutFile;
use smog_trainer::trained::{Wanted, encoder_name};

use super::eval::Branch;

/// Flags of the command.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    smog-trainer export runs/photos --out encoder.safetensors\n  \
    smog-trainer export runs/photos --out average.safetensors --branch momentum --checkpoint 5000\n\n\
    The names are torchvision's or timm's, without the classifier, so that their networks load it with strict=True; the \
    README has the lines of Python. The header says which encoder it is, its pictures (smog.size, smog.resize, and smog.apply_exif: whether they are rotated \
    as their EXIF tag says), and their mean and deviation.")]
pub(crate) struct Args {
    /// Run folder
    run: PathBuf,
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The trained encoder, or its moving average
    #[arg(long, value_enum, default_value = "online")]
    branch: Branch,
    /// Step of the checkpoint [default: the newest]
    #[arg(long, value_name = "STEP")]
    checkpoint: Option<u64>,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    OutFile::Safetensors.check(&args.out).map_err(TrainError::from)?;
    let wanted = Wanted {
        path: args.run,
        step: args.checkpoint,
        branch: args.branch.into(),
        device: Some("cpu".to_owned()),
        threads: None,
        memory_budget_mib: None,
    };
    let trained = wanted.load()?;
    export::write(&args.out, &trained.backbone, &trained.about)?;
    outln!(
        "{}: {} encoder after {} steps, {}, {} features",
        args.out.display(),
        trained.about.branch,
        trained.about.step,
        encoder_name(&trained.about.encoder),
        trained.about.encoder.feature_dim(),
    );
    Ok(ExitCode::SUCCESS)
}
