//! `smog-tools verify`: is a data set what its manifest says, and does every image decode?

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, bail};
use smog_pipeline::codec::{DecodeLimits, DecoderKind, ImageDecoder, Pixels, decoder, probe};
use smog_pipeline::manifest::{MANIFEST_FILE, Manifest, list_splits};
use smog_pipeline::sample::{ImageFlags, ImageMeta, RowGroupId};
use smog_pipeline::source::{ParquetSource, RowGroup, Source as _};

use crate::progress::Progress;
use crate::text;

/// Problems that are printed one by one.
const NAMED_PROBLEMS: usize = 50;

/// Arguments of `smog-tools verify`.
#[derive(clap::Args)]
#[command(after_help = "\
Checks every split: the manifest, length and BLAKE3 digest of each shard, columns, row counts, labels, that
each image's header says what the shard says, and that each image decodes.

Examples:
  smog-tools verify imagenet-shards
  smog-tools verify imagenet-shards/val --fast

Exit codes: 0 all is well, 1 something is wrong (listed), 2 wrong arguments")]
pub(crate) struct Args {
    /// Folder of a data set, or of one split
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
}

/// The split folders in `dir`, or `dir` itself.
pub(crate) fn split_folders(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if dir.join(MANIFEST_FILE).is_file() {
        return Ok(vec![dir.to_path_buf()]);
    }
    let splits = list_splits(dir);
    if splits.is_empty() {
        // Reading says what stands there instead.
        Manifest::read(dir)?;
        bail!("{} holds no data set", dir.display());
    }
    Ok(splits.into_iter().map(|(_, path)| path).collect())
}

/// Runs the command.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let progress = Progress::new();
    let mut all_well = true;
    for dir in split_folders(&args.dir)? {
        let problems = Problems::default();
        let summary = match verify(&dir, &args, &progress, &problems) {
            Ok(summary) => summary,
            Err(error) => {
                problems.add(format!("{error:#}"));
                String::new()
            }
        };
        progress.finish();
        let problems = problems.into_sorted();
        if problems.is_empty() {
            tell(&format!("{}: {summary}, all is well", dir.display()));
            continue;
        }
        all_well = false;
        tell(&format!("{}: {} problems", dir.display(), text::count(problems.len() as u64)));
        for problem in problems.iter().take(NAMED_PROBLEMS) {
            tell(&format!("  {problem}"));
        }
        if problems.len() > NAMED_PROBLEMS {
            tell(&format!("  and {} more", text::count((problems.len() - NAMED_PROBLEMS) as u64)));
        }
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::from(crate::FAILED) })
}

/// What is wrong, gathered by all workers.
#[derive(Default)]
struct Problems(Mutex<Vec<String>>);

impl Problems {
    fn add(&self, problem: String) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(problem);
    }

    fn into_sorted(self) -> Vec<String> {
        let mut problems = self.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        problems.sort();
        problems
    }
}

fn verify(
    dir: &Path,
    args: &Args,
    progress: &Progress,
    problems: &Problems,
) -> anyhow::Result<String> {
    let manifest = Manifest::read(dir)?;
    let jobs = match args.jobs {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        jobs => jobs,
    };
    check_files(dir, &manifest, problems)?;
    progress.start("digests", manifest.shards.len() as u64, file_bytes(&manifest));
    in_parallel(jobs, manifest.shards.len(), &|index, _: &mut ()| {
        let shard = &manifest.shards[index];
        match check_digest(&dir.join(&shard.file), shard.bytes, &shard.blake3) {
            Ok(None) => {}
            Ok(Some(problem)) => problems.add(format!("{}: {problem}", shard.file)),
            Err(error) => problems.add(format!("{}: {error:#}", shard.file)),
        }
        progress.add(1, shard.bytes);
    })?;
    progress.finish();
    // Names the shard that keeps the rows from being looked at; other shards' digests were checked above.
    let source = ParquetSource::open(dir)?;
    progress.start("images", manifest.num_samples, manifest.image_bytes);
    let limits = DecodeLimits { max_pixels: args.max_pixels };
    in_parallel(jobs, source.row_groups().len(), &|index, tools: &mut Option<Tools>| {
        let tools = tools.get_or_insert_with(|| Tools {
            decoder: decoder(args.decoder, limits),
            pixels: Pixels::default(),
        });
        match source.read(RowGroupId(index as u32)) {
            Ok(group) => {
                let place = source.place(group.id).map_or(String::new(), |(path, number)| {
                    let file = path.file_name().unwrap_or_default().to_string_lossy();
                    format!("{file} row group {number}")
                });
                check_images(&group, &place, (!args.fast).then_some(tools), problems);
            }
            Err(error) => problems.add(format!("{:#}", anyhow::Error::from(error))),
        }
        let info = source.row_groups()[index];
        progress.add(u64::from(info.rows), info.bytes);
    })?;
    Ok(format!(
        "{} images in {} shards{}",
        text::count(manifest.num_samples),
        manifest.shards.len(),
        if args.fast { ", not decoded" } else { ", each decoded" }
    ))
}

fn file_bytes(manifest: &Manifest) -> u64 {
    manifest.shards.iter().map(|shard| shard.bytes).sum()
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
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let listed = manifest.shards.iter().any(|shard| shard.file == name);
        if name.ends_with(".parquet") && !listed {
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
            && let Err(error) = tools.decoder.decode(encoded, meta, 1, &mut tools.pixels)
        {
            say(error.to_string());
        }
    }
}

/// Whether a header and a shard say the same, but for what only the writer of the shard knows.
fn agree(found: &ImageMeta, stored: &ImageMeta) -> bool {
    let notes = ImageFlags::UNCHECKED.with(ImageFlags::DAMAGED).0;
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

#[expect(clippy::print_stdout, reason = "the command's result")]
fn tell(line: &str) {
    println!("{line}");
}
