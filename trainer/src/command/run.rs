//! `smog-trainer run`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use smog_pipeline::shard::Listing;
use smog_terminal::exit_code::INTERRUPTED;
use smog_terminal::{Progress, note, outln, quoted};
use smog_trainer::data::{DataError, DataSet};
use smog_trainer::error::TrainError;
use smog_trainer::folder::{RunFolder, stored_settings};
use smog_trainer::resume;
use smog_trainer::session::{RunOptions, Session};
use smog_trainer::settings::{DataMode, RawConfig, RunConfig, SettingsError, presets};
use smog_trainer::signals::StopRequest;
use smog_trainer::train::Outcome;

/// Flags of the command.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    smog-trainer run --preset imagenet-resnet50 --data imagenet-shards/\n  \
    smog-trainer run --preset cifar10-resnet18 --data cifar10/ --epochs 8 --set model.encoder.width=16\n  \
    smog-trainer run --preset imagenet-vit-s --data imagenet-shards/ --set model.encoder.arch=vit_base\n  \
    smog-trainer run --preset imagenet-resnet50 --data photos-shards/ --init resnet50.safetensors\n  \
    smog-trainer run --resume runs/cifar10-resnet18-20250101-120000\n  \
    smog-trainer run --preset demo --data synthetic:600 --steps 50 --trace trace.json\n  \
    smog-trainer run --preset imagenet-resnet50 --data shards/ --device cuda:0 --batch-size 1024\n  \
    smog-trainer run --preset imagenet-resnet50 --data shards/ --steps 500 --data-mode resident\n\n\
    Settings come in layers: the preset, over it --config, over it --set and the flags that stand for a setting. \
    `smog-trainer presets NAME` prints a preset with comments.\n\
    --trace shows in ui.perfetto.dev what each thread does and whom it waits for; the file ends after a million events, \
    so trace a short run.\n\
    The first Ctrl-C finishes the step, saves a checkpoint and leaves with code 75; the second aborts. An evaluation between two \
    steps is left unfinished. SIGTERM and a terminal that goes away do the same; under nohup a run outlives its terminal.")]
