//! The whole stream, with a trainer that does nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use smog_pipeline::order::OrderSettings;
use smog_pipeline::remote::RemoteMetrics;
use smog_pipeline::runtime::metrics::StreamMetrics;
use smog_pipeline::runtime::{AUGMENT, DECODE, FETCH_THREAD, READ_THREAD, RENDER_THREAD, TRAINER};
use smog_pipeline::source::{Source, mixing_advice};
use smog_pipeline::stream::{BatchStream, Next, Start, StreamConfig};
use smog_terminal::text;

use super::interrupt::Interrupt;
use super::usage::{peak_bytes, reset_peak, thread_cpu_seconds};
use super::{Common, say};
use crate::remote::summary;

/// Arguments of `smog-tools bench pipeline`.
#[derive(clap::Args)]
#[command(after_help = "\
How to read it: `images/s` is what a trainer could take at most; `CPU ms per image` is processor
time, so it stays true on a busy machine. With a trainer that does nothing the workers never
wait; where they do (`idle`), reading is what is slow. `forecast` is what the stream said at its
start that it would take; `peak RSS` is that and the program itself.

--trace writes what each thread does and whom it waits for, for ui.perfetto.dev. Tracing costs a
few microseconds per image; the file ends after a million events.

Examples:
  smog-tools bench pipeline --data imagenet-shards
  smog-tools bench pipeline --data imagenet-shards --preset 2x224 --workers 1,4,16 --seconds 30
  smog-tools bench pipeline --data 'imagenet-wds/train-{0000..0146}.tar'
  smog-tools bench pipeline --data s3://bucket/shards --cache /scratch --cache-bytes 100GB
  smog-tools bench pipeline --data imagenet-shards --workers 2 --seconds 3 --trace trace.json
  smog-tools bench pipeline --data synthetic --decoder zune-jpeg")]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// Time to run before measuring
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    warmup_seconds: f64,
    /// Samples per batch
    #[arg(long, value_name = "N", default_value_t = 64)]
    batch: u32,
    /// Batches in flight
    #[arg(long, value_name = "N", default_value_t = StreamConfig::DEFAULT_NUM_SLOTS)]
    slots: u32,
    /// Shuffle window in row groups
    #[arg(long, value_name = "N", default_value_t = OrderSettings::DEFAULT_WINDOW_ROW_GROUPS)]
    window: u32,
    /// Memory for slots, row groups and buffers
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = text::parse_bytes)]
    memory: u64,
    /// Write a trace of all threads, to be opened in ui.perfetto.dev
    #[arg(long, value_name = "FILE")]
    pub(super) trace: Option<PathBuf>,
}

/// Figures of one run.
#[derive(Debug, Serialize)]
struct Figures {
    workers: u32,
    images_per_second: f64,
    images_per_second_per_worker: f64,
    views_per_second: f64,
    decode_cpu_ms: f64,
    augment_cpu_ms: f64,
    fetch_cpu_ms: f64,
    worker_idle_share: f64,
    data_wait_share: f64,
    ready_occupancy: f64,
    forecast_bytes: u64,
    peak_bytes: u64,
    bad_samples: u64,
    /// Since the data was opened; `None` where it lies on this machine.
    remote: Option<RemoteMetrics>,
}

/// A reading of all counters.
struct Reading {
    at: Instant,
    metrics: StreamMetrics,
    render_cpu: f64,
    fetch_cpu: f64,
}

impl Reading {
    fn now(stream: &BatchStream) -> Self {
        Self {
            at: Instant::now(),
            metrics: stream.metrics(),
            render_cpu: thread_cpu_seconds(RENDER_THREAD),
            fetch_cpu: thread_cpu_seconds(READ_THREAD) + thread_cpu_seconds(FETCH_THREAD),
        }
    }

    fn busy(&self, stage: &str) -> f64 {
        self.metrics.stage(stage).map_or(0.0, |stage| stage.busy_seconds_total)
    }

    fn idle(&self) -> f64 {
        self.metrics.stage(DECODE).map_or(0.0, |stage| stage.wait_input_seconds_total)
    }

    fn images(&self) -> u64 {
        self.metrics.stage(AUGMENT).map_or(0, |stage| stage.samples_total)
    }

    fn occupied(&self) -> f64 {
        self.metrics.queue(TRAINER).map_or(0.0, |queue| queue.occupied_seconds_total)
    }
}

