//! `smog-tools cuda`: what a machine with a GPU is asked before anything is believed of it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Subcommand;
use serde::Serialize;
use smog_cuda::driver::Gpu;
use smog_cuda::kernels::{KernelOptions, Kernels, check as kernels};
use smog_cuda::{RouteCounts, check as renderer};
use smog_pipeline::augment::Recipe;
use smog_pipeline::source::{Source, SyntheticSource, find};
use smog_pipeline::stream::StreamConfig;

use crate::FAILED;

/// Images whose views are compared with those of the CPU renderer, and images of a measured batch.
const KERNEL_IMAGES: u64 = 48;
const KERNEL_BATCH: usize = 256;
/// Size of the images that kernels are measured on: what photographs of ImageNet have on average.
const KERNEL_SIZE: (u32, u32) = (500, 375);
/// Images that are decoded behind other work.
const ORDER_ROUNDS: u32 = 50;
/// Levels that a view may be off, where nvJPEG decoded the image: its inverse transform is not libjpeg-turbo's to the
/// bit, and contrast makes more of it.
const MAX_MEAN_LEVELS: f64 = 1.0;

/// Arguments of `smog-tools cuda`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Compare kernels and renderer with the CPU's, and measure them
    Check(Check),
}

#[derive(clap::Args)]
#[command(after_help = "\
Kernels have to give the views of the CPU renderer to the bit, and take less than 10 microseconds an
image. The renderer has to show the same samples with the same plans, its views within a level on
average: nvJPEG decodes a little otherwise than libjpeg-turbo.

Exit codes: 0 all is well, 1 something is not, or there is no GPU.

Examples:
  smog-tools cuda check --data imagenet-shards
  smog-tools cuda check --device 1 --data imagenet-shards --workers 16 --seconds 30 --json")]
