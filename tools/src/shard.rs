//! `smog-tools shard`: a folder of images, tars or Parquet files become a data set.

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Context as _;
use smog_pipeline::codec::{DamagePolicy, DecodeLimits, DecoderKind};
use smog_pipeline::shard::{
    Check, Part, ShardOptions, ShardReport, SplitReport, default_out, shard,
};
use smog_terminal::exit_code::FINISHED_WITH_REFUSED;
use smog_terminal::{Progress, line as tell, quoted, text};

use crate::next_step::next_step;

/// Arguments of `smog-tools shard`.
#[derive(clap::Args)]
#[command(after_help = "\
Layouts of SRC:
  SRC/train/CLASS/x.jpg, SRC/val/...   splits (train, val, validation, valid, test; also as Train, training, train2017)
  SRC/CLASS/x.jpg                      class folders: one split, `train`
  SRC/x.jpg                            plain images without labels
  a tar of such a folder               the same (read where it lies, nothing is unpacked)
  a tar of tars                        as ILSVRC2012_img_train.tar: CLASS.tar holds a class
  WebDataset tars                      x.jpg with x.cls; a folder of them or a pattern
  Parquet files                        of Hugging Face `datasets`; a file, a folder or a pattern
Several files are told apart into splits by their names (train-00000.tar, ILSVRC2012_img_val.tar).

Labels of images that lie in no class folders come from --labels FILE: lines `NAME LABEL` in any
order, or one label a line in the order of the images' names. For ImageNet's validation set that
is ILSVRC2012_validation_ground_truth.txt, whose numbers --classes FILE turns into class names
(line 1 names class 1; the first word of a line counts).

The data set appears in OUT/SPLIT as a whole when it is complete. A run that was stopped,
however, is continued by the same command; a finished data set is left as it is.

Examples:
  smog-tools shard imagenet/
  smog-tools shard photos/ --out /data/photos --split train
  smog-tools shard photos/ --out s3://bucket/photos
  smog-tools shard imagenet/ --jobs 16 --allow-refused 0.1%
  smog-tools shard crawl/ --damaged fill
  smog-tools shard ILSVRC2012_img_train.tar --out imagenet-shards
  smog-tools shard ILSVRC2012_img_val.tar --out imagenet-shards \\
    --labels ILSVRC2012_validation_ground_truth.txt --classes map_clsloc.txt
  smog-tools shard 'wds/train-{0000..0146}.tar' --out wds-shards

Several machines share the work with --part I/N, by any scheduler; `smog-tools merge` then makes
the data set, the same bytes as one machine alone. Each part lists all of SRC, which has to be the
same everywhere (names, sizes, times of change). A part that was stopped goes on when it is run
again.
  sbatch --array=1-8 --wrap 'smog-tools shard imagenet/ --out OUT --part $SLURM_ARRAY_TASK_ID/8'
  parallel smog-tools shard imagenet/ --out OUT --part {}/8 ::: $(seq 8)
  smog-tools merge OUT

Exit codes:
  0  the data set is complete
  1  failed; nothing or not everything was written
  2  wrong arguments
  3  the data set is complete and usable, but more files were refused than --allow-refused says;
     OUT/SPLIT/refused.jsonl lists them")]
pub(crate) struct Args {
    /// Folder of images, tar, Parquet file, folder of such files, or a pattern as 'x-{000..146}.tar'
    src: PathBuf,
    /// Folder or URL for the data set [default: SRC without .tar or .parquet, with `-shards` appended]
    #[arg(long, value_name = "DIR|URL")]
    out: Option<PathBuf>,
    /// With --out URL: folder for the shards under way, three at most; they lie in a hidden folder in it, and nothing else is
    /// touched [default: among the temporary files]
    #[arg(long, value_name = "DIR")]
    stage: Option<PathBuf>,
    /// Splits to write, where SRC has splits; else the name of its one split
    #[arg(long = "split", value_name = "NAME")]
    splits: Vec<String>,
    /// Labels of images that have none where they lie
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Names of classes that are numbers, one a line
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// Size of a shard
    #[arg(long, value_name = "SIZE", default_value = "256MB", value_parser = text::parse_bytes)]
    shard_size: u64,
    /// Most image bytes in a row group, the unit that is read at once [default: 16MiB, or a shard's where that is less]
    #[arg(long, value_name = "SIZE", value_parser = text::parse_bytes)]
    row_group_size: Option<u64>,
    /// Most images in a row group
    #[arg(long, value_name = "N", default_value_t = 512)]
    row_group_rows: u32,
    /// Seed of the shuffle
    #[arg(long, default_value_t = 0, conflicts_with = "no_shuffle")]
    seed: u64,
    /// Keep images in the order of their names
    #[arg(long)]
    no_shuffle: bool,
    /// Worker threads; 0 for one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    jobs: u32,
    /// `decode` decodes every image once, `header` only looks at its first bytes
    #[arg(long, default_value_t = Check::Decode)]
    check: Check,
    /// Decoder for the check
    #[arg(long, value_name = "NAME", default_value_t = DecoderKind::default())]
    decoder: DecoderKind,
    /// Refuse images of more pixels
    #[arg(long, value_name = "N", default_value_t = DecodeLimits::default().max_pixels)]
    max_pixels: u64,
    /// What to do with JPEGs that are cut off or damaged: `refuse`, or `fill` in what is missing as PIL does
    /// with LOAD_TRUNCATED_IMAGES (needs `--check decode`)
    #[arg(long, value_name = "POLICY", default_value_t = DamagePolicy::default())]
    damaged: DamagePolicy,
    /// Refuse longer files
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = text::parse_bytes)]
    max_file_size: u64,
    /// How many refused files are fine, as a number or a share such as `0.5%`
    #[arg(long, value_name = "N|P%", default_value = "0")]
    allow_refused: Allowed,
    /// Replace a data set that was made of other images or with other options
    #[arg(long)]
    overwrite: bool,
    /// Write only part I of N of the shards, I from 1 to N; `smog-tools merge` joins the parts
    #[arg(long, value_name = "I/N", requires = "out")]
    part: Option<Part>,
}

