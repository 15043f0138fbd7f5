//! `smog-tools`: shard, verify, inspect, bench, synth.

mod synth;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(version, about)]
enum Cli {
    Synth(synth::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse() {
        Cli::Synth(args) => synth::run(args),
    }
}
