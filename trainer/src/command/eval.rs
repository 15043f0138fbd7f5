//! `smog-trainer eval`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::Serialize;
use smog_trainer::data::{DataError, DataSet};
use smog_trainer::error::TrainError;
use smog_trainer::eval::knn::{KnnResult, Metric};
use smog_trainer::eval::{EvalStream, GroupPictures, draw_groups};
use smog_trainer::images::Normalizer;
use smog_trainer::progress::{EvalProgress, ShardingProgress};
use smog_trainer::settings::RunConfig;
use smog_trainer::trained::{self, Trained};

/// Largest side of the pictures whose raw pixels are compared.
const PIXEL_SIDE: u32 = 32;

/// Flags of the command.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Weighted k-NN accuracy of the encoder's features
    Knn(KnnArgs),
    /// A sheet of the images nearest to some of the groups
    Groups(GroupsArgs),
}

/// Where the model comes from.
#[derive(clap::Args)]
struct Source {
    /// Run folder
    run: PathBuf,
    /// Shards, images, Parquet files or WebDataset tars: a folder, file or pattern; or synthetic:COUNT[:SIDE] [default:
    /// the data of the run]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Step of the checkpoint [default: the newest]
    #[arg(long, value_name = "STEP")]
    checkpoint: Option<u64>,
    /// auto, cpu, cuda or cuda:N [default: as the run]
    #[arg(long)]
    device: Option<String>,
}

#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  smog-trainer eval knn runs/demo --encoder pixels,untrained,trained\n\n\
    Without a test split a fixed part of the training split is held out from the bank, which the output states; the \
    encoder has then seen those images, though never their labels.\n\
    The pixels encoder compares normalised pixels of the pictures at 32 x 32 or smaller.\n\
    Each figure is also written to RUN/eval/ as JSON."
)]
struct KnnArgs {
    #[command(flatten)]
    source: Source,
    /// Split whose samples vote [default: eval.train_split]
    #[arg(long, value_name = "SPLIT")]
    train_split: Option<String>,
    /// Split whose samples are classified [default: the first of eval.test_splits that is there]
    #[arg(long, value_name = "SPLIT")]
    test_split: Option<String>,
    /// Neighbours that vote [default: eval.k]
    #[arg(long)]
    k: Option<u32>,
    /// Temperature of the vote [default: eval.temperature]
    #[arg(long)]
    temperature: Option<f64>,
    /// How similar two features are [default: both]
    #[arg(long, value_delimiter = ',')]
    metric: Vec<Metric>,
    /// What makes the features; several with commas
    #[arg(long, value_delimiter = ',', default_value = "trained")]
    encoder: Vec<Encoder>,
}

#[derive(clap::Args)]
struct GroupsArgs {
    #[command(flatten)]
    source: Source,
    /// PNG to write
    #[arg(long, value_name = "FILE", default_value = "groups.png")]
    out: PathBuf,
    /// Split whose images are shown [default: data.split]
    #[arg(long)]
    split: Option<String>,
    /// Groups to show, the fullest first
    #[arg(long, default_value_t = 12)]
    groups: usize,
    /// Images of each group
    #[arg(long, default_value_t = 10)]
    images: usize,
    /// Samples to look at, from the start of the split
    #[arg(long, default_value_t = 20_000)]
    samples: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Encoder {
    /// The encoder of a checkpoint
    Trained,
    /// The same encoder with the weights that the run began with
    Untrained,
    /// No encoder: normalised pixels
    Pixels,
}

impl Encoder {
    fn name(self) -> &'static str {
        match self {
            Self::Trained => "trained",
            Self::Untrained => "untrained",
            Self::Pixels => "pixels",
        }
    }
}

