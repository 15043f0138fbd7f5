//! `smog-tools shard`: a folder of images becomes a data set.

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Context as _;
use smog_pipeline::codec::{DecodeLimits, DecoderKind};
use smog_pipeline::shard::{Check, ShardOptions, ShardReport, SplitReport, default_out, shard};

use crate::progress::Progress;
use crate::text;

/// Exit code where the data set was written, with more refused files than allowed.
const FINISHED_WITH_REFUSED: u8 = 3;

/// Arguments of `smog-tools shard`.
#[derive(clap::Args)]
#[command(after_help = "\
Layouts of SRC:
  SRC/train/CLASS/x.jpg, SRC/val/...   splits (train, val, validation, valid, test)
  SRC/CLASS/x.jpg                      class folders: one split, `train`
  SRC/x.jpg                            plain images without labels

The data set appears in OUT/SPLIT as a whole when it is complete. A run that was stopped, however, is
continued by the same command; a finished data set is left as it is.

Examples:
  smog-tools shard imagenet/
  smog-tools shard photos/ --out /data/photos --split train
  smog-tools shard imagenet/ --jobs 16 --allow-refused 0.1%

Exit codes:
  0  the data set is complete
  1  failed; nothing or not everything was written
  2  wrong arguments
  3  the data set is complete and usable, but more files were refused than --allow-refused says;
     OUT/SPLIT/refused.jsonl lists them")]
pub(crate) struct Args {
    /// Folder of images
    src: PathBuf,
    /// Folder for the data set [default: SRC with `-shards` appended]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Splits to write, where SRC has splits; else the name of its one split
    #[arg(long = "split", value_name = "NAME")]
    splits: Vec<String>,
    /// Size of a shard
    #[arg(long, value_name = "SIZE", default_value = "256MB", value_parser = text::parse_bytes)]
    shard_size: u64,
    /// Most image bytes in a row group, the unit that is read at once
    #[arg(long, value_name = "SIZE", default_value = "16MiB", value_parser = text::parse_bytes)]
    row_group_size: u64,
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
    /// Refuse longer files
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = text::parse_bytes)]
    max_file_size: u64,
    /// How many refused files are fine, as a number or a share such as `0.5%`
    #[arg(long, value_name = "N|P%", default_value = "0")]
    allow_refused: Allowed,
    /// Replace a data set that was made of other images or with other options
    #[arg(long)]
    overwrite: bool,
}

/// A limit on refused files.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Allowed {
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
        shard_bytes: args.shard_size.max(args.row_group_size),
        row_group_rows: args.row_group_rows,
        row_group_bytes: args.row_group_size,
        shuffle_seed: (!args.no_shuffle).then_some(args.seed),
        check: args.check,
        decoder: args.decoder,
        limits: DecodeLimits { max_pixels: args.max_pixels },
        max_file_bytes: args.max_file_size,
        jobs: args.jobs,
        overwrite: args.overwrite,
        ..ShardOptions::default()
    };
    let progress = Progress::new();
    let report = shard(&args.src, &out, &options, &progress)
        .with_context(|| format!("sharding {} failed", args.src.display()))?;
    print_report(&report);
    let (refused, files) = (report.num_refused(), report.num_files());
    if args.allow_refused.holds(refused, files) {
        return Ok(ExitCode::SUCCESS);
    }
    tell(&format!(
        "The data set is complete, but {} of {} files were refused (exit code \
         {FINISHED_WITH_REFUSED}; `--allow-refused {refused}` accepts that).",
        text::count(refused),
        text::count(files)
    ));
    Ok(ExitCode::from(FINISHED_WITH_REFUSED))
}

fn print_report(report: &ShardReport) {
    for split in &report.splits {
        tell(&split_line(split));
        if split.num_refused() > 0 {
            let kinds: Vec<String> = split
                .refused
                .iter()
                .map(|(kind, number)| format!("{} {kind}", text::count(*number)))
                .collect();
            tell(&format!(
                "  refused {} files ({}), listed in {}",
                text::count(split.num_refused()),
                kinds.join(", "),
                split.dir.join("refused.jsonl").display()
            ));
        }
        if split.num_other_files > 0 {
            tell(&format!(
                "  left alone {} files that are no images by their name",
                text::count(split.num_other_files)
            ));
        }
    }
    tell(&format!("Next: smog-trainer run --data {}", quoted(&report.out.to_string_lossy())));
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
    if split.already_done {
        return format!("{}: already done: {content}", split.split);
    }
    let rate = split.num_samples as f64 / split.seconds.max(1e-3);
    let resumed = match split.num_resumed_shards {
        0 => format!(" ({rate:.0} images/s)"),
        shards => format!(" ({shards} shards were there already)"),
    };
    format!("{}: {content}; {}{resumed}", split.split, text::seconds(split.seconds))
}

/// A path as it can be pasted into a shell.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+@:,=".contains(c);
    if path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn tell(line: &str) {
    println!("{line}");
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

    #[test]
    fn paths_in_the_next_command_can_be_pasted() {
        assert_eq!(quoted("/a/b-c.d"), "/a/b-c.d");
        assert_eq!(quoted("/my photo's"), r"'/my photo'\''s'");
    }
}
