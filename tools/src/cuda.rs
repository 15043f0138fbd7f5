//! `smog-tools cuda`: what a machine with a GPU is asked before anything is believed of it.

mod decoders;
mod findings;
mod pictures;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Subcommand;
use smog_cuda::check::{self, Compared, Machine};
use smog_cuda::driver::Gpu;
use smog_cuda::kernels::{KernelOptions, Kernels, check as kernels};
use smog_pipeline::augment::Recipe;
use smog_pipeline::source::{Source, SyntheticSource, find};
use smog_pipeline::stream::StreamConfig;
use smog_terminal::environment::kernel_cache;
use smog_terminal::exit_code::FAILED;
use smog_terminal::line as say;

use crate::usage::Usage;
use findings::{Finding, broken, judged, measured, ways};

/// Images whose views are compared with those of the CPU renderer, and images of a measured batch.
const KERNEL_IMAGES: u64 = 48;
const KERNEL_BATCH: usize = 256;
/// Size of the images that kernels are measured on: what photographs of ImageNet have on average.
const KERNEL_SIZE: (u32, u32) = (500, 375);
/// How often the JPEG engines are tried.
const ENGINE_ROUNDS: u32 = 50;
/// Rows of a batch of pictures of one kind, and batches.
const PICTURE_ROWS: u32 = 24;
const PICTURE_STEPS: u32 = 3;
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
average: nvJPEG decodes a little otherwise than libjpeg-turbo. That is also asked of pictures in each
coding that leaves the processor, with the JPEG engines and without. How many images a second the
engines, the hybrid decoders and the processor decode alone is measured with images of --data.

Exit codes: 0 all is well, 1 something is not, or there is no GPU, 2 wrong arguments.

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
    /// Time to measure the renderer for; each decoder alone gets a quarter of it
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    seconds: f64,
    /// Print JSON: an object for each part, as soon as it is done
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let What::Check(args) = args.what;
    anyhow::ensure!(
        args.seconds > 0.0 && args.seconds < 86_400.0,
        Usage(format!("--seconds {}: expected more than 0 and less than a day", args.seconds))
    );
    // Without a GPU there is nothing to find.
    let gpu = Gpu::open(args.device)?;
    let machine = Machine {
        device: args.device,
        hardware: true,
        kernels: KernelOptions { cache: kernel_cache(), ..KernelOptions::default() },
    };
    let mut failed = false;
    // Shown part by part: a later one may take the process with it.
    let mut add = |part: &str, result: anyhow::Result<Vec<Finding>>| {
        let found = result.unwrap_or_else(|error| vec![broken(part, &error)]);
        match args.json {
            true => say(&serde_json::json!({ "checks": found }).to_string()),
            false => found.iter().for_each(|finding| say(&finding.line())),
        }
        failed |= found.iter().any(|finding| finding.passed == Some(false));
    };
    add("kernels", of_kernels(&gpu, &machine));
    add("JPEG engines", of_engines(&machine));
    add("decoders alone", decoders::check(&args, &machine));
    add("pictures", of_pictures(&machine));
    let without = Machine { hardware: false, ..machine.clone() };
    add("pictures without JPEG engines", of_pictures(&without));
    add("renderer", of_renderer(&args, &machine));
    // Last: a version of nvJPEG that crashes over damaged images must not take the other parts with it.
    add("JPEG engines after damage", of_damage(&machine));
    Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

