//! `smog-tools synth`: draws a labelled set of pictures from a seed.
//!
//! The pictures stand in for a photograph collection where there is none (`make demo`). A class is a
//! texture on a shape; colour, place, size, turn, light and background are drawn anew for every picture
//! and tell nothing, so that neighbours in raw pixels are seldom of one class. A picture is a pure
//! function of (seed, split, class, number): neither the number of threads nor the size of the set
//! changes it.

mod angle;
mod class;
mod paint;
mod scene;
mod shape;
mod texture;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use smog_terminal::line as say;

use class::CLASSES;
use scene::{Scene, SizeRange};

use crate::usage::Usage;

/// Version of the drawing. Raise it when a picture changes, so that old sets are not taken for new ones.
const DRAWING: u32 = 1;

/// The file that says how a finished set was made.
const RECORD: &str = "synth.json";

/// Draw a labelled set of synthetic pictures.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  smog-tools synth demo/images
  smog-tools synth demo/images --images 2000 --test-images 400 --classes 8 --size 64..96 --seed 7

Writes OUT/train/CLASS/NNNNN.jpg and OUT/val/CLASS/NNNNN.jpg. A second call with the same
settings does nothing; with other settings it refuses to touch the folder.")]
pub(crate) struct Args {
    /// Folder to write; must not exist yet or hold the same set.
    out: PathBuf,
    /// Number of training images.
    #[arg(long, default_value_t = 6000)]
    images: u32,
    /// Number of images in the `val` split.
    #[arg(long, default_value_t = 1200)]
    test_images: u32,
    /// Number of classes, 2 to 16.
    #[arg(long, default_value_t = 12)]
    classes: u32,
    /// Smallest and largest side in pixels, both drawn evenly.
    #[arg(long, default_value = "80..160")]
    size: SizeRange,
    /// Seed of everything that is drawn.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Number of threads; 0 takes one per core.
    #[arg(long, default_value_t = 0)]
    jobs: usize,
}

impl FromStr for SizeRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (low, high) = text.split_once("..").unwrap_or((text, text));
        let side = |text: &str| {
            text.parse::<u32>().map_err(|_| format!("`{text}` is no number of pixels"))
        };
        let (low, high) = (side(low)?, side(high)?);
        if low < 32 || high > 2048 || low > high {
            return Err(format!(
                "sides must lie in 32..2048, the smaller first; got {low}..{high}"
            ));
        }
        Ok(Self { low, high })
    }
}

/// The settings a finished set was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    drawing: u32,
    images: u32,
    test_images: u32,
    classes: u32,
    size: [u32; 2],
    seed: u64,
}

impl Record {
    /// What differs from the settings that are asked for, in words.
    fn difference(&self, asked: &Self) -> String {
        let size = |record: &Self| format!("{}..{}", record.size[0], record.size[1]);
        let pairs = [
            ("version of the drawing", self.drawing.to_string(), asked.drawing.to_string()),
            ("--images", self.images.to_string(), asked.images.to_string()),
            ("--test-images", self.test_images.to_string(), asked.test_images.to_string()),
            ("--classes", self.classes.to_string(), asked.classes.to_string()),
            ("--size", size(self), size(asked)),
            ("--seed", self.seed.to_string(), asked.seed.to_string()),
        ];
        let changed = pairs.iter().filter(|(_, found, asked)| found != asked);
        let words: Vec<String> =
            changed.map(|(name, found, asked)| format!("{name} {found}, now {asked}")).collect();
        words.join("; ")
    }
}

/// Runs the command.
///
/// # Errors
/// If the settings make no sense, the folder holds something else, or writing fails.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let most = CLASSES.len() as u32;
    ensure!(
        (2..=most).contains(&args.classes),
        Usage(format!("--classes must lie in 2..={most}, got {}", args.classes))
    );
    ensure!(
        args.images >= args.classes,
        Usage(format!("--images {} is less than one per class", args.images))
    );
    let record = Record {
        drawing: DRAWING,
        images: args.images,
        test_images: args.test_images,
        classes: args.classes,
        size: [args.size.low, args.size.high],
        seed: args.seed,
    };
    if already_there(&args.out, &record)? {
        say(&format!("{} is there already, nothing to do", args.out.display()));
        return Ok(ExitCode::SUCCESS);
    }

    let started = Instant::now();
    let partial = partial_path(&args.out)?;
    if partial.exists() {
        fs::remove_dir_all(&partial)
            .with_context(|| format!("cannot clear {}", partial.display()))?;
    }
    let jobs = plan_files(&record);
    for class in &CLASSES[..record.classes as usize] {
        for split in SPLITS {
            let folder = partial.join(split).join(class.name);
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
    }
    let bytes = write_all(&partial, &jobs, &record, args.jobs)?;
    fs::write(partial.join(RECORD), serde_json::to_vec_pretty(&record)?)?;
    fs::rename(&partial, &args.out).with_context(|| {
        format!("cannot rename {} to {}", partial.display(), args.out.display())
    })?;
    say(&format!(
        "{}: {} training and {} validation images of {} classes, {:.1} MB, {:.1} s",
        args.out.display(),
        record.images,
        record.test_images,
        record.classes,
        bytes as f64 / 1e6,
        started.elapsed().as_secs_f64()
    ));
    Ok(ExitCode::SUCCESS)
}

