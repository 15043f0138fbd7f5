//! `smog-trainer devices`

use std::process::ExitCode;

use serde::Serialize;
use smog_model::cuda;
use smog_terminal::outln;
use smog_trainer::device::{Chosen, name};

/// Flags of the command.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  smog-trainer devices\n  smog-trainer devices --json\n\n\
    A GPU needs the whole torch 2.11 package: LD_LIBRARY_PATH, or SMOG_LIBTORCH_CUDA, names its torch/lib folder \
    (docs/GPU.md).")]
pub(crate) struct Args {
    /// The device to try: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What there is to compute on.
#[derive(Serialize)]
struct Found {
    device: String,
    libtorch: String,
    libtorch_cuda: Option<String>,
    why_not_cuda: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let libtorch = cuda::torch_version()?;
    let chosen = Chosen::new(&args.device)?;
    if args.json {
        let found = Found {
            device: name(chosen.device),
            libtorch,
            libtorch_cuda: cuda::load(None).as_ref().ok().map(|path| path.display().to_string()),
            why_not_cuda: chosen.why_cpu.as_ref().map(ToString::to_string),
        };
        outln!("{}", serde_json::to_string(&found)?);
    } else {
        outln!("libtorch {libtorch}");
        match &chosen.why_cpu {
            Some(error) => outln!("device: {} ({error})", name(chosen.device)),
            None => outln!("device: {chosen}"),
        }
    }
    Ok(ExitCode::SUCCESS)
}
