//! Opening and entering data sets of any size, from a manifest that is made up: what grows with the number
//! of samples, and by how much.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use smog_pipeline::augment::Recipe;
use smog_pipeline::manifest::{
    self, Digest, MANIFEST_FILE, Manifest, Shard, ShardRowGroup, SizeFigures, Span,
};
use smog_pipeline::order::{OrderSettings, order};
use smog_pipeline::sample::RowGroupId;
use smog_pipeline::shard::ShardOptions;
use smog_pipeline::source::{ParquetSource, RowGroup, RowGroupInfo, Source, SourceError};
use smog_pipeline::stream::{BatchStream, Start, StreamConfig};
use smog_terminal::text;

use super::say;
use crate::usage::Usage;

/// Places in an epoch at which streams are opened, as shares of it; the slowest counts.
const PLACES: [f64; 5] = [0.0, 0.11, 0.5, 0.73, 0.9999];
/// Rows that are walked to time the order.
const WALKED_ROWS: usize = 2_000_000;
/// Longest that a stream may take to ask for its first row group.
const PATIENCE: Duration = Duration::from_secs(120);

/// Arguments of `smog-tools bench manifest`.
#[derive(clap::Args)]
#[command(after_help = "\
Makes up a data set of so many images: a manifest with the shards and row groups that
`smog-tools shard` would cut, and empty files as long as its shards in the temporary folder,
which take no room there. `open` is from the folder to a source; `seek` from a source to the
first row group that is asked for, at the slowest of five places in the epoch; `order` is the
memory that a stream forecasts for it.

Examples:
  smog-tools bench manifest
  smog-tools bench manifest --samples 100000000 --image-bytes 30000")]
pub(super) struct Args {
    /// Numbers of images to try
    #[arg(long, value_name = "N,...", default_value = "1281167,100000000", value_delimiter = ',')]
    samples: Vec<u32>,
    /// Encoded bytes of an image
    #[arg(long, value_name = "N", default_value_t = 110_000)]
    image_bytes: u32,
    /// Shuffle window in row groups
    #[arg(long, value_name = "N", default_value_t = OrderSettings::DEFAULT_WINDOW_ROW_GROUPS)]
    window: u32,
    /// Print one JSON object per line instead of a table
    #[arg(long)]
    json: bool,
}

/// Figures for one size.
#[derive(Debug, Serialize)]
struct Figures {
    samples: u32,
    shards: usize,
    row_groups: usize,
    manifest_bytes: u64,
    read_seconds: f64,
    open_seconds: f64,
    seek_seconds: f64,
    rows_per_second: f64,
    order_bytes: u64,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(
        args.samples.iter().all(|&samples| samples >= 1000) && args.image_bytes > 0,
        Usage(
            "--samples, --image-bytes: expected at least 1000 samples of at least one byte"
                .to_owned()
        )
    );
    if !args.json {
        say(&format!(
            "{:>13} {:>7} {:>10} {:>10} {:>8} {:>8} {:>8} {:>12} {:>9}",
            "images",
            "shards",
            "row groups",
            "manifest",
            "read s",
            "open s",
            "seek s",
            "rows/s",
            "order"
        ));
    }
    for &samples in &args.samples {
        let figures = measure(samples, args)?;
        say(&if args.json { serde_json::to_string(&figures)? } else { line(&figures) });
    }
    Ok(())
}

fn line(figures: &Figures) -> String {
    format!(
        "{:>13} {:>7} {:>10} {:>10} {:>8.3} {:>8.3} {:>8.3} {:>12} {:>9}",
        text::count(u64::from(figures.samples)),
        figures.shards,
        figures.row_groups,
        text::bytes(figures.manifest_bytes),
        figures.read_seconds,
        figures.open_seconds,
        figures.seek_seconds,
        text::count(figures.rows_per_second as u64),
        text::bytes(figures.order_bytes),
    )
}

fn measure(samples: u32, args: &Args) -> anyhow::Result<Figures> {
    let dir = tempfile::tempdir().context("cannot make a temporary folder")?;
    make_up(dir.path(), samples, args.image_bytes)?;
    let manifest_bytes = fs::metadata(dir.path().join(MANIFEST_FILE))?.len();
    let start = Instant::now();
    let manifest = Manifest::read(dir.path())?;
    let read_seconds = start.elapsed().as_secs_f64();
    let num_shards = manifest.shards.len();
    drop(manifest);
    let start = Instant::now();
    let source = ParquetSource::open(dir.path())?;
    let open_seconds = start.elapsed().as_secs_f64();

    let settings = OrderSettings::Window { row_groups: args.window };
    let order = order(settings, source.row_groups(), 0);
    let start = Instant::now();
    let walked = order.rows(1, samples / 2).take(WALKED_ROWS).map(std::hint::black_box).count();
    let rows_per_second = walked as f64 / start.elapsed().as_secs_f64();
    let row_groups = source.row_groups().len();

    let source = Arc::new(source);
    let mut seek_seconds = 0.0f64;
    let mut order_bytes = 0;
    for place in PLACES {
        let (seconds, forecast) = seek(Arc::clone(&source), settings, place)?;
        seek_seconds = seek_seconds.max(seconds);
        order_bytes = forecast;
    }
    Ok(Figures {
        samples,
        shards: num_shards,
        row_groups,
        manifest_bytes,
        read_seconds,
        open_seconds,
        seek_seconds,
        rows_per_second,
        order_bytes,
    })
}

