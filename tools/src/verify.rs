//! `smog-tools verify`: is a data set what its manifest says, and does every image decode?

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, bail};
use smog_pipeline::codec::{
    DecodeLimits, DecodeRequest, DecoderKind, ImageDecoder, Pixels, decoder, probe,
};
use smog_pipeline::manifest::Manifest;
use smog_pipeline::sample::{ImageFlags, ImageMeta, RowGroupId};
use smog_pipeline::source::{ParquetSource, RowGroup, Source as _};
use smog_terminal::exit_code::FAILED;
use smog_terminal::{Progress, line as tell, text};

use crate::remote::{RemoteArgs, SplitPlace};

/// Problems that are printed one by one.
const NAMED_PROBLEMS: usize = 50;

/// Arguments of `smog-tools verify`.
#[derive(clap::Args)]
#[command(after_help = "\
Checks every split: the manifest, length and BLAKE3 digest of each shard, columns, row counts,
labels, that each image's header says what the shard says, and that each image decodes.

Examples:
  smog-tools verify imagenet-shards
  smog-tools verify imagenet-shards/val --fast
  smog-tools verify s3://bucket/imagenet-shards

Exit codes: 0 all is well, 1 something is wrong (listed), 2 wrong arguments")]
pub(crate) struct Args {
    /// Folder or URL of a data set, or of one split
    dir: PathBuf,
    /// Do not decode the images
    #[arg(long)]
    fast: bool,
    /// Worker threads; 0 for one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    jobs: usize,
    /// Decoder
    #[arg(long, value_name = "NAME", default_value_t = DecoderKind::default())]
    decoder: DecoderKind,
    /// Largest image that is decoded, in pixels
    #[arg(long, value_name = "N", default_value_t = DecodeLimits::default().max_pixels)]
    max_pixels: u64,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let progress = Progress::new();
    let mut all_well = true;
    for place in SplitPlace::all(&args.dir, &args.remote)? {
        let problems = Problems::default();
        let summary = match verify(&place, &args, &progress, &problems) {
            Ok(summary) => summary,
            Err(error) => {
                problems.add(format!("{error:#}"));
                String::new()
            }
        };
        progress.finish();
        let found = problems.into_found();
        if found.number == 0 {
            tell(&format!("{place}: {summary}, all is well"));
            continue;
        }
        all_well = false;
        tell(&format!("{place}: {} problems", text::count(found.number)));
        for problem in &found.first {
            tell(&format!("  {problem}"));
        }
        if found.number > found.first.len() as u64 {
            tell(&format!("  and {} more", text::count(found.number - found.first.len() as u64)));
        }
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// What is wrong, gathered by all workers: how much, and the first by their text, whoever finds them when.
#[derive(Default)]
struct Problems(Mutex<Found>);

#[derive(Default)]
struct Found {
    number: u64,
    first: BTreeSet<String>,
}

impl Problems {
    fn add(&self, problem: String) {
        let mut found = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        found.number += 1;
        found.first.insert(problem);
        if found.first.len() > NAMED_PROBLEMS {
            found.first.pop_last();
        }
    }

    fn into_found(self) -> Found {
        self.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// One thing to do. A shard's rows come right behind its digest, while the file is still in memory, so that
/// a data set larger than the memory is read from the disk once.
enum Task<'a> {
    Digest { dir: &'a Path, shard: usize },
    Rows { group: usize },
}

fn verify(
    place: &SplitPlace,
    args: &Args,
    progress: &Progress,
    problems: &Problems,
) -> anyhow::Result<String> {
    let (manifest, opened) = match place {
        SplitPlace::Folder(dir) => {
            let manifest = Manifest::read(dir)?;
            check_files(dir, &manifest, problems)?;
            // Where the set cannot be opened, the digests are checked all the same.
            (manifest, place.open())
        }
        SplitPlace::Url(..) => {
            let source = place.open()?;
            check_lengths(&source, problems);
            (source.manifest().clone(), Ok(source))
        }
    };
    let jobs = match args.jobs {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        jobs => jobs,
    };
    let source = opened.as_ref().ok();
    let mut tasks = Vec::new();
    let mut group = 0;
    for (shard, file) in manifest.shards.iter().enumerate() {
        // Behind a URL each row group and footer is compared with its own digest as it arrives.
        if let SplitPlace::Folder(dir) = place {
            tasks.push(Task::Digest { dir, shard });
        }
        if source.is_some() {
            tasks.extend((group..group + file.row_groups.len()).map(|group| Task::Rows { group }));
            group += file.row_groups.len();
        }
    }
    match source {
        Some(_) => progress.start("verify", "images", manifest.num_samples, manifest.image_bytes),
        None => {
            let bytes = manifest.shards.iter().map(|shard| shard.bytes).sum();
            progress.start("digests", "shards", manifest.shards.len() as u64, bytes);
        }
    }
    let limits = DecodeLimits { max_pixels: args.max_pixels, ..DecodeLimits::default() };
    in_parallel(jobs, tasks.len(), &|index, tools: &mut Option<Tools>| match tasks[index] {
        Task::Digest { dir, shard } => {
            let shard = &manifest.shards[shard];
            match check_digest(&dir.join(&shard.file), shard.bytes, &shard.blake3) {
                Ok(None) => {}
                Ok(Some(problem)) => problems.add(format!("{}: {problem}", shard.file)),
                Err(error) => problems.add(format!("{}: {error:#}", shard.file)),
            }
            if source.is_none() {
                progress.add(1, shard.bytes);
            }
        }
        Task::Rows { group } => {
            let Some(source) = source else { return };
            let tools = tools.get_or_insert_with(|| Tools {
                decoder: decoder(args.decoder, limits),
                pixels: Pixels::default(),
            });
            let id = RowGroupId(group as u32);
            match source.read(id) {
                Ok(rows) => {
                    let place = source.place(id).map_or(String::new(), |(path, number)| {
                        let file = path.file_name().unwrap_or_default().to_string_lossy();
                        format!("{file} row group {number}")
                    });
                    check_images(&rows, &place, (!args.fast).then_some(tools), problems);
                }
                Err(error) => problems.add(format!("{:#}", anyhow::Error::from(error))),
            }
            let info = source.row_groups()[group];
            progress.add(u64::from(info.rows), info.bytes);
        }
    })?;
    let remote = opened?.is_remote();
    let without_digests = remote && manifest.shards.iter().any(|shard| shard.footer.is_none());
    Ok(format!(
        "{} images in {} shards{}{}",
        text::count(manifest.num_samples),
        manifest.shards.len(),
        if args.fast { ", not decoded" } else { ", each decoded" },
        if without_digests {
            ", digests not checked: its manifest has none of row groups"
        } else {
            ""
        }
    ))
}

/// Lengths of shards behind a URL.
fn check_lengths(source: &ParquetSource, problems: &Problems) {
    for (index, shard) in source.manifest().shards.iter().enumerate() {
        match source.shard_length(index) {
            Ok(bytes) if bytes == shard.bytes => {}
            Ok(bytes) => problems.add(format!(
                "{}: {bytes} bytes long, its manifest says {}",
                shard.file, shard.bytes
            )),
            Err(error) => problems.add(format!("{:#}", anyhow::Error::from(error))),
        }
    }
}

/// Lengths, files that do not belong, and the list of refused files.
fn check_files(dir: &Path, manifest: &Manifest, problems: &Problems) -> anyhow::Result<()> {
    for shard in &manifest.shards {
        match fs::metadata(dir.join(&shard.file)) {
            Ok(file) if file.len() == shard.bytes => {}
            Ok(file) => problems.add(format!(
                "{}: {} bytes long, its manifest says {}",
                shard.file,
                file.len(),
                shard.bytes
            )),
            Err(error) => problems.add(format!("{}: {error}", shard.file)),
        }
    }
    let listed: HashSet<&str> = manifest.shards.iter().map(|shard| shard.file.as_str()).collect();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".parquet") && !listed.contains(name.as_str()) {
            problems.add(format!("{name}: not in the manifest"));
        }
    }
    let refused = fs::read_to_string(dir.join("refused.jsonl")).unwrap_or_default();
    let num_refused = refused.lines().count() as u64;
    if num_refused != manifest.num_refused {
        problems.add(format!(
            "refused.jsonl: {num_refused} lines, the manifest says {} refused files",
            manifest.num_refused
        ));
    }
    Ok(())
}

/// Compares a file's BLAKE3; a file of another length was reported already.
fn check_digest(path: &Path, bytes: u64, expected: &str) -> anyhow::Result<Option<String>> {
    let Ok(mut file) = File::open(path) else { return Ok(None) };
    if file.metadata()?.len() != bytes {
        return Ok(None);
    }
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    let found = hasher.finalize().to_hex().to_string();
    Ok((found != expected)
        .then(|| format!("its BLAKE3 is {found}, its manifest says {expected}: it was changed")))
}

/// A worker's decoder.
struct Tools {
    decoder: Box<dyn ImageDecoder>,
    pixels: Pixels,
}

fn check_images(group: &RowGroup, place: &str, mut tools: Option<&mut Tools>, problems: &Problems) {
    for row in 0..group.rows() {
        let path = &group.paths[row as usize];
        let meta = &group.metas[row as usize];
        let say = |problem: String| problems.add(format!("{place} row {row} ({path}): {problem}"));
        let encoded = group.encoded(row);
        match probe(encoded) {
            Err(error) => {
                say(error.to_string());
                continue;
            }
            Ok(found) if !agree(&found, meta) => {
                say(format!("its header says {found:?}, the shard says {meta:?}"));
            }
            Ok(_) => {}
        }
        if let Some(tools) = tools.as_deref_mut()
            && let Err(error) =
                tools.decoder.decode(encoded, meta, &DecodeRequest::WHOLE, &mut tools.pixels)
        {
            say(error.to_string());
        }
    }
}

/// Whether a header and a shard say the same, but for what only the writer of the shard knows and what older
/// writers did not note.
fn agree(found: &ImageMeta, stored: &ImageMeta) -> bool {
    let notes = ImageFlags::UNCHECKED.with(ImageFlags::DAMAGED).with(ImageFlags::SCANS).0;
    let flags = |meta: &ImageMeta| meta.flags.0 & !notes;
    flags(found) == flags(stored) && ImageMeta { flags: stored.flags, ..*found } == *stored
}

/// Runs `work` for every number below `count` on `jobs` threads, each with a state of its own.
fn in_parallel<S: Default>(
    jobs: usize,
    count: usize,
    work: &(dyn Fn(usize, &mut S) + Sync),
) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.clamp(1, count.max(1)))
            .map(|number| {
                std::thread::Builder::new().name(format!("verify-{number}")).spawn_scoped(
                    scope,
                    || {
                        let mut state = S::default();
                        loop {
                            let index = next.fetch_add(1, Ordering::Relaxed);
                            if index >= count {
                                return;
                            }
                            work(index, &mut state);
                        }
                    },
                )
            })
            .collect();
        for thread in threads {
            let thread = thread.context("cannot start a thread")?;
            if thread.join().is_err() {
                bail!("a worker panicked; its message stands above");
            }
        }
        Ok(())
    })
}
