//! `smog-tools bench`: how fast the pipeline is, as a whole and stage by stage.

mod interrupt;
mod manifest;
mod pipeline;
mod stage;
mod usage;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use smog_pipeline::codec::{DecodeLimits, DecoderKind};
use smog_pipeline::render::sample::RenderSettings;
use smog_pipeline::source::{Source, SyntheticSource, find_with};
use smog_terminal::line as say;

use crate::remote::RemoteArgs;
use crate::usage::Usage;
use crate::views::Views;

/// Arguments of `smog-tools bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The whole stream with a trainer that takes batches and does nothing
    Pipeline(pipeline::Args),
    /// One stage alone, from images in memory
    Stage(stage::Args),
    /// Opening and entering a data set of millions of images, which need not exist
    Manifest(manifest::Args),
}

/// What both benches share.
#[derive(clap::Args)]
struct Common {
    /// Shards (folder or URL), Parquet files or WebDataset tars (folder, file or pattern), or `synthetic`
    #[arg(long, value_name = "DATA")]
    data: PathBuf,
    /// Split, where --data holds several
    #[arg(long, value_name = "NAME", default_value = "train")]
    split: String,
    /// Views: a recipe by name (smog, smog_multicrop, byol, cifar, eval, ...), counts and sides, or a file of
    /// `smog-trainer presets NAME --views`
    #[arg(long, value_name = "VIEWS", default_value = "2x224+4x96")]
    preset: Views,
    /// Numbers of threads to try
    #[arg(long, value_name = "N,...", default_value = "1,2", value_delimiter = ',')]
    workers: Vec<u32>,
    /// Time to measure for each
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    seconds: f64,
    /// Decoder for JPEG
    #[arg(long, value_name = "NAME", default_value_t = DecoderKind::default())]
    decoder: DecoderKind,
    /// Let the decoder reduce images where no view loses pixels by it
    #[arg(long)]
    scaled_decode: bool,
    /// Seed of order and augmentation
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print one JSON object per line instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

impl Args {
    /// Where a trace is asked for.
    pub(crate) fn trace(&self) -> Option<&Path> {
        match &self.what {
            What::Pipeline(args) => args.trace.as_deref(),
            _ => None,
        }
    }
}

impl Common {
    fn source(&self) -> anyhow::Result<Arc<dyn Source>> {
        if self.data.as_os_str() == "synthetic" {
            return Ok(Arc::new(SyntheticSource::new(4096, 128, 500, self.seed)));
        }
        Ok(find_with(&self.data, &self.remote.options())?.open(&self.split)?)
    }

    fn render(&self) -> RenderSettings {
        RenderSettings {
            decoder: self.decoder,
            limits: DecodeLimits::default(),
            scaled_decode: self.scaled_decode,
            ..RenderSettings::default()
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.seconds > 0.0 && self.seconds < 86_400.0,
            Usage(format!("--seconds {}: expected more than 0 and less than a day", self.seconds))
        );
        anyhow::ensure!(
            self.workers.iter().all(|&workers| workers > 0),
            Usage("--workers: expected numbers of at least 1".to_owned())
        );
        Ok(())
    }
}

/// Runs the command.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Pipeline(args) => pipeline::run(&args)?,
        What::Stage(args) => stage::run(&args)?,
        What::Manifest(args) => manifest::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}
