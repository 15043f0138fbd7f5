//! `smog-tools`: makes, checks and shows data sets of image shards.

mod bench;
mod cuda;
mod inspect;
mod merge;
mod next_step;
mod remote;
mod shard;
mod synth;
mod usage;
mod verify;
mod views;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use smog_terminal::exit_code::{FAILED, USAGE};
use smog_terminal::failure::report;
use smog_terminal::tracing_output;

#[derive(Parser)]
#[command(
    name = "smog-tools",
    version,
    about = "Makes, checks and shows data sets of image shards",
    after_help = "Exit codes: 0 done, 1 failed or problems found, 2 wrong arguments, 3 finished but files were
refused (shard, merge), 141 nobody reads the output any more (`| head`)."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a data set of Parquet shards from a folder of images
    Shard(shard::Args),
    /// Join the parts of a data set that several machines wrote
    Merge(merge::Args),
    /// Check a data set against its manifest and decode every image
    Verify(verify::Args),
    /// Show what is in a data set, and the views that training sees
    Inspect(inspect::Args),
    /// Measure the pipeline, as a whole or one stage
    Bench(bench::Args),
    /// Check and measure the renderer on a GPU
    Cuda(cuda::Args),
    /// Draw a labelled set of pictures, for trying things without data
    Synth(synth::Args),
}

impl Command {
    /// Where the spans of all threads go.
    fn trace(&self) -> Option<&Path> {
        match self {
            Self::Bench(args) => args.trace(),
            _ => None,
        }
    }
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let trace = match tracing_output::start(command.trace()) {
        Ok(trace) => trace,
        Err(error) => {
            report(&error);
            return ExitCode::from(FAILED);
        }
    };
    let result = match command {
        Command::Shard(args) => shard::run(args),
        Command::Merge(args) => merge::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Cuda(args) => cuda::run(args),
        Command::Synth(args) => synth::run(args),
    };
    // Before the error, which is what a person looks for in the last line.
    let traced = tracing_output::finish(trace);
    result.and_then(|code| Ok(traced.map(|()| code)?)).unwrap_or_else(|error| {
        report(error.as_ref());
        ExitCode::from(if usage::is_usage(&error) { USAGE } else { FAILED })
    })
}
