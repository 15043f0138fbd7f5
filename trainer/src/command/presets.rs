//! `smog-trainer presets`

use std::process::ExitCode;

use smog_trainer::error::TrainError;
use smog_trainer::settings::presets::{PRESETS, text};

/// Flags of the command.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  smog-trainer presets cifar10-resnet18 > my.toml\n  \
    smog-trainer run --config my.toml --data photos/")]
pub(crate) struct Args {
    /// Print this preset
    name: Option<String>,
}

/// Runs the command.
#[expect(clippy::print_stdout, reason = "the output of the command")]
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.name {
        Some(name) => print!("{}", text(name).map_err(TrainError::from)?),
        None => PRESETS.iter().for_each(|preset| println!("{:18}  {}", preset.name, preset.about)),
    }
    Ok(ExitCode::SUCCESS)
}
