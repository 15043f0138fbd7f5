//! From the records of all shards to the finished folder of a split.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::error::ShardError;
use super::figures::Figures;
use super::folder::{REFUSED_FILE, ShardRecord, SplitFolder};
use super::listing::Refused;
use super::plan::Plan;
use super::report::SplitReport;
use crate::atomic::write_atomic;
use crate::manifest::{FORMAT, MANIFEST_FILE, Manifest, Shard, VERSION};

/// Written to shards and manifests.
pub(super) const CREATED_BY: &str = concat!("smog-tools ", env!("CARGO_PKG_VERSION"));

/// Writes report and manifest for the shards that lie in the folder and lets the split appear. `refused` are
/// the files that the listing left out.
pub(super) fn finish(
    folder: &SplitFolder,
    plan: &Plan,
    records: Vec<ShardRecord>,
    mut refused: Vec<Refused>,
    num_other_files: u64,
) -> Result<SplitReport, ShardError> {
    let (mut shards, mut figures) = (Vec::new(), Figures::default());
    for record in records {
        shards.extend(record.shard);
        figures = figures.merged(&record.figures);
        refused.extend(record.refused);
    }
    refused.sort();
    if shards.is_empty() {
        fs::remove_dir_all(&folder.partial)
            .map_err(ShardError::io("remove folder", &folder.partial))?;
        let example = refused.first();
        return Err(ShardError::NothingUsable {
            split: plan.split.clone(),
            num_files: refused.len() as u64,
            example: example
                .map_or(String::new(), |file| format!("{}: {}", file.path, file.reason)),
        });
    }
    if !folder.is_remote() {
        number_shards(&mut shards, folder, &plan.split)?;
    }
    let manifest = manifest(plan, shards, &figures, refused.len() as u64);
    let mut lines = Vec::new();
    for file in &refused {
        // A struct of strings always serialises.
        let line = serde_json::to_string(file)
            .map_err(|error| ShardError::io("write", REFUSED_FILE)(error.into()))?;
        lines.extend_from_slice(line.as_bytes());
        lines.push(b'\n');
    }
    let path = folder.partial.join(REFUSED_FILE);
    write_atomic(&path, &lines).map_err(ShardError::io("write", &path))?;
    manifest.write(&folder.partial)?;
    publish(folder, &manifest)?;
    Ok(report(folder, &manifest, &refused, num_other_files))
}

/// Goes on where [`finish`] was stopped behind the manifest: every shard and the report are there.
/// Gives whether that was so.
pub(super) fn finish_again(folder: &SplitFolder) -> Result<bool, ShardError> {
    let Some(manifest) = complete(folder) else { return Ok(false) };
    publish(folder, &manifest)?;
    Ok(true)
}

/// The manifest in the folder where the split is built, if it and all of its shards are there.
pub(super) fn complete(folder: &SplitFolder) -> Option<Manifest> {
    let manifest = Manifest::read(&folder.partial).ok()?;
    let whole = manifest.shards.iter().all(|shard| folder.holds(shard));
    whole.then_some(manifest)
}

fn publish(folder: &SplitFolder, manifest: &Manifest) -> Result<(), ShardError> {
    let mut files: Vec<&str> = manifest.shards.iter().map(|shard| shard.file.as_str()).collect();
    files.extend([MANIFEST_FILE, REFUSED_FILE]);
    folder.tidy(&files)?;
    folder.publish()
}

/// Where whole shards were refused, names the others anew so that they count without a gap.
fn number_shards(
    shards: &mut [Shard],
    folder: &SplitFolder,
    split: &str,
) -> Result<(), ShardError> {
    let num_shards = shards.len();
    for (index, shard) in shards.iter_mut().enumerate() {
        let name = Plan::shard_name(split, index, num_shards);
        if shard.file != name {
            let old = folder.partial.join(&shard.file);
            fs::rename(&old, folder.partial.join(&name)).map_err(ShardError::io("rename", old))?;
            shard.file = name;
        }
    }
    Ok(())
}

fn manifest(plan: &Plan, shards: Vec<Shard>, figures: &Figures, num_refused: u64) -> Manifest {
    let groups = || shards.iter().flat_map(|shard| &shard.row_groups);
    let mut manifest = Manifest {
        format: FORMAT.to_owned(),
        version: VERSION,
        created_by: plan.created_by.clone(),
        split: plan.split.clone(),
        classes: plan.classes.clone(),
        num_samples: groups().map(|group| u64::from(group.rows)).sum(),
        image_bytes: groups().map(|group| group.bytes).sum(),
        shuffle_seed: plan.shuffle_seed,
        check: plan.check.clone(),
        sizes: figures.sizes(),
        num_refused,
        shards,
        digest: String::new(),
    };
    manifest.digest = manifest.content_digest();
    manifest
}

/// The report of a data set that was finished before.
pub(super) fn report_finished(
    folder: &SplitFolder,
    num_other_files: u64,
) -> Result<SplitReport, ShardError> {
    let manifest = Manifest::read(&folder.finished)?;
    let refused = read_refused(&folder.finished)?;
    let report = report(folder, &manifest, &refused, num_other_files);
    Ok(SplitReport { already_done: true, ..report })
}

fn report(
    folder: &SplitFolder,
    manifest: &Manifest,
    refused: &[Refused],
    num_other_files: u64,
) -> SplitReport {
    SplitReport {
        split: manifest.split.clone(),
        dir: folder.place(),
        part: None,
        num_samples: manifest.num_samples,
        num_classes: manifest.classes.len(),
        num_shards: manifest.shards.len(),
        num_row_groups: manifest.row_groups().count(),
        image_bytes: manifest.image_bytes,
        shard_bytes: manifest.shards.iter().map(|shard| shard.bytes).sum(),
        mean_pixels: manifest.sizes.mean_pixels,
        refused: by_kind(refused),
        num_other_files,
        num_resumed_shards: 0,
        already_done: false,
        seconds: 0.0,
    }
}

/// Refused files by kind.
pub(super) fn by_kind<'a>(refused: impl IntoIterator<Item = &'a Refused>) -> BTreeMap<String, u64> {
    let mut kinds = BTreeMap::new();
    for file in refused {
        *kinds.entry(file.kind.clone()).or_insert(0) += 1;
    }
    kinds
}

/// The list of what was left out of a finished data set.
pub(super) fn read_refused(finished: &Path) -> Result<Vec<Refused>, ShardError> {
    let path = finished.join(REFUSED_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ShardError::io("read", path)(error)),
    };
    text.lines()
        .map(|line| {
            serde_json::from_str(line).map_err(|error| ShardError::io("read", &path)(error.into()))
        })
        .collect()
}
