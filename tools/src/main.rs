//! `smog-tools`: makes, checks and shows data sets of image shards.

mod bench;
mod cuda;
mod environment;
mod inspect;
mod merge;
mod next_step;
mod output;
mod progress;
mod remote;
mod shard;
mod synth;
mod text;
mod usage;
mod verify;
mod views;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit code where the command could not do its work.
const FAILED: u8 = 1;
/// Exit code where it was asked for something that cannot be; clap gives the same.
const USAGE: u8 = 2;

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

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Shard(args) => shard::run(args),
        Command::Merge(args) => merge::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Cuda(args) => cuda::run(args),
        Command::Synth(args) => synth::run(args),
    };
    result.unwrap_or_else(|error| {
        report(&error);
        ExitCode::from(if usage::is_usage(&error) { USAGE } else { FAILED })
    })
}

/// The error and its causes, each once.
fn report(error: &anyhow::Error) {
    output::note(&format!("error: {error:#}"));
}
