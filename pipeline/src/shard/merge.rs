//! Joining the parts of a data set: what a run alone does at its end, once every shard is there.
//!
//! Parts that wrote to one folder have left all shards where the split is built, so that only report and
//! manifest are missing. Shards of parts that wrote elsewhere are brought there first: by a hard link, or by
//! a copy whose digest is checked. As with a run, the split appears by one rename, and a merge that was
//! killed is gone on with by the next.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::card;
use super::error::ShardError;
use super::finish;
use super::folder::{self, ShardRecord, SplitFolder};
use super::part::{Part, PartNote};
use super::plan::Plan;
use super::report::{ShardProgress, ShardReport, SplitReport};
use crate::manifest::{Shard, list_splits};

/// Parts that are named one by one when they are missing.
const NAMED_PARTS: usize = 10;
/// Bytes that are copied at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// Choices for [`merge`].
#[derive(Clone, Copy, Debug, Default)]
pub struct MergeOptions {
    /// Replace a finished data set that was made of other images or with other options.
    pub overwrite: bool,
}

/// Makes a data set in `out` of the parts that [`shard`](super::shard()) wrote there and to the folders
/// `from`. The shards in `from` stay where they are. Nothing appears before every split is known to be
/// complete; splits that were merged before are left as they are.
///
/// # Errors
/// If there is nothing to merge; if parts are missing, or were made of other images, with other options or
/// to another end; if a data set made otherwise is in the way, or a file cannot be read or written.
pub fn merge(
    out: &Path,
    from: &[PathBuf],
    options: MergeOptions,
    progress: &dyn ShardProgress,
) -> Result<ShardReport, ShardError> {
    for dir in from.iter().map(PathBuf::as_path).chain(from.is_empty().then_some(out)) {
        if !dir.is_dir() {
            let problem = "there is no such folder".to_owned();
            return Err(ShardError::Merge { dir: dir.to_path_buf(), problem });
        }
    }
    let _lock = folder::lock(out)?;
    let dirs = distinct(out, from)?;
    let mut splits = BTreeSet::new();
    for dir in &dirs {
        splits.extend(unfinished_splits(dir)?);
    }
    // All of them are looked at before the first is touched.
    let gathered =
        splits.iter().map(|split| Gathered::new(split, &dirs)).collect::<Result<Vec<_>, _>>()?;
    let there = gathered
        .iter()
        .map(|gathered| gathered.folder.is_finished(&gathered.plan, None, options.overwrite))
        .collect::<Result<Vec<_>, _>>()?;
    let mut reports = Vec::new();
    // Those of the other folders that were merged before are found among the finished splits.
    for (gathered, there) in gathered.into_iter().zip(there) {
        if there {
            splits.remove(&gathered.plan.split);
        } else {
            reports.push(gathered.finish(progress)?);
        }
    }
    for (split, _) in list_splits(out) {
        if !splits.contains(&split) {
            let folder = SplitFolder::new(out, &split);
            folder.remove_old()?;
            reports.push(finish::report_finished(&folder, 0)?);
        }
    }
    if reports.is_empty() {
        let problem =
            "it holds no parts; write them with `smog-tools shard SRC --out DIR --part I/N`";
        return Err(ShardError::Merge { dir: out.to_path_buf(), problem: problem.to_owned() });
    }
    folder::remove_part_locks(out)?;
    card::write(out)?;
    Ok(ShardReport { out: out.to_path_buf(), splits: reports })
}

/// The folders to gather from, `out` first, each once.
fn distinct<'a>(out: &'a Path, from: &'a [PathBuf]) -> Result<Vec<&'a Path>, ShardError> {
    let mut seen = BTreeMap::new();
    let mut dirs = Vec::new();
    for dir in [out].into_iter().chain(from.iter().map(PathBuf::as_path)) {
        let full = fs::canonicalize(dir).map_err(ShardError::io("find", dir))?;
        if seen.insert(full, dir).is_some() {
            let problem =
                "this folder is given twice; the folder to write to is looked at in any case";
            return Err(ShardError::Merge { dir: dir.to_path_buf(), problem: problem.to_owned() });
        }
        dirs.push(dir);
    }
    Ok(dirs)
}

