//! One split from listing to finished folder.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::check::{Checker, Refusal, panic_message};
use super::error::ShardError;
use super::figures::Figures;
use super::folder::{ShardRecord, SplitFolder};
use super::listing::{Refused, SplitListing};
use super::options::ShardOptions;
use super::ordered::{Gate, Ordered};
use super::plan::{Layout, Plan};
use super::report::{ShardProgress, SplitReport};
use super::schema;
use super::writer::{Row, ShardFormat, ShardWriter};
use crate::manifest::{FORMAT, MANIFEST_FILE, Manifest, Shard, VERSION, write_atomic};
use crate::sample::ImageMeta;

/// File that lists what was left out, beside the manifest.
pub(super) const REFUSED_FILE: &str = "refused.jsonl";
/// Written to shards and manifests.
pub(super) const CREATED_BY: &str = concat!("smog-tools ", env!("CARGO_PKG_VERSION"));

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
    if let Some(finished) = folder.finished_plan()? {
        let difference = match finished {
            Some(finished) => finished.difference(&plan),
            None => Some("does not say how it was made".to_owned()),
        };
        match difference {
            None => {
                folder.remove_old()?;
                let manifest = Manifest::read(&folder.finished)?;
                let refused = read_refused(folder)?;
                let mut report = report(listing, folder, &manifest, &refused);
                report.already_done = true;
                return Ok(report);
            }
            Some(difference) if !options.overwrite => {
                return Err(ShardError::Exists { dir: folder.finished.clone(), difference });
            }
            Some(_) => {}
        }
    }
    let (mut records, emptied) = folder.prepare(&plan)?;
    if let Some(difference) = emptied {
        progress.note(&format!(
            "an unfinished run {difference}; its shards cannot be used, starting anew"
        ));
    }
    let num_resumed = records.iter().flatten().count() as u32;
    if num_resumed > 0 {
        progress.note(&format!(
            "going on with an unfinished run: {num_resumed} of {} shards are done",
            records.len()
        ));
    }
    write_shards(listing, &layout, folder, options, progress, &mut records)?;

    let mut refused: Vec<Refused> = listing.refused.clone();
    let (mut shards, mut figures) = (Vec::new(), Figures::default());
    for (index, record) in records.into_iter().enumerate() {
        let Some(record) = record else {
            return Err(ShardError::Panic { message: format!("shard {index} was left out") });
        };
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
            split: listing.split.clone(),
            num_files: refused.len() as u64,
            example: example
                .map_or(String::new(), |file| format!("{}: {}", file.path, file.reason)),
        });
    }
    number_shards(&mut shards, folder, &listing.split)?;
    let manifest = manifest(listing, options, shards, &figures, refused.len() as u64);
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
    let mut files: Vec<&str> = manifest.shards.iter().map(|shard| shard.file.as_str()).collect();
    files.extend([MANIFEST_FILE, REFUSED_FILE]);
    folder.tidy(&files)?;
    folder.publish()?;
    let mut report = report(listing, folder, &manifest, &refused);
    report.num_resumed_shards = num_resumed;
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

/// Bytes that are read of a file: one over the limit is refused unread, and so takes neither memory nor time.
fn read_bytes(listing: &SplitListing, file: u32, options: &ShardOptions) -> u64 {
    Some(listing.bytes(file as usize)).filter(|&bytes| bytes <= options.max_file_bytes).unwrap_or(0)
}

/// What a worker hands over: the file's number and its content or the reason against it.
type Checked = (u32, Result<(Vec<u8>, ImageMeta), Refusal>);

/// Writes the shards that have no record yet, in order, with the checks done by workers.
fn write_shards(
    listing: &SplitListing,
    layout: &Layout,
    folder: &SplitFolder,
    options: &ShardOptions,
    progress: &dyn ShardProgress,
    records: &mut [Option<ShardRecord>],
) -> Result<(), ShardError> {
    let missing: Vec<usize> =
        (0..records.len()).filter(|&shard| records[shard].is_none()).collect();
    // The end of each missing shard in the run of all files to be read.
    let mut ends = Vec::with_capacity(missing.len());
    let mut num_files = 0;
    for &shard in &missing {
        num_files += layout.files(shard).len();
        ends.push(num_files);
    }
    let file_of = |item: usize| {
        let place = ends.partition_point(|&end| end <= item);
        let before = if place == 0 { 0 } else { ends[place - 1] };
        layout.files(missing[place])[item - before]
    };
    let bytes_of = |item: usize| read_bytes(listing, file_of(item), options);
    let total_bytes = (0..num_files).map(bytes_of).sum();
    let finished = (records.len() - missing.len()) as u32;
    progress.begin(&listing.split, num_files as u64, total_bytes, records.len() as u32, finished);

    let queue: Ordered<Checked> = Ordered::new(num_files, options.in_flight_bytes);
    let gate = Gate::new(options.decode_bytes);
    let work = || {
        let mut checker = Checker::new(options, &gate);
        while let Some(item) = queue.claim(bytes_of) {
            let file = file_of(item);
            let checked = checker.file(&listing.path(file as usize));
            queue.deliver(item, bytes_of(item), (file, checked));
        }
    };
    let result = thread::scope(|scope| {
        for worker in 0..options.num_workers().min(num_files) {
            let guarded = || {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                    queue.fail(panic_message(panic.as_ref()));
                }
            };
            let started =
                thread::Builder::new().name(format!("check-{worker}")).spawn_scoped(scope, guarded);
            if let Err(source) = started {
                queue.stop();
                let path = folder.partial.clone();
                return Err(ShardError::Io { action: "start threads for", path, source });
            }
        }
        let result = missing.iter().try_for_each(|&shard| {
            let record = write_shard(
                shard,
                records.len(),
                listing,
                layout,
                folder,
                options,
                progress,
                &queue,
            )?;
            folder.write_record(shard, &record)?;
            if let Some(shard) = &record.shard {
                let rows = shard.row_groups.iter().map(|group| u64::from(group.rows)).sum();
                progress.shard(&shard.file, rows, shard.bytes);
            }
            records[shard] = Some(record);
            Ok(())
        });
        // Workers may be waiting for room that nobody will make any more.
        queue.stop();
        result
    });
    progress.end();
    result
}