pub(crate) struct Args {
    /// Shards (folder or URL), Parquet files or WebDataset tars (folder, file or pattern), a folder of images (sharded
    /// once into a cache), or synthetic:COUNT[:SIDE]
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    /// Settings that come with the program
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// TOML file with settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting; may be given several times
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    sets: Vec<String>,
    /// Where the run is kept [default: runs/NAME-DATE, with -2, -3, ... behind it where that is taken]
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Go on with the run in this folder, or in --run-dir
    #[arg(long, value_name = "RUN", num_args = 0..=1)]
    resume: Option<Option<PathBuf>>,
    /// Setting that may differ from the checkpoint's; may be given several times
    #[arg(long, value_name = "SECTION.KEY", requires = "resume")]
    allow_change: Vec<String>,
    /// Length in epochs (run.length)
    #[arg(long, conflicts_with = "steps")]
    epochs: Option<f64>,
    /// Length in steps (run.length)
    #[arg(long)]
    steps: Option<u64>,
    /// Samples per step (run.batch_size)
    #[arg(long, value_name = "N")]
    batch_size: Option<u32>,
    /// Seed of everything random (run.seed)
    #[arg(long)]
    seed: Option<u64>,
    /// Begin with the encoder of this safetensors file: of `smog-trainer export`, torchvision or timm (run.init)
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// auto, cpu, cuda or cuda:N (run.device)
    #[arg(long)]
    device: Option<String>,
    /// stream, or resident: every step on one batch, to measure the rate without a data path (run.data_mode)
    #[arg(long, value_name = "MODE")]
    data_mode: Option<String>,
    /// Cores to use; 0 takes all (run.threads)
    #[arg(long)]
    threads: Option<u32>,
    /// Threads that decode; 0 chooses (stream.workers)
    #[arg(long)]
    workers: Option<u32>,
    /// Save and leave after so many steps, with code 75, as if interrupted
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(1..))]
    stop_after: Option<u64>,
    /// Write a trace of all threads, to be opened in ui.perfetto.dev
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Show errors only
    #[arg(long)]
    quiet: bool,
    /// Print all settings as TOML, and leave
    #[arg(long)]
    print_config: bool,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    // First of all, so that a Ctrl-C during start-up is not lost.
    let stop = StopRequest::on_signals().context("cannot handle signals")?;
    let resumed = match &args.resume {
        None => None,
        Some(Some(run)) => {
            args.check_run_dir(run)?;
            Some(run.clone())
        }
        Some(None) => Some(args.run_dir.clone().ok_or_else(|| {
            call("--resume needs a run: --resume RUN, or --run-dir RUN --resume")
        })?),
    };
    let Settings { mut config, base, base_name } = args.settings(resumed.as_deref())?;
    if args.print_config {
        outln!("{}", config.to_toml().trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = resumed.clone().or_else(|| args.run_dir.clone());
    let may_number = chosen.is_none();
    let run_dir =
        chosen.unwrap_or_else(|| Path::new("runs").join(format!("{}-{}", config.run.name, now())));
    if resumed.is_none() {
        // Before images are sharded for it.
        if !may_number {
            RunFolder::check_new(&run_dir)?;
        }
        if let Some(init) = config.run.init.as_ref().filter(|init| !init.is_file()) {
            return Err(call(&format!("--init {}: there is no such file", init.display())).into());
        }
    }
    let given = config.data.path.clone().ok_or(DataError::NotGiven).map_err(TrainError::from)?;
    let sharding = Progress::new();
    let remote = config.data.remote();
    let may_shard = |listing: &Listing| match &resumed {
        Some(run) => resume::before_sharding(run, &config, &args.allow_change, listing),
        None => Ok(()),
    };
    let data = DataSet::find_asking(&given, &remote, &sharding, &may_shard)?;
    config.data.path = Some(data.path_of(&given));
    let eval_data = match config.eval.path.take() {
        Some(path) => {
            let found = DataSet::find(&path, &remote, &sharding).map_err(TrainError::from)?;
            config.eval.path = Some(found.absolute(&path));
            Some(found)
        }
        None => None,
    };
    let options = RunOptions {
        run_dir,
        may_number,
        resume: resumed.is_some(),
        allow_change: args.allow_change,
        stop_after: args.stop_after,
        quiet: args.quiet,
    };
    let is_resident = config.run.data_mode == DataMode::Resident;
    let session = Session::open(config.clone(), &data, eval_data.as_ref(), options)?;
    let run_dir = session.run_dir().to_owned();
    if !args.quiet {
        note(&settings(&config, base.as_ref(), &base_name, &run_dir));
    }
    Ok(match session.train(&stop)? {
        Outcome::Finished => ExitCode::SUCCESS,
        Outcome::Interrupted if is_resident => {
            note("interrupted; a run on one resident batch has nothing to go on from");
            ExitCode::from(INTERRUPTED)
        }
        Outcome::Interrupted => {
            note(&format!(
                "interrupted; a checkpoint was saved. Go on with: smog-trainer run --resume {}",
                quoted(&run_dir)
            ));
            ExitCode::from(INTERRUPTED)
        }
    })
}

impl Args {
    /// All layers on top of one another. A resumed run begins with the settings it was started with, unless a
    /// preset is given.
    fn settings(&self, resumed: Option<&Path>) -> Result<Settings, TrainError> {
        let (mut raw, base_name) = match (&self.preset, resumed, &self.config) {
            (Some(preset), _, _) => (RawConfig::preset(preset)?, format!("preset {preset}")),
            (None, Some(run), _) => (stored_settings(run)?, "as before".to_owned()),
            (None, None, Some(file)) => {
                (RawConfig::default().with_file(file)?, file.display().to_string())
            }
            (None, None, None) => {
                return Err(SettingsError::Nothing { known: presets::names() }.into());
            }
        };
        let base = raw.resolve().ok();
        if let Some(file) = &self.config {
            raw = raw.with_file(file)?;
        }
        raw = raw.with_sets(&self.sets)?;
        for (flag, set) in self.flags() {
            raw = raw.with_flag(flag, &set)?;
        }
        let mut config = raw.resolve()?;
        if let Some(data) = &self.data {
            config.data.path = Some(data.clone());
        }
        if let Some(init) = &self.init {
            config.run.init = Some(std::path::absolute(init).unwrap_or_else(|_| init.clone()));
        }
        Ok(Settings { config, base, base_name })
    }

    /// Refuses a `--run-dir` beside `--resume RUN` that is another folder: a run goes on where it is.
    fn check_run_dir(&self, resumed: &Path) -> Result<(), TrainError> {
        let Some(given) = &self.run_dir else { return Ok(()) };
        let place = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if place(given) == place(resumed) {
            return Ok(());
        }
        Err(call(&format!(
            "--resume {} and --run-dir {} are two folders, and a run goes on in its own: leave --run-dir out; to go on in a \
             copy, copy the folder and give the copy to --resume",
            quoted(resumed),
            quoted(given)
        )))
    }

    /// The flags that stand for a setting, as settings.
    fn flags(&self) -> Vec<(&'static str, String)> {
        let text = |value: Option<u32>| value.map(|value| value.to_string());
        let flags = [
            ("--epochs", "run.length", self.epochs.map(|epochs| format!("{epochs} epochs"))),
            ("--steps", "run.length", self.steps.map(|steps| format!("{steps} steps"))),
            ("--batch-size", "run.batch_size", text(self.batch_size)),
            ("--seed", "run.seed", self.seed.map(|value| value.to_string())),
            ("--device", "run.device", self.device.clone()),
            ("--data-mode", "run.data_mode", self.data_mode.clone()),
            ("--threads", "run.threads", text(self.threads)),
            ("--workers", "stream.workers", text(self.workers)),
        ];
        let given = |(flag, key, value): (_, &str, Option<String>)| {
            Some((flag, format!("{key}={}", value?)))
        };
        flags.into_iter().filter_map(given).collect()
    }
}

/// The settings, and those that they begin with.
struct Settings {
    config: RunConfig,
    /// Of the lowest layer; none where it is not complete by itself.
    base: Option<RunConfig>,
    base_name: String,
}

/// What differs from the lowest layer, and where all settings are.
fn settings(config: &RunConfig, base: Option<&RunConfig>, name: &str, run: &Path) -> String {
    let changes = base.map(|base| config.changes(base)).unwrap_or_default();
    let changes: Vec<String> =
        changes.iter().map(|change| format!("\n  {} = {}", change.key, change.now)).collect();
    let with = if changes.is_empty() { "" } else { ", but for" };
    format!(
        "settings: {name}{with}{}\nAll of them are in {}",
        changes.concat(),
        run.join("config.toml").display()
    )
}

fn call(problem: &str) -> TrainError {
    TrainError::Call(problem.to_owned())
}

/// The time of day in UTC as `20250131-235959`, for names of runs.
fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    stamp(seconds)
}

/// Gregorian date and time of a Unix time. Days are counted from 1 March 0000, so that leap days come last in
/// a year (Howard Hinnant's `civil_from_days`).
fn stamp(unix_seconds: u64) -> String {
    let (days, second) = (unix_seconds / 86_400 + 719_468, unix_seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unix_time_is_written_as_a_date() {
        for (seconds, text) in [
            (0, "19700101-000000"),
            (951_782_399, "20000228-235959"),
            (951_782_400, "20000229-000000"),
            (1_735_689_599, "20241231-235959"),
            (4_107_542_400, "21000301-000000"),
        ] {
            assert_eq!(stamp(seconds), text);
        }
    }
}
