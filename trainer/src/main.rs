//! `smog-trainer`: trains an encoder with SMoG and evaluates it.

mod command;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use smog_terminal::exit_code::{FAILED, INTERRUPTED, USAGE};
use smog_terminal::failure::{one_line, report};
use smog_terminal::{note, tracing_output};
use smog_trainer::error::TrainError;

#[derive(Parser)]
#[command(
    name = "smog-trainer",
    version,
    about = "Trains an image encoder without labels (SMoG) and evaluates it",
    after_help = "Exit codes:\n  \
        0    done\n  \
        1    failed\n  \
        2    wrong arguments, settings, or settings that do not fit the data\n  \
        75   interrupted by Ctrl-C, SIGTERM or SIGHUP (or --stop-after): a checkpoint was saved, go on with --resume;\n             \
             an evaluation goes on by the same command\n  \
        130  aborted by a second Ctrl-C (143 by a second SIGTERM, 129 by a second SIGHUP): what came after the last \
             checkpoint is lost\n  \
        141  nobody reads the output any more (`| head`)"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train, or go on with a run
    Run(Box<command::run::Args>),
    /// Evaluate the encoder of a run
    Eval(command::eval::Args),
    /// Write the encoder of a run to a file that torchvision and timm read
    Export(command::export::Args),
    /// Write the features of a data set to a Parquet file
    Embed(command::embed::Args),
    /// Say which device a run would compute on, and why
    Devices(command::devices::Args),
    /// List the presets, or print one as TOML to start from
    Presets(command::presets::Args),
}

impl Command {
    /// Whether it may want a GPU. The library takes a second to load.
    fn computes(&self) -> bool {
        !matches!(self, Self::Presets(_) | Self::Export(_))
    }
}

/// A libtorch of another release would fail later, in ways that nobody could read.
fn check_libtorch() -> anyhow::Result<()> {
    smog_model::cuda::torch_version().map_err(TrainError::from)?;
    Ok(())
}

fn main() -> ExitCode {
    smog_trainer::environment::let_waiting_threads_sleep();
    let command = Cli::parse().command;
    // Before anything can ask libtorch for a GPU (smog_model::cuda says why). What comes of it is shown where a device is
    // chosen: to have no CUDA is no error on a CPU.
    if command.computes() {
        let given = smog_trainer::environment::libtorch_cuda();
        let _ = smog_model::cuda::load(given.as_deref());
    }
    let trace = match &command {
        Command::Run(args) => args.trace.as_deref(),
        _ => None,
    };
    let trace = match tracing_output::start(trace) {
        Ok(trace) => trace,
        Err(error) => {
            report(&error);
            return ExitCode::from(FAILED);
        }
    };
    let result = check_libtorch().and_then(|()| match command {
        Command::Run(args) => command::run::run(*args),
        Command::Eval(args) => command::eval::run(args),
        Command::Export(args) => command::export::run(args),
        Command::Embed(args) => command::embed::run(&args),
        Command::Devices(args) => command::devices::run(&args),
        Command::Presets(args) => command::presets::run(&args),
    });
    // Before the error, which is what a person looks for in the last line. A run is not spoilt by it.
    if let Err(error) = tracing_output::finish(trace) {
        note(&format!("warning: {}", one_line(&error)));
    }
    result.unwrap_or_else(|error| {
        report(error.as_ref());
        if error.is::<smog_trainer::eval::Interrupted>() {
            return ExitCode::from(INTERRUPTED);
        }
        let is_usage =
            error.chain().any(|cause| cause.downcast_ref().is_some_and(TrainError::is_usage));
        ExitCode::from(if is_usage { USAGE } else { FAILED })
    })
}
