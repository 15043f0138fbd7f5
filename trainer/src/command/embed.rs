//! `smog-trainer embed`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use smog_terminal::outln;
use smog_trainer::embed::{FeatureFile, write_features};
use smog_trainer::error::TrainError;
use smog_trainer::eval::EvalStream;
use smog_trainer::images::Normalizer;
use smog_trainer::outfile::OutFile;
use smog_trainer::progress::EvalProgress;
use smog_trainer::signals::StopRequest;

use super::eval::Subject;

/// Flags of the command.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    smog-trainer embed runs/photos --out features.parquet\n  \
    smog-trainer embed encoder.safetensors --data photos-shards/ --split val --out val.parquet\n\n\
    One row for each image: `sample` (its number in the order of the split, from 0), `label` (null where it has none) \
    and `features` (a list of 32-bit floats of fixed length, of the centre crop). The file's metadata say which encoder \
    it was. Images that cannot be decoded are left out.\n\n\
    Interrupted by Ctrl-C (code 75), the same call goes on: features made so far are kept beside the file until it is \
    written.")]
pub(crate) struct Args {
    #[command(flatten)]
    subject: Subject,
    /// Split to encode [default: data.split]
    #[arg(long)]
    split: Option<String>,
    /// File to write
    #[arg(long, value_name = "FILE", default_value = "features.parquet")]
    out: PathBuf,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    OutFile::Parquet.check(&args.out).map_err(TrainError::from)?;
    let trained = args.subject.wanted().load()?;
    let (data, path) = args.subject.data(&trained.config)?;
    let split = args.split.as_ref().unwrap_or(&trained.config.data.split);
    let source = data.open_for(split, "--split NAME").map_err(TrainError::from)?;
    let num_samples = source.num_samples();
    let mut progress = EvalProgress::new(num_samples);
    let normalizer = Normalizer::new(trained.backbone.device())?;
    let file = FeatureFile { path: &args.out, about: &trained.about, split };
    let stop = StopRequest::on_signals().context("cannot handle signals")?;
    let folder = args.out.parent().unwrap_or(Path::new(""));
    let device = trained.backbone.device();
    let stream =
        EvalStream::new(&trained.config, device).resumable(folder, &trained.identity, &stop);
    let num_rows =
        write_features(&file, source, &stream, &normalizer, &trained.backbone, &mut |done| {
            progress.show(done);
        })
        .with_context(|| format!("{} is not written", args.out.display()))?;
    stream.forget_parts();
    outln!(
        "{}: {num_rows} of {num_samples} images of {split} in {}, {} features each, after {} steps",
        args.out.display(),
        path.display(),
        trained.about.encoder.feature_dim(),
        trained.about.step,
    );
    Ok(ExitCode::SUCCESS)
}
