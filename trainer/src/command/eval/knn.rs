//! `smog-trainer eval knn`

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::Serialize;
use smog_terminal::{note, outln};
use smog_trainer::eval::knn::{KnnResult, Metric};
use smog_trainer::eval::{EvalStream, Interrupted};
use smog_trainer::images::Normalizer;
use smog_trainer::progress::EvalProgress;
use smog_trainer::settings::RunConfig;
use smog_trainer::signals::StopRequest;
use tch::Device;

use super::{Subject, labelled, named, write};

/// Largest side of the pictures whose raw pixels are compared.
const PIXEL_SIDE: u32 = 32;

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    smog-trainer eval knn runs/demo --encoder pixels,untrained,trained\n  \
    smog-trainer eval knn runs/imagenet --k 10,20,100,200 --metric cosine\n\n\
    The output names the protocol: dino (k of 10, 20, 100 or 200, T = 0.07), lightly (k = 200, T = 0.1), or ours.\n\
    Both splits need a label of each sample; of eval.test_splits those without classes are passed over, which is said. \
    Without a test split a fixed part of the training split is held out from the bank, which the output states; the \
    encoder has then seen those images, though never their labels.\n\
    The pixels encoder compares normalised pixels of the pictures at 32 x 32 or smaller.\n\
    Each figure is also written to RUN/eval/ as JSON. Interrupted by Ctrl-C (code 75), the same call goes on.")]
pub(super) struct KnnArgs {
    #[command(flatten)]
    subject: Subject,
    /// Split whose samples vote [default: eval.train_split]
    #[arg(long, value_name = "SPLIT")]
    train_split: Option<String>,
    /// Split whose samples are classified [default: the first of eval.test_splits that is there and has
    /// classes]
    #[arg(long, value_name = "SPLIT")]
    test_split: Option<String>,
    /// Neighbours that vote; several with commas [default: eval.k]
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    k: Vec<u32>,
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
    branch: &'a str,
    /// Steps that the encoder was trained for.
    step: u64,
    data: &'a Path,
    #[serde(flatten)]
    result: &'a KnnResult,
    /// Time for features and neighbours together.
    eval_seconds: f64,
}

/// Runs the command.
pub(super) fn run(args: &KnnArgs) -> Result<()> {
    let metrics = if args.metric.is_empty() { Metric::ALL.to_vec() } else { args.metric.clone() };
    let stop = StopRequest::on_signals().context("cannot handle signals")?;
    let wanted = args.subject.wanted();
    // Features of all encoders are kept until the last is done, so that an interrupted call encodes nothing twice.
    let mut streams = Vec::new();
    for (number, &encoder) in args.encoder.iter().enumerate() {
        let trained = match encoder {
            Encoder::Trained => wanted.load()?,
            Encoder::Untrained | Encoder::Pixels => wanted.untrained()?,
        };
        let (config, backbone, step) = (&trained.config, &trained.backbone, trained.about.step);
        let (data, path) = args.subject.labelled_data(config)?;
        let knn = labelled(&data, config, args.train_split.as_deref(), args.test_split.as_deref())?;
        if number == 0 {
            knn.check()?;
            knn.remark().iter().for_each(|remark| note(remark));
        }
        let device = backbone.device();
        let start = Instant::now();
        let mut progress = EvalProgress::new(knn.num_samples());
        let stream = match encoder {
            Encoder::Pixels => {
                pixel_stream(config, device).resumable(&trained.results, "pixels", &stop)
            }
            Encoder::Trained | Encoder::Untrained => EvalStream::new(config, device).resumable(
                &trained.results,
                &trained.identity,
                &stop,
            ),
        };
        let normalizer = Normalizer::new(device)?;
        let show = &mut |done| progress.show(done);
        let features = match encoder {
            Encoder::Pixels => {
                knn.features(&stream, &normalizer, &|images| images.flatten(1, -1), show)?
            }
            Encoder::Trained | Encoder::Untrained => {
                knn.features(&stream, &normalizer, &|images| backbone.encode(images), show)?
            }
        };
        let temperature = args.temperature.unwrap_or(config.eval.temperature);
        let neighbours = if args.k.is_empty() { vec![config.eval.k] } else { args.k.clone() };
        for &metric in &metrics {
            if stop.is_requested() {
                return Err(Interrupted::default().into());
            }
            let results = features.evaluate(metric, &neighbours, temperature)?;
            for (k, result) in neighbours.iter().zip(&results) {
                let after = if encoder == Encoder::Trained {
                    format!("after {step} steps")
                } else {
                    String::new()
                };
                outln!("{:9} {after:18} {result}", encoder.name());
                let report = Report {
                    encoder,
                    branch: &trained.about.branch,
                    step,
                    data: &path,
                    result,
                    eval_seconds: start.elapsed().as_secs_f64(),
                };
                let name = named(
                    &format!("knn-{step:08}-{}-{metric}", encoder.name()),
                    &[
                        &trained.identity,
                        knn.bank.digest(),
                        knn.queries.as_ref().map_or("", |queries| queries.digest()),
                        &format!(
                            "{k} {temperature} {} {}",
                            config.eval_size(),
                            config.eval_resize()
                        ),
                    ],
                );
                write(&trained.results, &name, &report)?;
            }
        }
        streams.push(stream);
    }
    streams.iter().for_each(EvalStream::forget_parts);
    Ok(())
}

/// The same part of each picture as the encoder sees, at 32 x 32 or its own size where that is smaller.
fn pixel_stream(config: &RunConfig, device: Device) -> EvalStream {
    let (size, resize) = (config.eval_size(), config.eval_resize());
    let mut config = config.clone();
    config.eval.size = size.min(PIXEL_SIDE);
    config.eval.resize = (resize * config.eval.size).div_ceil(size.max(1));
    EvalStream::new(&config, device)
}