struct Check {
    /// Number of the GPU
    #[arg(long, value_name = "N", default_value_t = 0)]
    device: u32,
    /// Shards, Parquet files or WebDataset tars that the renderer is tried on, or `synthetic`
    #[arg(long, value_name = "DATA", default_value = "synthetic")]
    data: PathBuf,
    /// Split, where --data holds several
    #[arg(long, value_name = "NAME", default_value = "train")]
    split: String,
    /// Threads that decode what the JPEG engines do not; 0 takes one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    workers: u32,
    /// Samples per batch
    #[arg(long, value_name = "N", default_value_t = 64)]
    batch: u32,
    /// Batches to compare
    #[arg(long, value_name = "N", default_value_t = 8)]
    steps: u32,
    /// Time to measure the renderer for
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    seconds: f64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// One finding.
#[derive(Debug, Serialize)]
struct Finding {
    name: String,
    value: f64,
    unit: &'static str,
    /// What it is held against; empty where it is only measured.
    target: &'static str,
    passed: Option<bool>,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let What::Check(args) = args.what;
    anyhow::ensure!(
        args.seconds > 0.0 && args.seconds < 86_400.0,
        "--seconds {}: expected more than 0 and less than a day",
        args.seconds
    );
    let mut found = of_kernels(&args)?;
    found.extend(of_engines(&args)?);
    found.extend(of_renderer(&args)?);
    if args.json {
        say(&serde_json::json!({ "checks": found }).to_string());
    } else {
        found.iter().for_each(|finding| say(&finding.line()));
    }
    let failed = found.iter().any(|finding| finding.passed == Some(false));
    Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

fn of_kernels(args: &Check) -> anyhow::Result<Vec<Finding>> {
    let gpu = Gpu::open(args.device)?;
    let loaded = Kernels::load(gpu.context(), &KernelOptions::default())?;
    let parity = kernels::parity(gpu.context(), &loaded, KERNEL_IMAGES)?;
    let speed = kernels::speed(gpu.context(), &loaded, KERNEL_SIZE, KERNEL_BATCH, 20)?;
    let micros = speed.microseconds_per_image;
    Ok(vec![
        judged(
            format!("kernels: values that differ from the CPU renderer's, of {}", parity.values),
            parity.differing as f64,
            "",
            "0",
            parity.differing == 0,
        ),
        judged(
            format!("kernels: time for an image, {} views", speed.views_per_image),
            micros,
            "us",
            "below 10",
            micros < 10.0,
        ),
    ])
}

/// Not judged: the renderer waits on the host in any case.
fn of_engines(args: &Check) -> anyhow::Result<Vec<Finding>> {
    let Some(order) = renderer::stream_order(args.device, ORDER_ROUNDS)? else {
        return Ok(vec![measured("JPEG engines that can be used".to_owned(), 0.0, "")]);
    };
    let name = "JPEG engines: images that overtook work queued before them";
    Ok(vec![measured(format!("{name}, of {}", order.rounds), order.overtaken.into(), "")])
}

fn of_renderer(args: &Check) -> anyhow::Result<Vec<Finding>> {
    let source: Arc<dyn Source> = if args.data.as_os_str() == "synthetic" {
        Arc::new(SyntheticSource::new(4096, 128, 500, 0))
    } else {
        find(&args.data)?.open(&args.split)?
    };
    let recipe = Recipe::preset("smog_multicrop").context("no recipe smog_multicrop")?;
    let config = StreamConfig { workers: args.workers, ..StreamConfig::new(recipe, args.batch) };
    let (likeness, counts) = renderer::likeness(&source, &config, args.device, args.steps)?;
    let rate = renderer::rate(&source, &config, args.device, args.seconds)?;
    let mut found = vec![
        judged(
            format!("renderer: rows that show something else, of {}", likeness.rows),
            likeness.other_rows as f64,
            "",
            "0",
            likeness.other_rows == 0,
        ),
        judged(
            "renderer: mean difference from the CPU renderer's views".to_owned(),
            likeness.mean(),
            "levels",
            "at most 1",
            likeness.mean() <= MAX_MEAN_LEVELS,
        ),
        measured("renderer: largest difference".to_owned(), likeness.largest.into(), "levels"),
    ];
    found.extend(ways("while comparing", counts));
    found.push(judged(
        format!("renderer: rate with six views, {}", rate.facts),
        rate.images_per_second,
        "images/s",
        "at least 3000",
        rate.images_per_second >= 3000.0,
    ));
    found.extend(ways("while measuring", rate.counts));
    Ok(found)
}

fn ways(when: &str, counts: RouteCounts) -> impl Iterator<Item = Finding> {
    [
        ("JPEG engines", counts.hardware),
        ("hybrid decoders", counts.hybrid),
        ("the CPU", counts.cpu),
        ("nobody at first: refused by the engines", counts.hardware_refused),
        ("nobody at first: refused by a hybrid decoder", counts.hybrid_refused),
    ]
    .map(|(who, count)| measured(format!("{when}, decoded by {who}"), count as f64, "images"))
    .into_iter()
}

fn judged(
    name: String,
    value: f64,
    unit: &'static str,
    target: &'static str,
    passed: bool,
) -> Finding {
    Finding { name, value, unit, target, passed: Some(passed) }
}

fn measured(name: String, value: f64, unit: &'static str) -> Finding {
    Finding { name, value, unit, target: "", passed: None }
}

impl Finding {
    fn line(&self) -> String {
        let verdict = match self.passed {
            Some(true) => "passed",
            Some(false) => "FAILED",
            None => "measured",
        };
        let target =
            if self.target.is_empty() { String::new() } else { format!(" ({})", self.target) };
        format!("{verdict:<9}{}: {:.3} {}{target}", self.name, self.value, self.unit)
    }
}

/// One line of the output.
fn say(line: &str) {
    crate::output::line(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_lines_with_their_verdict() {
        let bad = judged("kernels: time".into(), 12.5, "us", "below 10", false);
        assert_eq!(bad.line(), "FAILED   kernels: time: 12.500 us (below 10)");
        assert_eq!(measured("rate".into(), 3.0, "images").line(), "measured rate: 3.000 images");
    }
}