/// Names of the splits that are being built in `dir`.
fn unfinished_splits(dir: &Path) -> Result<Vec<String>, ShardError> {
    let mut splits = Vec::new();
    for entry in fs::read_dir(dir).map_err(ShardError::io("read folder", dir))? {
        let entry = entry.map_err(ShardError::io("read folder", dir))?;
        let name = entry.file_name();
        let split = name.to_str().and_then(|name| name.strip_prefix('.')?.strip_suffix(".partial"));
        if let Some(split) = split {
            splits.push(split.to_owned());
        }
    }
    Ok(splits)
}

/// All parts of a split, found to go together and to be complete.
struct Gathered<'a> {
    plan: Plan,
    /// Where the split is built and will appear.
    folder: SplitFolder,
    notes: Vec<PartNote>,
    /// Where each shard lies, and what is known of it. Empty where an earlier merge was stopped behind the
    /// manifest.
    shards: Vec<(&'a Path, ShardRecord)>,
}

impl<'a> Gathered<'a> {
    /// Looks at the parts of `split` in all folders, the one to write to first.
    fn new(split: &str, dirs: &[&'a Path]) -> Result<Self, ShardError> {
        let folder = SplitFolder::new(dirs[0], split);
        let mut plan: Option<(Plan, PathBuf)> = None;
        let mut notes: Vec<PartNote> = Vec::new();
        let mut shards: Vec<Option<(&Path, ShardRecord)>> = Vec::new();
        for &dir in dirs {
            let here = SplitFolder::new(dir, split);
            let found = PartNote::read_all(&here.partial)?;
            let plans = found.iter().map(|note| note.plan.clone()).chain(here.unfinished_plan());
            for other in plans {
                match &plan {
                    None => plan = Some((other, here.partial.clone())),
                    Some((first, place)) => {
                        if let Some(difference) = first.difference(&other) {
                            let (first, second) = (place.clone(), here.partial.clone());
                            return Err(ShardError::PartsDiffer { first, difference, second });
                        }
                    }
                }
            }
            let Some((plan, _)) = &plan else { continue };
            shards.resize_with(plan.num_shards as usize, || None);
            for (known, record) in shards.iter_mut().zip(here.records(plan)?) {
                let Some(record) = record else { continue };
                match known {
                    None => *known = Some((dir, record)),
                    Some((place, known)) if !known.same_content(&record) => {
                        return Err(ShardError::PartsDiffer {
                            first: place.to_path_buf(),
                            difference: format!(
                                "has another shard {} than the other folder: the source changed between",
                                known
                                    .shard
                                    .as_ref()
                                    .or(record.shard.as_ref())
                                    .map_or("", |s| &s.file)
                            ),
                            second: dir.to_path_buf(),
                        });
                    }
                    Some(_) => {}
                }
            }
            notes.extend(found);
        }
        let Some((plan, place)) = plan else {
            let problem = format!(
                "the unfinished split `{split}` does not say how it was made; remove {}",
                folder.partial.display()
            );
            return Err(ShardError::Merge { dir: dirs[0].to_path_buf(), problem });
        };
        if finish::complete(&folder).is_some() {
            return Ok(Self { plan, folder, notes, shards: Vec::new() });
        }
        let Some(first) = notes.first() else {
            let problem = "this is an unfinished run without parts; give the same `smog-tools shard` \
                           command again and it goes on";
            return Err(ShardError::Merge { dir: place, problem: problem.to_owned() });
        };
        if let Some(other) = notes.iter().find(|note| note.refused != first.refused) {
            return Err(ShardError::Merge {
                dir: dirs[0].to_path_buf(),
                problem: format!(
                    "parts {} and {} of split `{split}` found other files that are no images; run one again",
                    first.part, other.part
                ),
            });
        }
        if let Some(missing) = missing(&shards, &notes) {
            return Err(ShardError::PartsMissing { split: split.to_owned(), missing });
        }
        let shards = shards.into_iter().flatten().collect();
        Ok(Self { plan, folder, notes, shards })
    }

    /// Brings all shards together and lets the split appear.
    fn finish(self, progress: &dyn ShardProgress) -> Result<SplitReport, ShardError> {
        let start = std::time::Instant::now();
        let Self { plan, folder, notes, shards } = self;
        if finish::finish_again(&folder)? {
            return finish::report_finished(&folder, 0);
        }
        let elsewhere: Vec<usize> =
            (0..shards.len()).filter(|&shard| shards[shard].0 != folder.out()).collect();
        if !elsewhere.is_empty() {
            let bytes = |shard: usize| shards[shard].1.shard.as_ref().map_or(0, |file| file.bytes);
            let total = elsewhere.iter().map(|&shard| bytes(shard)).sum();
            progress.begin_copy(&plan.split, elsewhere.len() as u64, total);
            // With the notes of all parts, what is here is a merge that can be gone on with at any moment.
            for note in &notes {
                folder.prepare_part(&plan, note)?;
            }
            for shard in elsewhere {
                let (dir, record) = &shards[shard];
                if let Some(file) = &record.shard {
                    bring(file, &SplitFolder::new(dir, &plan.split), &folder)?;
                }
                folder.write_record(shard, record)?;
                progress.advance(bytes(shard), None);
            }
            progress.end();
        }
        let (refused, num_other_files) = notes
            .first()
            .map_or_else(Default::default, |note| (note.refused.clone(), note.num_other_files));
        let records = shards.into_iter().map(|(_, record)| record).collect();
        let report = finish::finish(&folder, &plan, records, refused, num_other_files)?;
        Ok(SplitReport { seconds: start.elapsed().as_secs_f64(), ..report })
    }
}

/// Which parts lack shards, in words; `None` where all are there.
fn missing(shards: &[Option<(&Path, ShardRecord)>], notes: &[PartNote]) -> Option<String> {
    let absent: Vec<usize> = (0..shards.len()).filter(|&shard| shards[shard].is_none()).collect();
    if absent.is_empty() {
        return None;
    }
    let began: BTreeSet<Part> = notes.iter().map(|note| note.part).collect();
    // As a rule all parts are of one count; of several counts, name what is missing by the first one.
    let of = began.first()?;
    let lacking: Vec<String> = of
        .all()
        .filter_map(|part| {
            let number = absent.iter().filter(|&&shard| part.takes(shard)).count();
            let all = (0..shards.len()).filter(|&shard| part.takes(shard)).count();
            let state = if began.contains(&part) { "unfinished" } else { "missing" };
            (number > 0).then(|| format!("{part} is {state} ({number} of its {all} shards)"))
        })
        .collect();
    let more = match lacking.len().checked_sub(NAMED_PARTS) {
        None | Some(0) => String::new(),
        Some(more) => format!(" and {more} more"),
    };
    Some(format!(
        "{} of {} shards are not there: part {}{more}; run `smog-tools shard` with these parts (again), or \
         name the folders that hold them with `--from`",
        absent.len(),
        shards.len(),
        lacking[..lacking.len().min(NAMED_PARTS)].join(", ")
    ))
}

/// Puts the file of a shard into the folder where the split is built.
fn bring(shard: &Shard, from: &SplitFolder, to: &SplitFolder) -> Result<(), ShardError> {
    let (source, target) = (from.partial.join(&shard.file), to.partial.join(&shard.file));
    match fs::remove_file(&target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(ShardError::io("remove", target)(error));
        }
        _ => {}
    }
    // Another disk, or one without hard links.
    if fs::hard_link(&source, &target).is_ok() {
        return Ok(());
    }
    let temporary = to.partial.join(format!("{}.tmp", shard.file));
    let mut input = File::open(&source).map_err(ShardError::io("open", &source))?;
    let mut output = File::create(&temporary).map_err(ShardError::io("create", &temporary))?;
    let mut digest = blake3::Hasher::new();
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let length = input.read(&mut block).map_err(ShardError::io("read", &source))?;
        if length == 0 {
            break;
        }
        digest.update(&block[..length]);
        output.write_all(&block[..length]).map_err(ShardError::io("write", &temporary))?;
    }
    let found = digest.finalize().to_hex();
    if found.as_str() != shard.blake3 {
        let problem = format!(
            "shard {} has the digest {found}, its record says {}; remove it and run its part again",
            shard.file, shard.blake3
        );
        return Err(ShardError::Merge { dir: from.partial.clone(), problem });
    }
    output.sync_all().map_err(ShardError::io("write", &temporary))?;
    fs::rename(&temporary, &target).map_err(ShardError::io("rename", &temporary))
}