fn of_kernels(gpu: &Gpu, machine: &Machine) -> anyhow::Result<Vec<Finding>> {
    let loaded = Kernels::load(gpu.context(), &machine.kernels)?;
    let parity = kernels::parity(gpu, &loaded, KERNEL_IMAGES)?;
    let speed = kernels::speed(gpu, &loaded, KERNEL_SIZE, KERNEL_BATCH, 20)?;
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

fn of_engines(machine: &Machine) -> anyhow::Result<Vec<Finding>> {
    let Some(seen) = check::engines(machine.device, ENGINE_ROUNDS)? else {
        return Ok(vec![measured("JPEG engines that can be used".to_owned(), 0.0, "")]);
    };
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    Ok(vec![
        measured(
            format!("JPEG engines that can be used, of {} cores", seen.cores_per_engine),
            seen.engines.into(),
            "",
        ),
        // The renderer waits on the host in any case.
        measured(
            format!(
                "JPEG engines: images that overtook work queued before them, of {}",
                seen.rounds
            ),
            seen.overtaken.into(),
            "",
        ),
        judged(
            format!(
                "JPEG engines: images not there when their batch had ended, of {}",
                seen.rounds
            ),
            seen.early.into(),
            "",
            "0",
            seen.early == 0,
        ),
        judged(
            format!(
                "JPEG engines: images that are wrong with two batches at once, of {}",
                2 * seen.images * seen.rounds
            ),
            seen.wrong.into(),
            "",
            "0",
            seen.wrong == 0,
        ),
        measured(
            format!("JPEG engines: memory for batches of {} images", seen.images),
            megabytes(seen.made_bytes),
            "MB",
        ),
        measured(
            "JPEG engines: more memory after the first batches".to_owned(),
            megabytes(seen.grown_bytes),
            "MB",
        ),
    ])
}

fn of_damage(machine: &Machine) -> anyhow::Result<Vec<Finding>> {
    let Some(seen) = check::engines_after_damage(machine.device)? else { return Ok(Vec::new()) };
    let name = "JPEG engines: images spoilt by a cut-off one in the batch before, which was";
    let spoilt = f64::from(seen.spoilt);
    Ok(vec![judged(format!("{name}: {}", seen.said), spoilt, "", "0", seen.spoilt == 0)])
}

fn of_pictures(machine: &Machine) -> anyhow::Result<Vec<Finding>> {
    let recipe = Recipe::preset("smog_multicrop").context("no recipe smog_multicrop")?;
    // One worker, so that the engines get their share of the few.
    let config = StreamConfig { workers: 1, ..StreamConfig::new(recipe, PICTURE_ROWS) };
    let sources = pictures::KINDS.iter().map(pictures::source).collect::<Result<Vec<_>, _>>()?;
    let all = check::likeness(&sources, &config, machine, PICTURE_STEPS)?;
    let kinds = pictures::KINDS.iter().zip(all);
    Ok(kinds.flat_map(|(kind, compared)| of_kind(kind, &compared)).collect())
}

/// What was found of a kind of pictures.
fn of_kind(kind: &pictures::Kind, compared: &Compared) -> Vec<Finding> {
    let Compared { likeness, counts, facts } = compared;
    let by_engines = facts.num_engines > 0 && !kind.progressive;
    let (who, count) = match by_engines {
        true => ("JPEG engines", counts.hardware),
        false => ("hybrid decoders", counts.hybrid),
    };
    let name = format!("{} by {who}", kind.name);
    let mean = likeness.mean();
    let elsewhere = counts.cpu + counts.hardware_refused + counts.hybrid_refused;
    vec![
        judged(
            format!("{name}: mean difference of {} rows", likeness.rows),
            mean,
            "levels",
            "at most 1",
            likeness.other_rows == 0 && mean <= MAX_MEAN_LEVELS,
        ),
        judged(format!("{name}: images"), count as f64, "", "more than 0", count > 0),
        judged(format!("{name}: refused"), elsewhere as f64, "images", "0", elsewhere == 0),
    ]
}

/// The images that are asked about.
fn source(args: &Check) -> anyhow::Result<Arc<dyn Source>> {
    if args.data.as_os_str() == "synthetic" {
        return Ok(Arc::new(SyntheticSource::new(4096, 128, 500, 0)));
    }
    Ok(find(&args.data)?.open(&args.split)?)
}

/// What the renderer makes of them.
fn config(args: &Check) -> anyhow::Result<StreamConfig> {
    let recipe = Recipe::preset("smog_multicrop").context("no recipe smog_multicrop")?;
    Ok(StreamConfig { workers: args.workers, ..StreamConfig::new(recipe, args.batch) })
}

fn of_renderer(args: &Check, machine: &Machine) -> anyhow::Result<Vec<Finding>> {
    let (source, config) = (source(args)?, config(args)?);
    let compared = check::likeness(std::slice::from_ref(&source), &config, machine, args.steps)?;
    let Compared { likeness, counts, .. } = *compared.first().context("nothing was compared")?;
    let rate = check::rate(&source, &config, machine, args.seconds)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use smog_cuda::{CudaFacts, RouteCounts, check::Likeness, nvjpeg::Version};

    #[test]
    fn a_kind_is_judged_by_the_decoder_that_should_have_taken_it() {
        let verdicts = |kind: usize, num_engines, counts| -> Vec<_> {
            let facts = CudaFacts {
                nvjpeg: Version { major: 13, minor: 0, patch: 4 },
                num_engines,
                num_cores_per_engine: 1,
                max_batch_images: 4,
                interpolates: true,
            };
            let compared = Compared { likeness: Likeness::default(), counts, facts };
            let findings = of_kind(&pictures::KINDS[kind], &compared);
            findings.iter().map(|finding| finding.passed).collect()
        };
        let engines = RouteCounts { hardware: 9, ..RouteCounts::default() };
        let hybrid = RouteCounts { hybrid: 9, ..RouteCounts::default() };
        let (plain, progressive) = (0, 5);
        let (good, nobody) = ([Some(true); 3], [Some(true), Some(false), Some(true)]);
        assert_eq!(verdicts(plain, 7, engines), good);
        assert_eq!(verdicts(plain, 7, hybrid), nobody, "the engines decoded nothing");
        assert_eq!(verdicts(plain, 0, hybrid), good);
        assert_eq!(verdicts(progressive, 7, hybrid), good);
        let refused = RouteCounts { hybrid_refused: 1, ..hybrid };
        assert_eq!(verdicts(progressive, 7, refused), [Some(true), Some(true), Some(false)]);
    }
}
