//! `smog-trainer eval groups`

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;
use smog_pipeline::source::sorted_share;
use smog_terminal::outln;
use smog_trainer::error::TrainError;
use smog_trainer::eval::{EvalStream, GroupPictures, GroupPicturesReport, draw_groups, left_out};
use smog_trainer::images::Normalizer;
use smog_trainer::outfile::OutFile;
use smog_trainer::progress::EvalProgress;
use smog_trainer::trained::branch_name;

use super::{Subject, named, write};

#[derive(clap::Args)]
pub(super) struct GroupsArgs {
    #[command(flatten)]
    subject: Subject,
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

#[derive(Serialize)]
struct Report<'a> {
    data: &'a Path,
    split: &'a str,
    #[serde(flatten)]
    report: &'a GroupPicturesReport,
}

/// Runs the command.
pub(super) fn run(args: &GroupsArgs) -> Result<()> {
    OutFile::Png.check(&args.out).map_err(TrainError::from)?;
    let wanted = args.subject.wanted();
    let (config, model, step) = wanted.model()?;
    let (data, path) = args.subject.data(&config)?;
    let split = args.split.as_ref().unwrap_or(&config.data.split);
    let source = data.open_for(split, "--split NAME").map_err(TrainError::from)?;
    let pictures = GroupPictures {
        branch: wanted.branch,
        num_groups: args.groups,
        num_images: args.images,
        num_samples: args.samples,
    };
    if args.samples < source.num_samples()
        && let Ok(Some(share)) = sorted_share(&*source)
    {
        tracing::warn!(
            "the data lies sorted by class ({:.0}% of neighbours share one), so its first {} images are of few classes, and \
             purity says little; raise --samples (the split has {}), or shard the data, which shuffles it",
            100.0 * share,
            args.samples,
            source.num_samples()
        );
    }
    let normalizer = Normalizer::new(model.device())?;
    let mut progress = EvalProgress::new(source.num_samples().min(args.samples));
    let report = draw_groups(
        &model,
        &source,
        &EvalStream::new(&config, model.device()),
        &normalizer,
        pictures,
        &args.out,
        &mut |done| progress.show(done),
    )?;
    let purity = report
        .purity
        .map_or_else(String::new, |purity| format!(", purity {:.1} %", 100.0 * purity));
    outln!(
        "{}: {} of {} groups hold one of {} images of {split} in {} after {step} steps ({} branch){purity}{}",
        args.out.display(),
        report.num_used,
        report.num_groups,
        report.num_samples,
        path.display(),
        branch_name(wanted.branch),
        left_out(report.num_left_out),
    );
    let cut = format!("{} {} {}", args.samples, config.eval_size(), config.eval_resize());
    let decisive = [branch_name(wanted.branch), &config.digest(), source.digest(), &cut];
    let report = Report { data: &path, split, report: &report };
    write(&wanted.results(), &named(&format!("groups-{step:08}"), &decisive), &report)
}
