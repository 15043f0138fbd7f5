//! One stage alone, at several numbers of threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;
use smog_pipeline::augment::SamplePlan;
use smog_pipeline::codec::{DecodeRequest, Pixels, decoder};
use smog_pipeline::draw::{Domain, Draw};
use smog_pipeline::render::sample::{RenderTimings, RowViews, SampleRenderer};
use smog_pipeline::sample::{Ordinal, RowGroupId, SampleId, SampleKey};
use smog_pipeline::source::{RowGroup, Source};
use smog_terminal::text;

use super::{Common, say};

/// Arguments of `smog-tools bench stage`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  smog-tools bench stage decode --data imagenet-shards --workers 1,2,4
  smog-tools bench stage decode --data imagenet-shards --decoder zune-jpeg
  smog-tools bench stage augment --data imagenet-shards --preset 2x224+4x96
  smog-tools bench stage sample --data imagenet-shards --preset smog
  smog-tools bench stage fetch --data imagenet-shards")]
pub(super) struct Args {
    /// Which stage
    stage: Stage,
    #[command(flatten)]
    common: Common,
    /// Images to keep in memory and to go round in
    #[arg(long, value_name = "N", default_value_t = 1000)]
    images: u32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Stage {
    /// Encoded bytes to pixels
    Decode,
    /// Pixels to views
    Augment,
    /// Encoded bytes to views, as a worker does it: decodes what the views show and makes them
    Sample,
    /// Shards to row groups
    Fetch,
}

/// What the threads did. Times are by the clock, summed over threads.
#[derive(Default)]
struct Totals {
    images: AtomicU64,
    bytes: AtomicU64,
    pixels: AtomicU64,
    stage_nanos: AtomicU64,
    refused: AtomicU64,
}

/// Figures of one run.
#[derive(Debug, Serialize)]
struct Figures {
    stage: String,
    workers: u32,
    images_per_second: f64,
    megabytes_per_second: f64,
    megapixels_per_second: f64,
    ms_per_image: f64,
    refused: u64,
}

/// Runs the bench for each number of threads.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    args.common.check()?;
    let source = args.common.source()?;
    let groups = match args.stage {
        Stage::Fetch => Vec::new(),
        Stage::Decode | Stage::Augment | Stage::Sample => load(&*source, args.images)?,
    };
    for (index, &workers) in args.common.workers.iter().enumerate() {
        let figures = measure(args, &source, &groups, workers)?;
        if args.common.json {
            say(&serde_json::to_string(&figures)?);
        } else {
            print_row(args, &figures, index == 0);
        }
    }
    Ok(())
}

/// Row groups until they hold `images` images.
fn load(source: &dyn Source, images: u32) -> anyhow::Result<Vec<RowGroup>> {
    let (mut groups, mut rows) = (Vec::new(), 0);
    for id in 0..source.row_groups().len() as u32 {
        if rows >= images {
            break;
        }
        let group = source.read(RowGroupId(id))?;
        rows += group.rows();
        groups.push(group);
    }
    anyhow::ensure!(rows > 0, "the data set is empty");
    Ok(groups)
}

fn measure(
    args: &Args,
    source: &Arc<dyn Source>,
    groups: &[RowGroup],
    workers: u32,
) -> anyhow::Result<Figures> {
    let totals = Totals::default();
    let stop = AtomicBool::new(false);
    let started = Instant::now();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|worker| {
                let (totals, stop) = (&totals, &stop);
                scope.spawn(move || -> anyhow::Result<()> {
                    match args.stage {
                        Stage::Decode => decode(args, groups, worker, totals, stop),
                        Stage::Augment | Stage::Sample => {
                            render(args, groups, worker, totals, stop)
                        }
                        Stage::Fetch => return fetch(args, &**source, worker, totals, stop),
                    }
                    Ok(())
                })
            })
            .collect();
        thread::sleep(Duration::from_secs_f64(args.common.seconds));
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| anyhow::bail!("a thread panicked"))
        })
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
    let images = load(&totals.images);
    let stage_seconds = load(&totals.stage_nanos) * 1e-9;
    // A thread does nothing but its stage, except that pixels to augment have to be decoded first.
    let per_second = images / (stage_seconds / f64::from(workers)).max(f64::MIN_POSITIVE);
    let rate = per_second / images.max(1.0);
    anyhow::ensure!(images > 0.0, "no image was finished in {seconds:.1} s");
    Ok(Figures {
        stage: format!("{:?}", args.stage).to_lowercase(),
        workers,
        images_per_second: per_second,
        megabytes_per_second: load(&totals.bytes) * rate * 1e-6,
        megapixels_per_second: load(&totals.pixels) * rate * 1e-6,
        ms_per_image: stage_seconds * 1e3 / images,
        refused: totals.refused.load(Ordering::Relaxed),
    })
}