/// Runs the bench for each number of workers.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    args.common.check()?;
    let interrupt = match args.trace {
        Some(_) => Interrupt::watched()?,
        None => Interrupt::default(),
    };
    let source = args.common.source()?;
    let num_images = source.num_samples();
    if !args.common.json {
        let bytes: u64 = source.row_groups().iter().map(|group| group.bytes).sum();
        say(&format!(
            "{} images, {} on average; views {}; decoder {}; batch {}; {} s each",
            text::count(num_images),
            text::bytes(bytes / num_images.max(1)),
            args.common.preset,
            args.common.decoder,
            args.batch,
            args.common.seconds,
        ));
        let order = OrderSettings::Window { row_groups: args.window };
        if let Some(advice) = mixing_advice(&*source, order, args.batch)? {
            say(&format!("note: {advice}"));
        }
    }
    for (index, &workers) in args.common.workers.iter().enumerate() {
        let figures = measure(args, &source, workers, index == 0, &interrupt)?;
        if args.common.json {
            say(&serde_json::to_string(&figures)?);
        } else {
            print_row(&figures, index == 0);
        }
        if interrupt.is_asked_for() {
            break;
        }
    }
    interrupt.finish()
}

fn measure(
    args: &Args,
    source: &Arc<dyn Source>,
    workers: u32,
    first: bool,
    interrupt: &Interrupt,
) -> anyhow::Result<Figures> {
    let recipe = args.common.preset.recipe.clone();
    let num_views = recipe.num_views() as f64;
    let config = StreamConfig {
        render: args.common.render(),
        seed: args.common.seed,
        order: OrderSettings::Window { row_groups: args.window },
        num_slots: args.slots,
        workers,
        memory_budget_bytes: args.memory,
        ..StreamConfig::new(recipe, args.batch)
    };
    reset_peak();
    let mut stream = BatchStream::open(Arc::clone(source), config, Start::Step(0))?;
    if first && !args.common.json {
        say(&format!("memory: {}", stream.memory()));
    }
    let forecast_bytes = stream.memory().total_bytes();
    take_for(&mut stream, args.warmup_seconds, interrupt)?;
    let before = Reading::now(&stream);
    take_for(&mut stream, args.common.seconds, interrupt)?;
    let after = Reading::now(&stream);
    stream.close()?;

    let seconds = (after.at - before.at).as_secs_f64();
    let images = (after.images() - before.images()).max(1) as f64;
    let decode = after.busy(DECODE) - before.busy(DECODE);
    let augment = after.busy(AUGMENT) - before.busy(AUGMENT);
    let render_cpu_ms = (after.render_cpu - before.render_cpu) * 1e3 / images;
    // The system counts by thread and a worker does both, so its time is split as the clock saw it.
    let decode_share = decode / (decode + augment).max(f64::MIN_POSITIVE);
    let data_wait = after.metrics.data_wait_seconds_total - before.metrics.data_wait_seconds_total;
    Ok(Figures {
        workers,
        images_per_second: images / seconds,
        images_per_second_per_worker: images / seconds / f64::from(workers),
        views_per_second: images * num_views / seconds,
        decode_cpu_ms: render_cpu_ms * decode_share,
        augment_cpu_ms: render_cpu_ms * (1.0 - decode_share),
        fetch_cpu_ms: (after.fetch_cpu - before.fetch_cpu) * 1e3 / images,
        worker_idle_share: (after.idle() - before.idle()) / seconds / f64::from(workers),
        data_wait_share: data_wait / seconds,
        ready_occupancy: (after.occupied() - before.occupied()) / seconds,
        forecast_bytes,
        peak_bytes: peak_bytes(),
        remote: after.metrics.remote,
        bad_samples: after.metrics.bad_samples_total() - before.metrics.bad_samples_total(),
    })
}

/// Takes batches for a while.
fn take_for(stream: &mut BatchStream, seconds: f64, interrupt: &Interrupt) -> anyhow::Result<()> {
    let started = Instant::now();
    let time = Duration::from_secs_f64(seconds.max(0.0));
    while started.elapsed() < time && !interrupt.is_asked_for() {
        if let Next::End = stream.next_batch()? {
            break;
        }
    }
    Ok(())
}

fn print_row(figures: &Figures, first: bool) {
    if first {
        say("");
        say(
            "                    per       views  CPU ms per image            idle   wait  ready   fore-     peak",
        );
        say(
            "workers images/s  worker         /s  decode augment  fetch     worker trainer occup.    cast      RSS",
        );
    }
    say(&format!(
        "{:>7} {:>8.1} {:>7.1} {:>10.0}  {:>6.2} {:>7.2} {:>6.3}     {:>5.1}% {:>6.1}% {:>5.1}% {:>8} {:>8}",
        figures.workers,
        figures.images_per_second,
        figures.images_per_second_per_worker,
        figures.views_per_second,
        figures.decode_cpu_ms,
        figures.augment_cpu_ms,
        figures.fetch_cpu_ms,
        figures.worker_idle_share * 100.0,
        figures.data_wait_share * 100.0,
        figures.ready_occupancy * 100.0,
        text::bytes(figures.forecast_bytes),
        text::bytes(figures.peak_bytes),
    ));
    if let Some(remote) = &figures.remote {
        say(&format!("        so far {}", summary(remote)));
    }
    if figures.bad_samples > 0 {
        say(&format!("        {} bad samples were replaced", figures.bad_samples));
    }
}
