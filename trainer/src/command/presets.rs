//! `smog-trainer presets`

use std::path::Path;
use std::process::ExitCode;

use smog_terminal::outln;
use smog_trainer::error::TrainError;
use smog_trainer::folder::stored_settings;
use smog_trainer::settings::RawConfig;
use smog_trainer::settings::presets::{PRESETS, text};

/// Flags of the command.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  smog-trainer presets cifar10-resnet18 > my.toml\n  \
    smog-trainer run --config my.toml --data photos/\n  \
    smog-trainer presets my.toml --views > views.json\n  \
    smog-tools inspect photos-shards/ --sample 8 --preset views.json --out views.png")]
pub(crate) struct Args {
    /// Print this preset
    name: Option<String>,
    /// Print its views as JSON, for `smog-tools inspect --preset FILE`; NAME may then be a TOML file or a run, too
    #[arg(long, requires = "name")]
    views: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.name {
        Some(name) if args.views => outln!("{}", views(name)?),
        Some(name) => outln!("{}", text(name).map_err(TrainError::from)?.trim_end()),
        None => {
            let width = PRESETS.iter().map(|preset| preset.name.len()).max().unwrap_or(0);
            PRESETS.iter().for_each(|preset| outln!("{:width$}  {}", preset.name, preset.about));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The views that training makes by a preset, a file of settings or those of a run.
fn views(name: &str) -> anyhow::Result<String> {
    let path = Path::new(name);
    let raw = if path.is_dir() {
        stored_settings(path)?
    } else if path.is_file() {
        RawConfig::default().with_file(path).map_err(TrainError::from)?
    } else {
        RawConfig::preset(name).map_err(TrainError::from)?
    };
    let config = raw.resolve().map_err(TrainError::from)?;
    Ok(serde_json::to_string_pretty(&config.augment)?)
}
