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
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.name {
        Some(name) => outln!("{}", text(name).map_err(TrainError::from)?.trim_end()),
        None => {
            let width = PRESETS.iter().map(|preset| preset.name.len()).max().unwrap_or(0);
            PRESETS.iter().for_each(|preset| outln!("{:width$}  {}", preset.name, preset.about));
        }
    }
    Ok(ExitCode::SUCCESS)
}
