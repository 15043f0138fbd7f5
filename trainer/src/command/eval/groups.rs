//! `smog-trainer eval groups`

use std::path::PathBuf;

use anyhow::Result;
use smog_terminal::outln;
use smog_trainer::error::TrainError;
use smog_trainer::eval::{EvalStream, GroupPictures, draw_groups};
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

/// Runs the command.
pub(super) fn run(args: &GroupsArgs) -> Result<()> {
    OutFile::Png.check(&args.out).map_err(TrainError::from)?;
    let wanted = args.subject.wanted();
    let (config, model, step) = wanted.model()?;
    let (data, _) = args.subject.data(&config)?;
    let split = args.split.as_ref().unwrap_or(&config.data.split);
    let source = data.open_for(split, "--split NAME").map_err(TrainError::from)?;
    let pictures = GroupPictures {
        branch: wanted.branch,
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
    outln!(
        "{}: {} of {} groups hold one of {} images after {step} steps ({} branch){purity}",
        args.out.display(),
        report.num_used,
        report.num_groups,
        report.num_samples,
        branch_name(wanted.branch),
    );
    let cut = format!("{} {} {}", args.samples, config.eval_size(), config.eval_resize());
    let decisive = [branch_name(wanted.branch), &config.digest(), source.digest(), &cut];
    write(&wanted.results(), &named(&format!("groups-{step:08}"), &decisive), &report)
}