/// What is written to the run folder.
#[derive(Serialize)]
struct Report<'a> {
    encoder: Encoder,
    /// Steps that the encoder was trained for.
    step: u64,
    data: &'a Path,
    #[serde(flatten)]
    result: &'a KnnResult,
    /// Time for features and neighbours together.
    eval_seconds: f64,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    match args.what {
        What::Knn(args) => knn(&args)?,
        What::Groups(args) => groups(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Source {
    fn load(&self, encoder: Encoder) -> Result<Trained, TrainError> {
        match encoder {
            Encoder::Trained => trained::load(&self.run, self.checkpoint, self.device.as_deref()),
            Encoder::Untrained | Encoder::Pixels => {
                trained::untrained(&self.run, self.device.as_deref())
            }
        }
    }

    /// The data, and what it is called.
    fn data(&self, config: &RunConfig) -> Result<(DataSet, PathBuf), TrainError> {
        let path = self
            .data
            .clone()
            .or_else(|| config.eval.path.clone())
            .or_else(|| config.data.path.clone());
        let path = path.ok_or(DataError::NotGiven)?;
        Ok((DataSet::find(&path, &config.data.remote(), &ShardingProgress::new())?, path))
    }
}

#[expect(clippy::print_stdout, reason = "the output of the command")]
fn knn(args: &KnnArgs) -> Result<()> {
    let metrics = if args.metric.is_empty() { Metric::ALL.to_vec() } else { args.metric.clone() };
    for &encoder in &args.encoder {
        let Trained { config, model, step } = args.source.load(encoder)?;
        let (data, path) = args.source.data(&config)?;
        let bank = args.train_split.as_ref().unwrap_or(&config.eval.train_split);
        let test_splits = args
            .test_split
            .as_ref()
            .map_or_else(|| config.eval.test_splits.clone(), |split| vec![split.clone()]);
        if let Some(split) = &args.test_split {
            // Asked for by name, so it must be there; only the settings' list is a choice.
            data.open(split).map_err(TrainError::from)?;
        }
        let knn = data.knn(bank, &test_splits).map_err(TrainError::from)?;
        let start = Instant::now();
        let mut progress = EvalProgress::new(knn.num_samples());
        let features = match encoder {
            Encoder::Pixels => {
                let normalizer = Normalizer::new(tch::Device::Cpu)?;
                knn.features(
                    &pixel_stream(&config),
                    &normalizer,
                    &|images| images.flatten(1, -1),
                    &mut |done| progress.show(done),
                )?
            }
            Encoder::Trained | Encoder::Untrained => {
                let normalizer = Normalizer::new(model.device())?;
                knn.features(
                    &EvalStream::new(&config),
                    &normalizer,
                    &|images| model.encode(images),
                    &mut |done| progress.show(done),
                )?
            }
        };
        let (k, temperature) =
            (args.k.unwrap_or(config.eval.k), args.temperature.unwrap_or(config.eval.temperature));
        for &metric in &metrics {
            let result = features.evaluate(metric, k, temperature)?;
            let after = if encoder == Encoder::Trained {
                format!("after {step} steps")
            } else {
                String::new()
            };
            println!("{:9} {after:18} {result}", encoder.name());
            let report = Report {
                encoder,
                step,
                data: &path,
                result: &result,
                eval_seconds: start.elapsed().as_secs_f64(),
            };
            write(
                &args.source.run,
                &format!("knn-{step:08}-{}-{metric}", encoder.name()),
                &report,
            )?;
        }
    }
    Ok(())
}

/// The same part of each picture as the encoder sees, at 32 x 32 or its own size where that is smaller.
fn pixel_stream(config: &RunConfig) -> EvalStream {
    let (size, resize) = (config.eval_size(), config.eval_resize());
    let mut config = config.clone();
    config.eval.size = size.min(PIXEL_SIDE);
    config.eval.resize = (resize * config.eval.size).div_ceil(size.max(1));
    EvalStream::new(&config)
}

#[expect(clippy::print_stdout, reason = "the output of the command")]
fn groups(args: &GroupsArgs) -> Result<()> {
    let Trained { config, model, step } = args.source.load(Encoder::Trained)?;
    let (data, _) = args.source.data(&config)?;
    let split = args.split.as_ref().unwrap_or(&config.data.split);
    let source = data.open(split).map_err(TrainError::from)?;
    let pictures = GroupPictures {
        num_groups: args.groups,
        num_images: args.images,
        num_samples: args.samples,
    };
    let normalizer = Normalizer::new(model.device())?;
    let mut progress = EvalProgress::new(source.num_samples().min(args.samples));
    let report = draw_groups(
        &model,
        &source,
        &EvalStream::new(&config),
        &normalizer,
        pictures,
        &args.out,
        &mut |done| progress.show(done),
    )?;
    let purity = report
        .purity
        .map_or_else(String::new, |purity| format!(", purity {:.1} %", 100.0 * purity));
    println!(
        "{}: {} of {} groups hold one of {} images after {step} steps{purity}",
        args.out.display(),
        report.num_used,
        report.num_groups,
        report.num_samples,
    );
    write(&args.source.run, &format!("groups-{step:08}"), &report)
}

/// Writes a result into the run folder.
fn write(run: &Path, name: &str, report: &impl Serialize) -> Result<()> {
    let dir = run.join("eval");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let path = dir.join(format!("{name}.json"));
    let text = serde_json::to_vec_pretty(report)?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