const SPLITS: [&str; 2] = ["train", "val"];

/// One picture to draw.
#[derive(Clone, Copy, Debug)]
struct Picture {
    split: u32,
    class: u32,
    number: u32,
}

/// All pictures of the set; classes take turns, so that their counts differ by one at most.
fn plan_files(record: &Record) -> Vec<Picture> {
    let split = |split: u32, count: u32| {
        let classes = record.classes;
        (0..count).map(move |i| Picture { split, class: i % classes, number: i / classes })
    };
    split(0, record.images).chain(split(1, record.test_images)).collect()
}

fn already_there(out: &Path, record: &Record) -> anyhow::Result<bool> {
    if !out.exists() {
        return Ok(false);
    }
    let path = out.join(RECORD);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("{} exists and is not a synthetic set; name another folder", out.display())
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let found: Record = serde_json::from_slice(&text)
        .with_context(|| format!("{} does not say how the set was made", path.display()))?;
    ensure!(
        found == *record,
        Usage(format!(
            "{} was made with other settings ({}); remove it or name another folder",
            out.display(),
            found.difference(record)
        ))
    );
    Ok(true)
}

/// The folder that the set grows in: beside the final one, so that the rename at the end is atomic.
fn partial_path(out: &Path) -> anyhow::Result<PathBuf> {
    let name = out.file_name().with_context(|| format!("{} is no folder name", out.display()))?;
    let mut partial = std::ffi::OsString::from(".");
    partial.push(name);
    partial.push(".partial");
    Ok(out.with_file_name(partial))
}

/// Draws and writes all pictures on `num_threads` threads; the sum of the file sizes. The first error
/// stops all threads.
fn write_all(
    root: &Path,
    pictures: &[Picture],
    record: &Record,
    num_threads: usize,
) -> anyhow::Result<u64> {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let num_threads = if num_threads == 0 { cores() } else { num_threads };
    let progress = ProgressBar::new(pictures.len() as u64).with_style(
        ProgressStyle::with_template("drawing {bar:30} {pos}/{len} images, {per_sec}, {eta} left")?,
    );
    let (next, bytes, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let work = || -> anyhow::Result<()> {
        while !stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed) as usize;
            let Some(picture) = pictures.get(index) else { break };
            let written = write_one(root, *picture, record).inspect_err(|_| {
                stop.store(true, Ordering::Relaxed);
            })?;
            bytes.fetch_add(written, Ordering::Relaxed);
            progress.inc(1);
        }
        Ok(())
    };
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let threads: Vec<_> = (0..num_threads).map(|_| scope.spawn(work)).collect();
        let mut outcome = Ok(());
        for thread in threads {
            let ended = thread.join().unwrap_or_else(|_| bail!("a drawing thread panicked"));
            outcome = outcome.and(ended);
        }
        outcome
    })?;
    progress.finish_and_clear();
    Ok(bytes.into_inner())
}

fn write_one(root: &Path, picture: Picture, record: &Record) -> anyhow::Result<u64> {
    let class = CLASSES[picture.class as usize];
    let sizes = SizeRange { low: record.size[0], high: record.size[1] };
    let scene =
        Scene::draw(record.seed, picture.split, picture.class, picture.number, class, sizes);
    let jpeg = paint::encode(&scene).with_context(|| format!("cannot encode {picture:?}"))?;
    let name = format!("{:05}.jpg", picture.number);
    let path = root.join(SPLITS[picture.split as usize]).join(class.name).join(name);
    fs::write(&path, &jpeg).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(jpeg.len() as u64)
}

#[cfg(test)]
mod tests;