/// Opens a stream somewhere in an epoch; gives the time until it asks for its first row group, and the
/// memory that it says the order takes.
fn seek(
    source: Arc<ParquetSource>,
    settings: OrderSettings,
    place: f64,
) -> anyhow::Result<(f64, u64)> {
    let (asked, first) = channel();
    let mut config = StreamConfig::new(Recipe::center(256, 224), 64);
    config.order = settings;
    config.workers = 1;
    config.memory_budget_bytes = 64 << 30;
    let steps = source.num_samples() / 64;
    let step = steps * 3 + (steps as f64 * place) as u64;
    let start = Instant::now();
    let stream = BatchStream::open(Arc::new(Unread { source, asked }), config, Start::Step(step))?;
    let at = first.recv_timeout(PATIENCE).context("the stream asked for no row group")?;
    Ok(((at - start).as_secs_f64(), stream.memory().order_bytes))
}

/// A source that tells when its first row group is asked for and has none.
struct Unread {
    source: Arc<ParquetSource>,
    asked: Sender<Instant>,
}

impl Source for Unread {
    fn row_groups(&self) -> &[RowGroupInfo] {
        self.source.row_groups()
    }

    fn digest(&self) -> &str {
        self.source.digest()
    }

    fn classes(&self) -> &[String] {
        self.source.classes()
    }

    fn max_pixels(&self) -> u64 {
        self.source.max_pixels()
    }

    fn read(&self, group: RowGroupId) -> Result<RowGroup, SourceError> {
        // Only the first one is listened for.
        let _ = self.asked.send(Instant::now());
        Err(SourceError::Damaged {
            shard: "made up".into(),
            row_group: group.0,
            problem: "there are no rows in it".to_owned(),
        })
    }
}

/// Writes the manifest and files without content in place of the shards.
fn make_up(dir: &Path, samples: u32, image_bytes: u32) -> anyhow::Result<()> {
    let cut = ShardOptions::default();
    let rows = (cut.row_group_bytes / u64::from(image_bytes)).clamp(1, cut.row_group_rows.into());
    let per_shard = (cut.shard_bytes / (rows * u64::from(image_bytes))).max(1);
    let mut groups = (0..u64::from(samples)).step_by(rows as usize).map(|first| {
        let rows = rows.min(u64::from(samples) - first) as u32;
        ShardRowGroup { rows, bytes: u64::from(rows) * u64::from(image_bytes), span: None }
    });
    let mut shards = Vec::new();
    loop {
        let mut row_groups: Vec<ShardRowGroup> = groups.by_ref().take(per_shard as usize).collect();
        if row_groups.is_empty() {
            break;
        }
        let index = shards.len();
        let mut offset = 0;
        let mut span = |bytes| {
            let blake3 = Digest::of(&[index as u8]);
            let span = Span { offset, bytes, blake3 };
            offset += bytes;
            Some(span)
        };
        row_groups.iter_mut().for_each(|group| group.span = span(group.bytes));
        let shard = Shard {
            footer: span(0),
            file: format!("train-{index:05}.parquet"),
            bytes: row_groups.iter().map(|group| group.bytes).sum(),
            blake3: format!("{index:064x}"),
            row_groups,
        };
        File::create(dir.join(&shard.file))?.set_len(shard.bytes)?;
        shards.push(shard);
    }
    let mut manifest = Manifest {
        format: manifest::FORMAT.to_owned(),
        version: manifest::VERSION,
        created_by: "smog-tools bench manifest".to_owned(),
        split: "train".to_owned(),
        classes: (0..1000).map(|class| format!("n{class:08}")).collect(),
        num_samples: samples.into(),
        image_bytes: u64::from(samples) * u64::from(image_bytes),
        shuffle_seed: Some(0),
        check: "header".to_owned(),
        sizes: SizeFigures { max_pixels: 1 << 20, ..SizeFigures::default() },
        num_refused: 0,
        shards,
        digest: String::new(),
    };
    manifest.digest = manifest.content_digest();
    manifest.write(dir)?;
    Ok(())
}
