//! One split from listing to finished folder, or one part of it.

use std::time::Instant;

use super::error::ShardError;
use super::figures::Figures;
use super::finish::{self, CREATED_BY};
use super::folder::{ShardRecord, SplitFolder};
use super::listing::SplitListing;
use super::options::ShardOptions;
use super::part::{Part, PartNote};
use super::plan::{Layout, Plan};
use super::report::{ShardProgress, SplitReport};
use super::write::{Writing, write_shards};

/// Writes one split, or finds that it is there.
pub(super) fn write_split(
    listing: &SplitListing,
    folder: &SplitFolder,
    options: &ShardOptions,
    progress: &dyn ShardProgress,
) -> Result<SplitReport, ShardError> {
    let start = Instant::now();
    let layout = Layout::new(listing, options);
    let plan = Plan::new(listing, &layout, options, CREATED_BY);
    if folder.is_finished(&plan, Some(listing), options.overwrite)? {
        folder.remove_old()?;
        return finish::report_finished(folder, listing.num_other_files);
    }
    if let Some(difference) = folder.prepare(&plan)? {
        progress.note(&format!(
            "an unfinished run {difference}; its shards cannot be used, starting anew"
        ));
    }
    if finish::finish_again(folder)? {
        return finish::report_finished(folder, listing.num_other_files);
    }
    let mut records = folder.records(&plan)?;
    let num_resumed = records.iter().flatten().count() as u32;
    if num_resumed > 0 {
        progress.note(&format!(
            "going on with an unfinished run: {num_resumed} of {} shards are done",
            records.len()
        ));
    }
    let missing = (0..records.len()).filter(|&shard| records[shard].is_none()).collect();
    let writing = Writing { listing, layout: &layout, folder, options };
    write_shards(&writing, missing, num_resumed, progress, &mut records)?;
    let refused = listing.refused.clone();
    let records = all(records)?;
    let report = finish::finish(folder, &plan, records, refused, listing.num_other_files)?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(SplitReport { num_resumed_shards: num_resumed, seconds, ..report })
}

fn all(records: Vec<Option<ShardRecord>>) -> Result<Vec<ShardRecord>, ShardError> {
    let absent = |shard| ShardError::Panic { message: format!("shard {shard} was left out") };
    records
        .into_iter()
        .enumerate()
        .map(|(shard, record)| record.ok_or_else(|| absent(shard)))
        .collect()
}

/// Writes the shards of one part into the folder where the split is built, and the part's note.
pub(super) fn write_part(
    listing: &SplitListing,
    folder: &SplitFolder,
    part: Part,
    options: &ShardOptions,
    progress: &dyn ShardProgress,
) -> Result<SplitReport, ShardError> {
    let start = Instant::now();
    let layout = Layout::new(listing, options);
    let plan = Plan::new(listing, &layout, options, CREATED_BY);
    if folder.is_finished(&plan, Some(listing), options.overwrite)? {
        return finish::report_finished(folder, listing.num_other_files);
    }
    folder.prepare_part(&plan, &PartNote::new(part, &plan, listing))?;
    let mut records = folder.records(&plan)?;
    let own: Vec<usize> = (0..records.len()).filter(|&shard| part.takes(shard)).collect();
    let missing: Vec<usize> =
        own.iter().copied().filter(|&shard| records[shard].is_none()).collect();
    let num_resumed = (own.len() - missing.len()) as u32;
    // A merge that was cut off has gathered the records into its manifest already.
    let already_done = missing.is_empty() || finish::complete(folder).is_some();
    if !already_done {
        if num_resumed > 0 {
            progress.note(&format!(
                "going on with part {part}: {num_resumed} of its {} shards are done",
                own.len()
            ));
        }
        let writing = Writing { listing, layout: &layout, folder, options };
        write_shards(&writing, missing, num_resumed, progress, &mut records)?;
    }
    let records: Vec<&ShardRecord> = own.iter().filter_map(|&own| records[own].as_ref()).collect();
    let shards = || records.iter().filter_map(|record| record.shard.as_ref());
    let groups = || shards().flat_map(|shard| &shard.row_groups);
    let figures =
        records.iter().fold(Figures::default(), |all, record| all.merged(&record.figures));
    Ok(SplitReport {
        split: plan.split.clone(),
        dir: folder.partial.clone(),
        part: Some(part),
        num_samples: figures.images(),
        num_classes: plan.classes.len(),
        num_shards: shards().count(),
        num_row_groups: groups().count(),
        image_bytes: groups().map(|group| group.bytes).sum(),
        shard_bytes: shards().map(|shard| shard.bytes).sum(),
        mean_pixels: figures.sizes().mean_pixels,
        refused: finish::by_kind(records.iter().flat_map(|record| &record.refused)),
        num_other_files: 0,
        num_resumed_shards: num_resumed,
        already_done,
        seconds: start.elapsed().as_secs_f64(),
    })
}