#[expect(
    clippy::too_many_arguments,
    reason = "the loop body of write_shards, which holds them all"
)]
fn write_shard(
    shard: usize,
    num_shards: usize,
    listing: &SplitListing,
    layout: &Layout,
    folder: &SplitFolder,
    options: &ShardOptions,
    progress: &dyn ShardProgress,
    queue: &Ordered<Checked>,
) -> Result<ShardRecord, ShardError> {
    let schema = Arc::new(schema::schema(&listing.classes));
    let format = ShardFormat {
        properties: schema::properties(CREATED_BY, &schema),
        schema,
        row_group_rows: options.row_group_rows as usize,
        row_group_bytes: options.row_group_bytes,
        split: listing.split.clone(),
        shuffle_seed: options.shuffle_seed,
        check: options.check.as_str(),
    };
    let name = Plan::shard_name(&listing.split, shard, num_shards);
    let mut writer = ShardWriter::create(folder.partial.join(name), &format)?;
    let mut refused = Vec::new();
    for _ in layout.files(shard) {
        let (file, checked) = queue
            .take()
            .map_err(|message| ShardError::Panic { message })?
            .ok_or_else(|| ShardError::Panic { message: "the queue ended early".to_owned() })?;
        let path = listing.stored_path(file as usize);
        let bytes = read_bytes(listing, file, options);
        match checked {
            Ok((bytes, meta)) => {
                let label = listing.label(file as usize);
                writer.push(Row { id: file, path, label, bytes, meta })?;
                progress.advance(u64::from(meta.bytes), None);
            }
            Err(Refusal { kind, reason }) => {
                let entry = Refused { path, kind: kind.to_owned(), reason };
                progress.advance(bytes, Some(&entry));
                refused.push(entry);
            }
        }
    }
    let (shard, figures) = writer.finish()?;
    Ok(ShardRecord { shard, figures, refused })
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

fn manifest(
    listing: &SplitListing,
    options: &ShardOptions,
    shards: Vec<Shard>,
    figures: &Figures,
    num_refused: u64,
) -> Manifest {
    let groups = || shards.iter().flat_map(|shard| &shard.row_groups);
    let mut manifest = Manifest {
        format: FORMAT.to_owned(),
        version: VERSION,
        created_by: CREATED_BY.to_owned(),
        split: listing.split.clone(),
        classes: listing.classes.clone(),
        num_samples: groups().map(|group| u64::from(group.rows)).sum(),
        image_bytes: groups().map(|group| group.bytes).sum(),
        shuffle_seed: options.shuffle_seed,
        check: options.check.to_string(),
        sizes: figures.sizes(),
        num_refused,
        shards,
        digest: String::new(),
    };
    manifest.digest = manifest.content_digest();
    manifest
}

fn report(
    listing: &SplitListing,
    folder: &SplitFolder,
    manifest: &Manifest,
    refused: &[Refused],
) -> SplitReport {
    let mut kinds = BTreeMap::new();
    for file in refused {
        *kinds.entry(file.kind.clone()).or_insert(0) += 1;
    }
    SplitReport {
        split: manifest.split.clone(),
        dir: folder.finished.clone(),
        num_samples: manifest.num_samples,
        num_classes: manifest.classes.len(),
        num_shards: manifest.shards.len(),
        num_row_groups: manifest.row_groups().count(),
        image_bytes: manifest.image_bytes,
        shard_bytes: manifest.shards.iter().map(|shard| shard.bytes).sum(),
        refused: kinds,
        num_other_files: listing.num_other_files,
        num_resumed_shards: 0,
        already_done: false,
        seconds: 0.0,
    }
}

/// The report of a finished data set.
fn read_refused(folder: &SplitFolder) -> Result<Vec<Refused>, ShardError> {
    let path = folder.finished.join(REFUSED_FILE);
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
