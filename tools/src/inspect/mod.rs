//! `smog-tools inspect`: what is in a data set, without reading its images; and what training sees of some.

mod direct;
mod figures;
mod sheet;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use smog_pipeline::manifest::{Manifest, ShardRowGroup};
use smog_pipeline::order::{OrderSettings, order, shuffle_quality};
use smog_pipeline::source::{Found, Source, find_with};
use smog_terminal::{Progress, line as tell, text};

use crate::remote::{RemoteArgs, SplitPlace};
use crate::views::Views;
use figures::Figures;

/// Batch size for which the mixing of the window order is measured.
const QUALITY_BATCH: u32 = 256;
/// Classes that get a line of their own.
const NAMED_CLASSES: usize = 20;
/// Longest bar of a histogram.
const BAR: usize = 40;

/// Arguments of `smog-tools inspect`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  smog-tools inspect imagenet-shards
  smog-tools inspect s3://bucket/imagenet-shards
  smog-tools inspect imagenet-shards/train --sample 8 --out views.png
  smog-tools inspect cifar-shards/train --sample 12 --preset cifar --out views.png
  smog-tools inspect 'wds/train-{0000..0146}.tar'
  smog-tools inspect train-00000-of-00294.parquet

The contact sheet has one row per sample: the image, then every view that training would see of
it in the given epoch. The same seed gives the same views as a run. For those of a preset of
smog-trainer, of a TOML file or of a run:
  smog-trainer presets runs/photos --views > views.json
  smog-tools inspect photos-shards --sample 8 --preset views.json --out views.png")]
