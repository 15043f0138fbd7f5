//! `smog-trainer eval linear`

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Serialize;
use smog_terminal::outln;
use smog_trainer::eval::linear::{Quick, RATES, quick};
use smog_trainer::eval::supervised::{Job, Protocol, Score};
use smog_trainer::eval::{EvalStream, left_out};
use smog_trainer::images::Normalizer;
use smog_trainer::progress::EvalProgress;
use smog_trainer::signals::StopRequest;

use super::supervised::{About, Options, Rates, evaluate, table, wrong};
use super::{Subject, named, write};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    smog-trainer eval linear runs/photos\n  \
    smog-trainer eval linear runs/photos --protocol swav\n  \
    smog-trainer eval linear encoder.safetensors --data photos-shards/ --protocol swav --batch-size 128\n\n\
    quick encodes the centre crop of each image once, then trains classifiers with several learning rates and \
    chooses one on a held-out tenth of the training split. The others are \
    those that papers quote, 90 or 100 epochs of random crops and flips through the frozen encoder: swav for a ResNet, \
    moby for a Swin Transformer or ViT, lightly to compare with its tables. Without a test split a fixed tenth of the training split is held out, \
    which the output states.\n\
    The figures are also written to RUN/eval/ as JSON. Interrupted by Ctrl-C (code 75), the same call goes on to the \
    same result.")]
pub(super) struct LinearArgs {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    options: Options,
    /// How the classifier is trained
    #[arg(long, value_enum, default_value = "quick")]
    protocol: Choice,
    /// Learning rate of the classifier, not of quick [default: the protocol's]
    #[arg(long)]
    lr: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Choice {
    /// Cached features, learning rate chosen; minutes
    Quick,
    /// SwAV's eval_linear.py, for ResNets
    Swav,
    /// lightly's linear_eval.py, after SimCLR
    Lightly,
    /// MoBY's moby_linear.py, for Transformers
    Moby,
}

#[derive(Serialize)]
struct QuickReport<'a> {
    kind: &'a str,
    protocol: &'a str,
    protocol_in_words: &'a str,
    branch: &'a str,
    step: u64,
    data: &'a Path,
    splits: &'a str,
    lr_per_256: f64,
    validation_top1: f64,
    epochs: u32,
    batch_size: u32,
    seed: u64,
    #[serde(flatten)]
    score: Score,
}

/// Runs the command.
pub(super) fn run(args: &LinearArgs) -> Result<ExitCode> {
    let stop = StopRequest::on_signals().context("cannot handle signals")?;
    if args.protocol == Choice::Quick && args.lr.is_some() {
        let text = "--lr is for another --protocol than quick, which chooses the rate itself";
        return Err(wrong(text.to_owned()));
    }
    let mut protocol = match args.protocol {
        Choice::Quick => return run_quick(args, &stop),
        Choice::Swav => Protocol::swav_linear(),
        Choice::Lightly => Protocol::lightly_linear(),
        Choice::Moby => Protocol::moby_linear(),
    };
    let trained = args.subject.wanted().load()?;
    let (data, path) = args.subject.labelled_data(&trained.config)?;
    let splits = args.options.splits(&data, &trained.config)?;
    let rates = Rates { head: args.lr, ..Rates::default() };
    args.options.apply(&mut protocol, rates, splits.train.num_samples())?;
    let about = About {
        kind: "linear",
        branch: trained.about.branch.clone(),
        step: trained.about.step,
        data: &path,
        splits: splits.name.clone(),
        facts: (),
    };
    let job = Job::new(protocol.clone(), trained, splits, "linear")?;
    evaluate(job, &protocol, &args.options, about, &stop)
}

fn run_quick(args: &LinearArgs, stop: &StopRequest) -> Result<ExitCode> {
    args.options.check()?;
    if args.options.stop_after.is_some() {
        let text = "--stop-after is for another --protocol than quick, which keeps no checkpoint";
        return Err(wrong(text.to_owned()));
    }
    let trained = args.subject.wanted().load()?;
    let (data, path) = args.subject.labelled_data(&trained.config)?;
    let splits = args.options.splits(&data, &trained.config)?;
    splits.check_labels()?;
    let device = trained.backbone.device();
    let stream = EvalStream::new(&trained.config, device).resumable(
        &trained.results,
        &trained.identity,
        stop,
    );
    let normalizer = Normalizer::new(device)?;
    let num_train = splits.train.num_samples();
    let mut progress = EvalProgress::new(num_train + splits.test.num_samples());
    let mut encode = |source, before: u64| {
        let encode = |images: &tch::Tensor| trained.backbone.encode(images);
        stream.features(source, &normalizer, &encode, &mut |done| progress.show(before + done))
    };
    let train = encode(splits.train.clone(), 0)?;
    let test = encode(splits.test.clone(), num_train)?;
    let tested = format!("{}{}", splits.name, left_out(train.num_left_out + test.num_left_out));
    let settings = Quick {
        epochs: args.options.epochs.unwrap_or(100),
        batch_size: args.options.batch_size.unwrap_or(256),
        seed: args.options.seed,
    };
    let result = quick(train, test, splits.num_classes(), settings, device, stop)?;
    let step = trained.about.step;
    let words = format!(
        "quick (ours): standardised features of centre crops, SGD with momentum 0.9, half a cosine to 0, {} epochs of \
         batches of {}; lr per batch of 256 chosen from {RATES:?} on a held-out tenth of the training split ({:.2} % \
         there)",
        settings.epochs,
        settings.batch_size,
        100.0 * result.validation_top1
    );
    outln!("linear after {step} steps of training: {words}");
    let chance = 1.0 / splits.num_classes() as f64;
    table(&tested, &result.score, chance, settings.epochs, &result.lr_per_256.to_string());
    let report = QuickReport {
        kind: "linear",
        protocol: "quick",
        protocol_in_words: &words,
        branch: &trained.about.branch,
        step,
        data: &path,
        splits: &tested,
        lr_per_256: result.lr_per_256,
        validation_top1: result.validation_top1,
        epochs: settings.epochs,
        batch_size: settings.batch_size,
        seed: settings.seed,
        score: result.score,
    };
    let name = named(
        &format!("linear-{step:08}-quick"),
        &[
            &trained.identity,
            splits.train.digest(),
            splits.test.digest(),
            &format!("{settings:?} {} {}", trained.about.size, trained.about.resize),
        ],
    );
    write(&trained.results, &name, &report)?;
    stream.forget_parts();
    Ok(ExitCode::SUCCESS)
}
