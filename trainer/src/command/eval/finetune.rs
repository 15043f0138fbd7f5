//! `smog-trainer eval finetune`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Serialize;
use smog_trainer::eval::subset;
use smog_trainer::eval::supervised::{Job, Protocol};
use smog_trainer::export::write_text;
use smog_trainer::signals::StopRequest;

use super::Subject;
use super::supervised::{About, Options, Rates, evaluate};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    smog-trainer eval finetune runs/photos --fraction 1%\n  \
    smog-trainer eval finetune runs/photos --fraction 10% --batch-size 128\n  \
    smog-trainer eval finetune runs/cifar10 --fraction 1% --lr 0.1 --epochs 60\n  \
    smog-trainer eval finetune runs/imagenet --subset 1percent.txt\n\n\
    The samples are the same share of every class, drawn from the seed; their list is written beside the result, and \
    --subset takes such a list, or one of file names as SimCLR's for ImageNet. Settings are those of SwAV's \
    eval_semisup.py, made for 1,000 classes: with few samples of few classes lower --lr and more --epochs learn more. The \
    rate falls at 60 and 80 % of the epochs.\n\
    The figures are also written to RUN/eval/ as JSON. Interrupted by Ctrl-C (code 75), the same call goes on to the \
    same result.")]
pub(super) struct FinetuneArgs {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    options: Options,
    /// Share of the training split whose labels are used, such as 1%, 10% or 100%
    #[arg(long, value_parser = share, default_value = "100%", conflicts_with = "subset")]
    fraction: f64,
    /// List of the samples whose labels are used
    #[arg(long, value_name = "FILE")]
    subset: Option<PathBuf>,
    /// Learning rate of the classifier [default: the protocol's]
    #[arg(long)]
    lr: Option<f64>,
    /// Learning rate of the encoder [default: the protocol's]
    #[arg(long, value_name = "LR")]
    encoder_lr: Option<f64>,
}

/// What the result says of the subset.
#[derive(Serialize)]
struct Facts {
    fraction: f64,
    subset: PathBuf,
}

fn share(text: &str) -> Result<f64, String> {
    let wrong = || format!("expected a share such as 1% or 10%, up to 100%, got {text}");
    let percent = text.trim().strip_suffix('%').ok_or_else(wrong)?;
    let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
    if percent > 0.0 && percent <= 100.0 { Ok(percent / 100.0) } else { Err(wrong()) }
}

/// Runs the command.
pub(super) fn run(args: &FinetuneArgs) -> Result<ExitCode> {
    let stop = StopRequest::on_signals().context("cannot handle signals")?;
    let trained = args.subject.wanted().load()?;
    let (data, path) = args.subject.labelled_data(&trained.config)?;
    let mut splits = args.options.splits(&data, &trained.config)?;
    let subset = match &args.subset {
        Some(list) => subset::read(list, &*splits.train)?,
        None => {
            // The share is drawn from each class, so every sample needs one.
            splits.check_labels()?;
            subset::draw(&*splits.train, args.fraction, args.options.seed)?
        }
    };
    let list = subset::to_text(&*splits.train, &subset);
    let num_chosen = subset.samples.len();
    let fraction = num_chosen as f64 / splits.train.num_samples() as f64;
    splits.train = subset::open(&splits.train, &subset.samples)?;
    splits.name =
        format!("{} ({:.4} % of the labels, {num_chosen})", splits.name, 100.0 * fraction);
    let mut protocol = Protocol::swav_finetune(subset.share);
    let rates = Rates { encoder: args.encoder_lr, head: args.lr };
    args.options.apply(&mut protocol, rates, splits.train.num_samples())?;
    let (branch, step) = (trained.about.branch.clone(), trained.about.step);
    let name = splits.name.clone();
    let job = Job::new(protocol.clone(), trained, splits, "finetune")?;
    std::fs::create_dir_all(job.dir())
        .with_context(|| format!("cannot create {}", job.dir().display()))?;
    let list_path = job.dir().join("subset.txt");
    write_text(&list_path, list.as_bytes())?;
    let about = About {
        kind: "finetune",
        branch,
        step,
        data: &path,
        splits: name,
        facts: Facts { fraction, subset: list_path },
    };
    evaluate(job, &protocol, &args.options, about, &stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_given_in_percent() {
        assert_eq!(share("1%"), Ok(0.01));
        assert_eq!(share(" 0.5 %"), Ok(0.005));
        for wrong in ["0.1", "0%", "101%", "x%", "-1%", "nan%"] {
            assert!(share(wrong).unwrap_err().contains("such as 1%"), "{wrong}");
        }
    }
}
