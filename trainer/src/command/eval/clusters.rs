//! `smog-trainer eval clusters`

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use smog_terminal::outln;
use smog_trainer::error::TrainError;
use smog_trainer::eval::clusters::{Agreement, Cluster, Contingency};
use smog_trainer::eval::{EvalStream, left_out};
use smog_trainer::images::Normalizer;
use smog_trainer::progress::EvalProgress;
use smog_trainer::signals::StopRequest;
use smog_trainer::trained::branch_name;

use super::{Subject, named, write};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    smog-trainer eval clusters runs/photos\n  \
    smog-trainer eval clusters runs/photos --split val --largest 30\n\n\
    Each image goes to the group nearest to its projection. NMI is mutual information over the mean of both \
    entropies, ARI the Rand index adjusted for chance, purity the share of images in a group of their own class (which \
    rises with the number of groups). Figures of one split hold for the images that the groups were made of or not: the \
    output names the split.\n\
    The figures are also written to RUN/eval/ as JSON. Interrupted by Ctrl-C (code 75), the same call goes on.")]
pub(super) struct ClustersArgs {
    #[command(flatten)]
    subject: Subject,
    /// Split whose images are assigned [default: data.split]
    #[arg(long)]
    split: Option<String>,
    /// Groups to list, the fullest first
    #[arg(long, default_value_t = 10)]
    largest: usize,
}

#[derive(Serialize)]
struct Report<'a> {
    protocol: &'a str,
    branch: &'a str,
    step: u64,
    data: &'a Path,
    split: &'a str,
    num_groups: i64,
    /// Images that cannot be decoded.
    num_left_out: u64,
    #[serde(flatten)]
    agreement: &'a Agreement,
    largest: &'a [Cluster],
}

const PROTOCOL: &str = "projections of centre crops, each in its nearest group";

/// Runs the command.
pub(super) fn run(args: &ClustersArgs) -> Result<()> {
    let stop = StopRequest::on_signals().context("cannot handle signals")?;
    let wanted = args.subject.wanted();
    let (config, model, step) = wanted.model()?;
    let branch = branch_name(wanted.branch);
    let (data, path) = args.subject.data(&config)?;
    let split = args.split.as_ref().unwrap_or(&config.data.split);
    let source = data.open_for(split, "--split NAME").map_err(TrainError::from)?;
    ensure!(
        !source.classes().is_empty(),
        "{split} has no labels to compare the groups with; shard a folder with one folder per class"
    );
    let stream = EvalStream::new(&config, model.device()).resumable(
        &wanted.results(),
        &format!("groups {branch} {step} {}", config.digest()),
        &stop,
    );
    let mut progress = EvalProgress::new(source.num_samples());
    let found = stream.features(
        source.clone(),
        &Normalizer::new(model.device())?,
        &|images| model.encode_groups(images, wanted.branch).1.unsqueeze(1),
        &mut |done| progress.show(done),
    )?;
    let groups = Vec::<i64>::try_from(found.features.view(-1))?;
    let table = Contingency::new(&groups, &found.labels);
    let agreement =
        table.agreement().with_context(|| format!("no sample of {split} has a label"))?;
    let largest = table.largest(args.largest, source.classes());
    let num_groups = model.groups().size()[0];
    outln!(
        "clusters after {step} steps: {PROTOCOL}; {branch} branch, {} labelled images of {split} in {}{}",
        agreement.num_samples,
        path.display(),
        left_out(found.num_left_out)
    );
    outln!(
        "  NMI {:.4}   ARI {:.4}   purity {:.4}",
        agreement.nmi,
        agreement.ari,
        agreement.purity
    );
    outln!("  {} of {num_groups} groups are used", agreement.num_used);
    outln!("  {:>6}  {:>8}  {:>7}  commonest class", "group", "images", "share");
    for row in &largest {
        outln!(
            "  {:>6}  {:>8}  {:>5.1} %  {}",
            row.cluster,
            row.num_samples,
            100.0 * row.share,
            row.class
        );
    }
    let report = Report {
        protocol: PROTOCOL,
        branch,
        step,
        data: &path,
        split,
        num_groups,
        num_left_out: found.num_left_out,
        agreement: &agreement,
        largest: &largest,
    };
    let cut = format!("{} {}", config.eval_size(), config.eval_resize());
    let name = named(
        &format!("clusters-{step:08}-{split}"),
        &[branch, &cut, &config.digest(), source.digest()],
    );
    write(&wanted.results(), &name, &report)?;
    stream.forget_parts();
    Ok(())
}