impl Totals {
    fn add(&self, images: u64, bytes: u64, pixels: u64, nanos: u64) {
        self.images.fetch_add(images, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.pixels.fetch_add(pixels, Ordering::Relaxed);
        self.stage_nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

/// Rows in turn, each thread from another start.
fn rows(groups: &[RowGroup], worker: u32) -> impl Iterator<Item = (&RowGroup, u32)> {
    let all = groups.iter().flat_map(|group| (0..group.rows()).map(move |row| (group, row)));
    all.cycle().skip(worker as usize * 37)
}

fn decode(args: &Args, groups: &[RowGroup], worker: u32, totals: &Totals, stop: &AtomicBool) {
    let settings = args.common.render();
    let mut decoder = decoder(settings.decoder, settings.limits);
    let mut pixels = Pixels::default();
    for (group, row) in rows(groups, worker) {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let encoded = group.encoded(row);
        let started = Instant::now();
        match decoder.decode(
            encoded,
            &group.metas[row as usize],
            &DecodeRequest::WHOLE,
            &mut pixels,
        ) {
            Ok(()) => {
                let area = u64::from(pixels.width) * u64::from(pixels.height);
                totals.add(1, encoded.len() as u64, area, started.elapsed().as_nanos() as u64);
            }
            Err(_) => {
                totals.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Views in plain memory.
struct Buffers(Vec<Vec<u8>>);

impl RowViews for Buffers {
    fn view(&mut self, index: usize) -> &mut [u8] {
        &mut self.0[index]
    }
}

/// Renders whole samples, and counts the time of the stage that was asked for.
fn render(args: &Args, groups: &[RowGroup], worker: u32, totals: &Totals, stop: &AtomicBool) {
    let settings = args.common.render();
    let recipe = &args.common.preset.recipe;
    let side = |size: &u32| 3 * (*size as usize) * (*size as usize);
    let mut views = Buffers(recipe.view_sizes().iter().map(|size| vec![0; side(size)]).collect());
    let mut renderer = SampleRenderer::new(&settings);
    let mut plan = SamplePlan::default();
    for (turn, (group, row)) in rows(groups, worker).enumerate() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let meta = &group.metas[row as usize];
        let key = SampleKey {
            epoch: turn as u32,
            ordinal: Ordinal(turn as u64),
            sample: SampleId(group.first_sample.0 + row),
            attempt: 0,
        };
        recipe.draw(args.common.seed, &key, &settings.displayed(meta), &mut plan);
        let mut timings = RenderTimings::default();
        match renderer.render(group.encoded(row), meta, &plan, &mut views, &mut timings) {
            Ok(()) => {
                let (bytes, nanos) = match args.stage {
                    Stage::Sample => {
                        (group.encoded(row).len(), timings.decode_nanos + timings.augment_nanos)
                    }
                    _ => (0, timings.augment_nanos),
                };
                totals.add(1, bytes as u64, recipe.bytes_per_sample() / 3, nanos);
            }
            Err(_) => {
                totals.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn fetch(
    args: &Args,
    source: &dyn Source,
    worker: u32,
    totals: &Totals,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let groups = source.row_groups();
    anyhow::ensure!(!groups.is_empty(), "the data set is empty");
    let mut draw = Draw::new(args.common.seed, Domain::Selection, [worker, 0, 0, 0, 0]);
    while !stop.load(Ordering::Relaxed) {
        let id = draw.below(groups.len() as u32);
        let started = Instant::now();
        let group = source.read(RowGroupId(id))?;
        let nanos = started.elapsed().as_nanos() as u64;
        totals.add(u64::from(group.rows()), groups[id as usize].bytes, 0, nanos);
    }
    Ok(())
}

fn print_row(args: &Args, figures: &Figures, first: bool) {
    if first {
        let what = match args.stage {
            Stage::Decode => format!("decode with {}", args.common.decoder),
            Stage::Augment => format!("augment to {}", args.common.preset),
            Stage::Sample => {
                format!("decode with {} and augment to {}", args.common.decoder, args.common.preset)
            }
            Stage::Fetch => {
                "fetch, row groups at random (from the page cache where they fit)".to_owned()
            }
        };
        say(&what);
        say("workers images/s  per worker      MB/s      MP/s  ms per image");
    }
    let optional = |value: f64| if value > 0.0 { format!("{value:.1}") } else { "-".to_owned() };
    say(&format!(
        "{:>7} {:>8.1} {:>11.1} {:>9} {:>9} {:>13.3}",
        figures.workers,
        figures.images_per_second,
        figures.images_per_second / f64::from(figures.workers),
        optional(figures.megabytes_per_second),
        optional(figures.megapixels_per_second),
        figures.ms_per_image,
    ));
    if figures.refused > 0 {
        say(&format!("        {} images were refused", text::count(figures.refused)));
    }
}
