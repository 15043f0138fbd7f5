//! `smog-tools merge`: the parts that several machines wrote become a data set.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use smog_pipeline::shard::{MergeOptions, merge};
use smog_terminal::{Progress, line as tell};

use crate::next_step::next_step;
use crate::shard::{Allowed, exit_code, print_splits};

/// Arguments of `smog-tools merge`.
#[derive(clap::Args)]
#[command(after_help = "\
Parts that wrote to one folder on a shared disk need nothing copied. Parts on other disks are
named with --from; their shards are linked or copied to OUT, with their digests checked, and
stay where they are.

Nothing appears in OUT before all parts are known to be complete and to go together: made of the
same images, by the same version, with the same options. A merge that was stopped goes on when
it is run again. The data set has the same bytes as one that a single `smog-tools shard` writes.

Examples:
  smog-tools merge OUT
  smog-tools merge OUT --from /mnt/node1/OUT --from /mnt/node2/OUT

Exit codes:
  0  the data set is complete
  1  failed, or parts are missing, unfinished or do not go together; nothing appeared
  2  wrong arguments
  3  the data set is complete and usable, but more files were refused than --allow-refused says;
     OUT/SPLIT/refused.jsonl lists those of all parts")]
pub(crate) struct Args {
    /// Folder for the data set, as given to the parts with `--out`
    out: PathBuf,
    /// Further folders that parts wrote to
    #[arg(long, value_name = "DIR")]
    from: Vec<PathBuf>,
    /// How many refused files are fine, as a number or a share such as `0.5%`
    #[arg(long, value_name = "N|P%", default_value = "0")]
    allow_refused: Allowed,
    /// Replace a data set that was made of other images or with other options
    #[arg(long)]
    overwrite: bool,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let options = MergeOptions { overwrite: args.overwrite };
    let report = merge(&args.out, &args.from, options, &Progress::new())
        .with_context(|| format!("merging {} failed", args.out.display()))?;
    print_splits(&report);
    tell(&next_step(&report));
    Ok(exit_code(&report, args.allow_refused))
}
