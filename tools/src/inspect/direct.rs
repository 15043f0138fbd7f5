//! Data that is read as it lies: Parquet files and WebDataset tars, of which no manifest tells.

use std::process::ExitCode;

use smog_pipeline::order::OrderSettings;
use smog_pipeline::sample::RowGroupId;
use smog_pipeline::source::{Found, Source, mixing_advice};
use smog_terminal::{Progress, text};

use super::figures::Figures;
use super::{Args, QUALITY_BATCH, classes, draw_sheet, histogram, kinds, mixing, row, tell};

/// Bytes of images that are read for the figures.
const LOOK_AT_BYTES: u64 = 256 << 20;

/// Shows every split.
pub(super) fn run(found: &Found, args: &Args) -> anyhow::Result<ExitCode> {
    let splits = found.splits();
    for split in &splits {
        let source = found.open(split)?;
        inspect(found, split, &*source, args)?;
    }
    if let (Some(samples), Some(out), Some(split)) = (args.sample, &args.out, splits.first()) {
        draw_sheet(&*found.open(split)?, samples, out, args)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn inspect(found: &Found, split: &str, source: &dyn Source, args: &Args) -> anyhow::Result<()> {
    let groups = source.row_groups();
    let bytes: u64 = groups.iter().map(|group| group.bytes).sum();
    let kind = match found {
        Found::Parquet(_) => "Parquet files",
        _ => "WebDataset tars",
    };
    let looked_at = look_at(source);
    let figures = Figures::look_at(source, &looked_at, &Progress::new())?;
    tell(&format!("{split} ({}: {kind}, read where they lie)", args.dir.display()));
    row(
        "images",
        &format!(
            "{} in {} row groups",
            text::count(source.num_samples()),
            text::count(groups.len() as u64)
        ),
    );
    let count = groups.len().max(1) as u64;
    row(
        "row groups",
        &format!(
            "{} images and {} on average, at most {}",
            text::count(source.num_samples() / count),
            text::bytes(bytes / count),
            text::bytes(groups.iter().map(|group| group.bytes).max().unwrap_or(0))
        ),
    );
    row("size", &format!("{} of images", text::bytes(bytes)));
    row("digest", source.digest());
    let num_images = figures.num_images();
    row(
        "looked at",
        &format!(
            "{} images in {} of the row groups; {} have no header that can be read",
            text::count(num_images + figures.unreadable),
            text::count(looked_at.len() as u64),
            text::count(figures.unreadable)
        ),
    );
    if num_images > 0 {
        row(
            "width, height",
            &format!(
                "{} to {}, {} to {}; {:.2} megapixels on average",
                figures.width[0],
                figures.width[1],
                figures.height[0],
                figures.height[1],
                figures.pixels as f64 / num_images as f64 / 1e6
            ),
        );
        row("longest", &text::bytes(u64::from(figures.max_bytes)));
        kinds(&figures, num_images);
        histogram("short side in pixels", &figures.short_sides());
    }
    classes(source.classes(), &figures, args.all_classes);
    mixing(source, &figures, args.seed);
    let settings = OrderSettings::Window { row_groups: OrderSettings::DEFAULT_WINDOW_ROW_GROUPS };
    if let Some(advice) = mixing_advice(source, settings, QUALITY_BATCH)? {
        row("note", &advice);
    }
    tell("");
    Ok(())
}

/// Row groups spread over the whole, as many as may be read for this.
fn look_at(source: &dyn Source) -> Vec<RowGroupId> {
    let groups = source.row_groups();
    let bytes: u64 = groups.iter().map(|group| group.bytes).sum();
    let share = LOOK_AT_BYTES as f64 / bytes.max(1) as f64;
    let count = ((groups.len() as f64 * share) as usize).clamp(1, groups.len().max(1));
    (0..count.min(groups.len()))
        .map(|number| RowGroupId((number * groups.len() / count) as u32))
        .collect()
}