pub(crate) struct Args {
    /// Data set or one split (folder or URL), Parquet files or WebDataset tars
    #[arg(value_name = "DATA")]
    dir: PathBuf,
    /// Draw the augmented views of so many samples, 256 at most
    #[arg(long, value_name = "N", requires = "out", value_parser = clap::value_parser!(u32).range(1..=sheet::MAX_SAMPLES))]
    sample: Option<u32>,
    /// PNG file for the contact sheet
    #[arg(long, value_name = "FILE.png", requires = "sample", value_parser = sheet::png_path)]
    out: Option<PathBuf>,
    /// Views: a recipe by name (smog, smog_multicrop, byol, lightly_smog, cifar, eval), counts and sides
    /// (2x224+4x96), or a file of `smog-trainer presets NAME --views`
    #[arg(long, value_name = "VIEWS", default_value = "smog_multicrop")]
    preset: Views,
    /// Seed of the views and of the choice of samples
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Epoch whose views are drawn
    #[arg(long, default_value_t = 0)]
    epoch: u32,
    /// Print every class
    #[arg(long)]
    all_classes: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match find_with(&args.dir, &args.remote.options())? {
        Found::Shards(_) | Found::Remote(_) | Found::Folder(_) => {}
        found => return direct::run(&found, &args),
    }
    let places = SplitPlace::all(&args.dir, &args.remote)?;
    for place in &places {
        inspect(place, &args)?;
    }
    if let (Some(samples), Some(out)) = (args.sample, &args.out) {
        // Of several splits, training uses the one called `train`.
        let place = places.iter().find(|place| place.name() == "train").unwrap_or(&places[0]);
        draw_sheet(&place.open()?, samples, out, &args)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the contact sheet.
fn draw_sheet(source: &dyn Source, samples: u32, out: &Path, args: &Args) -> anyhow::Result<()> {
    let choice = sheet::Choice { samples, seed: args.seed, epoch: args.epoch };
    let drawn = sheet::write(source, &args.preset.recipe, choice, out)?;
    tell(&format!("Wrote the views of {drawn} samples to {}", out.display()));
    Ok(())
}

fn inspect(place: &SplitPlace, args: &Args) -> anyhow::Result<()> {
    let source = place.open()?;
    let manifest = source.manifest();
    let progress = Progress::new();
    let figures = Figures::gather(&source, &progress)?;
    tell(&format!("{} ({place})", manifest.split));
    content(manifest);
    images(manifest, &figures);
    histogram("short side in pixels", &figures.short_sides());
    classes(&manifest.classes, &figures, args.all_classes);
    row(
        "stored order",
        &format!(
            "{:.1}% of neighbours ascend by name (shuffled 50%, sorted 100%)",
            figures.ascending_share() * 100.0
        ),
    );
    mixing(&source, &figures, args.seed);
    tell("");
    Ok(())
}

fn row(name: &str, value: &str) {
    tell(&format!("  {name:<14} {value}"));
}

/// What the manifest says.
fn content(manifest: &Manifest) {
    let groups: Vec<ShardRowGroup> = manifest.row_groups().map(|(_, group)| group).collect();
    let count = groups.len().max(1) as u64;
    row(
        "images",
        &format!(
            "{} in {} shards and {} row groups",
            text::count(manifest.num_samples),
            manifest.shards.len(),
            groups.len()
        ),
    );
    let files = manifest.shards.iter().map(|shard| shard.bytes).sum();
    row(
        "size",
        &format!("{} of images, {} on disk", text::bytes(manifest.image_bytes), text::bytes(files)),
    );
    row(
        "row groups",
        &format!(
            "{} images and {} on average, at most {}",
            text::count(manifest.num_samples / count),
            text::bytes(manifest.image_bytes / count),
            text::bytes(groups.iter().map(|group| group.bytes).max().unwrap_or(0))
        ),
    );
    let order = match manifest.shuffle_seed {
        Some(seed) => format!("shuffled with seed {seed}"),
        None => "in the order of names".to_owned(),
    };
    let check = if manifest.check == "decode" { "every image decoded" } else { "headers checked" };
    row("written", &format!("by {}, {order}, {check}", manifest.created_by));
    row("refused", &format!("{} files", text::count(manifest.num_refused)));
    row("digest", &manifest.digest);
}

/// Sizes and kinds of images.
fn images(manifest: &Manifest, figures: &Figures) {
    let sizes = &manifest.sizes;
    row(
        "width, height",
        &format!(
            "{} to {}, {} to {}; {:.2} megapixels on average, {:.2} at most",
            sizes.width[0],
            sizes.width[1],
            sizes.height[0],
            sizes.height[1],
            sizes.mean_pixels / 1e6,
            sizes.max_pixels as f64 / 1e6
        ),
    );
    row("longest", &text::bytes(sizes.max_bytes));
    kinds(figures, manifest.num_samples);
}

/// Kinds of images, of so many.
fn kinds(figures: &Figures, total: u64) {
    let shares = |counts: &[(String, u64)]| {
        counts
            .iter()
            .map(|(name, number)| format!("{name} {}", share(*number, total)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    row("formats", &shares(&figures.formats()));
    row("subsampling", &shares(&figures.subsamplings()));
    row("components", &shares(&figures.components()));
    row("progressive", &share(figures.progressive, total));
    row("EXIF rotated", &share(figures.rotated, total));
}

fn share(number: u64, total: u64) -> String {
    match number {
        0 => "none".to_owned(),
        all if all == total => "all".to_owned(),
        _ => format!("{} ({:.1}%)", text::count(number), number as f64 * 100.0 / total as f64),
    }
}

fn histogram(title: &str, bins: &[(String, u64)]) {
    tell(&format!("  {title}"));
    let most = bins.iter().map(|(_, number)| *number).max().unwrap_or(1).max(1);
    let width = bins.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, number) in bins {
        let bar = (*number as f64 / most as f64 * BAR as f64).ceil() as usize;
        let padding = " ".repeat(width - name.chars().count());
        tell(&format!("    {name}{padding}  {:<BAR$} {}", "#".repeat(bar), text::count(*number)));
    }
}

fn classes(names: &[String], figures: &Figures, all: bool) {
    if names.is_empty() {
        row("classes", "no labels");
        return;
    }
    let counts = figures.classes(names.len());
    let (least, most) =
        (counts.iter().min().copied().unwrap_or(0), counts.iter().max().copied().unwrap_or(0));
    row(
        "classes",
        &format!(
            "{} with {} to {} images",
            text::count(names.len() as u64),
            text::count(least),
            text::count(most)
        ),
    );
    let bins: Vec<(String, u64)> = names.iter().cloned().zip(counts.clone()).collect();
    if all || bins.len() <= NAMED_CLASSES {
        histogram("images per class", &bins);
        return;
    }
    // Too many for a line each: how many classes have how many images.
    let mut sizes: Vec<u64> = counts;
    sizes.sort_unstable();
    let mut bins: Vec<(String, u64)> = Vec::new();
    let span = (most - least + 1).div_ceil(10);
    for bin in 0..10 {
        let low = least + bin * span;
        let high = low + span - 1;
        if low > most {
            break;
        }
        let number = sizes.iter().filter(|&&size| (low..=high).contains(&size)).count() as u64;
        let name = if span == 1 { low.to_string() } else { format!("{low} to {high}") };
        bins.push((name, number));
    }
    histogram("classes by number of images (--all-classes lists them)", &bins);
}

/// How well the stored order and the order of training mix.
fn mixing(source: &dyn Source, figures: &Figures, seed: u64) {
    if let Some((found, expected)) = figures.same_class_neighbours() {
        row(
            "",
            &format!(
                "{:.2}% of neighbours share a class (shuffled {:.2}%)",
                found * 100.0,
                expected * 100.0
            ),
        );
    }
    let groups = source.row_groups();
    let window = OrderSettings::DEFAULT_WINDOW_ROW_GROUPS;
    let settings = OrderSettings::Window { row_groups: window };
    let rows = order(settings, groups, seed).rows(0, 0);
    let quality = shuffle_quality(rows, groups, QUALITY_BATCH);
    let mut sizes: Vec<u64> = groups.iter().map(|group| group.bytes).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let memory: u64 = sizes.iter().take(window as usize + 1).sum();
    row(
        "window",
        &format!(
            "{window} row groups take at most {} of memory{}",
            text::bytes(memory),
            if groups.len() <= window as usize { ": the whole set, a full shuffle" } else { "" }
        ),
    );
    row(
        "",
        &format!(
            "a batch of {QUALITY_BATCH} draws on {:.1} row groups, {:.1}% of a uniform shuffle's",
            quality.groups_per_batch,
            quality.ratio() * 100.0
        ),
    );
}