/// A limit on refused files.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Allowed {
    Files(u64),
    Percent(f64),
}

impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected a number of files or a share such as `0.5%`".to_owned();
        match text.strip_suffix('%') {
            None => text.parse().map(Self::Files).map_err(|_| wrong()),
            Some(share) => match share.trim().parse::<f64>() {
                Ok(share) if (0.0..=100.0).contains(&share) => Ok(Self::Percent(share)),
                _ => Err(wrong()),
            },
        }
    }
}

impl Allowed {
    fn holds(self, refused: u64, files: u64) -> bool {
        match self {
            Self::Files(limit) => refused <= limit,
            Self::Percent(limit) => refused as f64 * 100.0 <= limit * files as f64,
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let out = match &args.out {
        Some(out) => out.clone(),
        None => default_out(&args.src)?,
    };
    let options = ShardOptions {
        splits: args.splits,
        labels: args.labels,
        classes: args.classes,
        shard_bytes: args.shard_size,
        row_group_rows: args.row_group_rows,
        row_group_bytes: args
            .row_group_size
            .unwrap_or(ShardOptions::default().row_group_bytes.min(args.shard_size)),
        shuffle_seed: (!args.no_shuffle).then_some(args.seed),
        check: args.check,
        decoder: args.decoder,
        limits: DecodeLimits { max_pixels: args.max_pixels, damaged: args.damaged },
        max_file_bytes: args.max_file_size,
        jobs: args.jobs,
        overwrite: args.overwrite,
        part: args.part,
        stage: args.stage,
        ..ShardOptions::default()
    };
    let progress = Progress::new();
    let report = shard(&args.src, &out, &options, &progress)
        .with_context(|| format!("sharding {} failed", args.src.display()))?;
    print_splits(&report);
    tell(&match args.part {
        Some(_) => {
            format!("Next, when all parts are done: smog-tools merge {}", quoted(&report.out))
        }
        None => next_step(&report),
    });
    Ok(exit_code(&report, args.allow_refused))
}

/// The exit code for a report, with a word on refused files where they are too many.
pub(crate) fn exit_code(report: &ShardReport, allowed: Allowed) -> ExitCode {
    let (refused, files) = (report.num_refused(), report.num_files());
    if allowed.holds(refused, files) {
        return ExitCode::SUCCESS;
    }
    let what = match report.splits.first().and_then(|split| split.part) {
        Some(part) => format!("Part {part}"),
        None => "The data set".to_owned(),
    };
    tell(&format!(
        "{what} is complete, but {} of {} files were refused (exit code {FINISHED_WITH_REFUSED}; \
         `--allow-refused {refused}` accepts that).",
        text::count(refused),
        text::count(files)
    ));
    ExitCode::from(FINISHED_WITH_REFUSED)
}

/// What came of each split.
pub(crate) fn print_splits(report: &ShardReport) {
    for split in &report.splits {
        tell(&split_line(split));
        if split.num_refused() > 0 {
            let kinds: Vec<String> = split
                .refused
                .iter()
                .map(|(kind, number)| format!("{} {kind}", text::count(*number)))
                .collect();
            let place = match split.part {
                Some(_) => "by the merge".to_owned(),
                None => format!("in {}", split.dir.join("refused.jsonl").display()),
            };
            tell(&format!(
                "  refused {} files ({}), listed {place}",
                text::count(split.num_refused()),
                kinds.join(", ")
            ));
        }
        if split.num_other_files > 0 {
            tell(&format!(
                "  left alone {} files that are no images by their name",
                text::count(split.num_other_files)
            ));
        }
    }
}

fn split_line(split: &SplitReport) -> String {
    let classes = match split.num_classes {
        0 => "no labels".to_owned(),
        1 => "1 class".to_owned(),
        classes => format!("{} classes", text::count(classes as u64)),
    };
    let content = format!(
        "{} images, {classes}, {} in {} shards and {} row groups, in {}",
        text::count(split.num_samples),
        text::bytes(split.shard_bytes),
        split.num_shards,
        split.num_row_groups,
        split.dir.display()
    );
    let name = match split.part {
        Some(part) => format!("{}, part {part}", split.split),
        None => split.split.clone(),
    };
    if split.already_done {
        return format!("{name}: already done: {content}");
    }
    let rate = split.num_samples as f64 / split.seconds.max(1e-3);
    let resumed = match split.num_resumed_shards {
        0 => format!(" ({rate:.0} images/s)"),
        shards => format!(" ({shards} shards were there already)"),
    };
    format!("{name}: {content}; {}{resumed}", text::seconds(split.seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_on_refused_files_is_a_number_or_a_share() {
        assert_eq!("12".parse(), Ok(Allowed::Files(12)));
        assert_eq!("0.5%".parse(), Ok(Allowed::Percent(0.5)));
        for wrong in ["", "-1", "1.5", "101%", "x%", "NaN%"] {
            assert!(wrong.parse::<Allowed>().is_err(), "{wrong}");
        }
        assert!(Allowed::Files(2).holds(2, 2) && !Allowed::Files(2).holds(3, 100));
        assert!(Allowed::Percent(10.0).holds(1, 10) && !Allowed::Percent(9.9).holds(1, 10));
    }
}
