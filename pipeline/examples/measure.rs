//! Measures decoders and the renderer over a folder of images, on one thread.
//!
//! ```text
//! cargo run --release -p smog-pipeline --example measure -- decode FOLDER   images/s of each decoder
//! cargo run --release -p smog-pipeline --example measure -- render FOLDER   images/s of whole samples
//! cargo run --release -p smog-pipeline --example measure -- scaled FOLDER   what reduced decoding changes and saves
//! cargo run --release -p smog-pipeline --example measure -- survey FOLDER   what each decoder says of each file
//! ```
//!
//! Times are those the CPU spent on this process (all its threads), so that a busy machine distorts them less.

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use smog_pipeline::augment::{CropRule, Recipe, SamplePlan};
use smog_pipeline::codec::{DecodeLimits, DecodeRequest, DecoderKind, Pixels, decoder, probe};
use smog_pipeline::render::sample::{RenderSettings, RenderTimings, RowViews, SampleRenderer};
use smog_pipeline::sample::{ImageMeta, Ordinal, SampleId, SampleKey};

/// Seconds of CPU time of all threads so far; wall-clock time where the system does not tell.
fn cpu_seconds(start: Instant) -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanos: u64 = threads
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum();
    if nanos > 0 { nanos as f64 / 1e9 } else { start.elapsed().as_secs_f64() }
}

struct File {
    name: String,
    bytes: Vec<u8>,
}

fn read(folder: &Path, files: &mut Vec<File>) -> std::io::Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_type()?.is_dir() {
            read(&entry.path(), files)?;
        } else {
            let name = entry.path().display().to_string();
            files.push(File { name, bytes: std::fs::read(entry.path())? });
        }
    }
    Ok(())
}

const USAGE: &str = "usage: measure decode|render|scaled|survey FOLDER";

struct Views(Vec<Vec<u8>>);

impl RowViews for Views {
    fn view(&mut self, index: usize) -> &mut [u8] {
        &mut self.0[index]
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, folder] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let mut files = Vec::new();
    read(Path::new(folder), &mut files)?;
    match mode.as_str() {
        "decode" => decode(&files),
        "render" => render(&files),
        "survey" => survey(&files),
        "scaled" => scaled(&files),
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

fn good(files: &[File]) -> Vec<(&File, ImageMeta)> {
    files.iter().filter_map(|file| Some((file, probe(&file.bytes).ok()?))).collect()
}

/// Decoders take turns, so that a slow spell of the machine hits all of them.
fn decode(files: &[File]) {
    let (files, clock) = (good(files), Instant::now());
    let mut decoders = DecoderKind::ALL.map(|kind| decoder(kind, DecodeLimits::default()));
    let mut seconds = vec![Vec::new(); decoders.len()];
    let mut pixels = Pixels::default();
    for _ in 0..5 {
        for (decoder, seconds) in decoders.iter_mut().zip(&mut seconds) {
            let before = cpu_seconds(clock);
            for (file, meta) in &files {
                if let Err(error) =
                    decoder.decode(&file.bytes, meta, &DecodeRequest::WHOLE, &mut pixels)
                {
                    println!("{}: {}: {error}", decoder.name(), file.name);
                }
            }
            seconds.push(cpu_seconds(clock) - before);
        }
    }
    for (decoder, mut seconds) in decoders.iter().zip(seconds) {
        seconds.sort_by(f64::total_cmp);
        let rate = |seconds: f64| files.len() as f64 / seconds;
        let (median, best) = (rate(seconds[seconds.len() / 2]), rate(seconds[0]));
        println!(
            "{:<13} {median:8.1} images/s (median of 5 rounds), best {best:8.1}",
            decoder.name()
        );
    }
}

fn render(files: &[File]) {
    let (files, clock) = (good(files), Instant::now());
    let recipe = Recipe::preset("smog_multicrop").expect("a preset");
    let sizes = recipe.view_sizes();
    let mut views = Views(sizes.iter().map(|&side| vec![0; (3 * side * side) as usize]).collect());
    for scaled_decode in [false, true] {
        let settings = RenderSettings { scaled_decode, ..RenderSettings::default() };
        let mut renderer = SampleRenderer::new(&settings);
        let (mut plan, mut rounds) = (SamplePlan::default(), Vec::new());
        for epoch in 0..5 {
            let (before, mut timings) = (cpu_seconds(clock), RenderTimings::default());
            for (sample, (file, meta)) in (0u32..).zip(&files) {
                let ordinal = Ordinal(sample.into());
                let key = SampleKey { epoch, ordinal, sample: SampleId(sample), attempt: 0 };
                recipe.draw(1, &key, &settings.displayed(meta), &mut plan);
                if let Err(error) =
                    renderer.render(&file.bytes, meta, &plan, &mut views, &mut timings)
                {
                    println!("{}: {error}", file.name);
                }
            }
            rounds.push((cpu_seconds(clock) - before, timings));
        }
        rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (seconds, RenderTimings { decode_nanos, augment_nanos }) = rounds[rounds.len() / 2];
        let each = 1e3 * seconds / files.len() as f64;
        let decode = each * decode_nanos as f64 / (decode_nanos + augment_nanos) as f64;
        println!(
            "scaled_decode {scaled_decode}: {:.1} images/s a thread; an image: decode {decode:.3} ms, augment {:.3} ms",
            1e3 / each,
            each - decode,
        );
    }
}

/// Views of the same plans from full and from reduced decodes.
fn scaled(files: &[File]) {
    let files = good(files);
    let mut only_crop = Recipe::smog();
    only_crop.views.truncate(1);
    only_crop.views[0] = Recipe::center(224, 224).views.remove(0);
    only_crop.views[0].crop =
        CropRule::RandomResized { scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] };
    let mut small = Recipe::smog().with_small(4, 96);
    small.views.remove(0);
    small.views.remove(0);
    let recipes = [
        ("one 224 view", only_crop),
        ("2 x 224", Recipe::smog()),
        ("2 x 224 + 4 x 96", Recipe::smog().with_small(4, 96)),
        ("4 x 96", small),
    ];
    for (name, recipe) in recipes {
        let sizes = recipe.view_sizes();
        let buffers =
            || Views(sizes.iter().map(|side| vec![0; (3 * side * side) as usize]).collect());
        let mut views = [false, true].map(|scaled_decode| {
            let settings = RenderSettings { scaled_decode, ..RenderSettings::default() };
            (SampleRenderer::new(&settings), buffers(), RenderTimings::default())
        });
        let mut plan = SamplePlan::default();
        let (mut changed, mut values) = (0, 0.0);
        let (mut sum, mut squares, mut largest) = (0, 0, 0);
        for (sample, (file, meta)) in (0u32..).zip(&files) {
            let ordinal = Ordinal(sample.into());
            let key = SampleKey { epoch: 0, ordinal, sample: SampleId(sample), attempt: 0 };
            recipe.draw(1, &key, meta, &mut plan);
            for (renderer, views, timings) in &mut views {
                if let Err(error) = renderer.render(&file.bytes, meta, &plan, views, timings) {
                    println!("{}: {error}", file.name);
                }
            }
            let (full, reduced) = (&views[0].1.0, &views[1].1.0);
            if full == reduced {
                continue;
            }
            changed += 1;
            for (a, b) in full.iter().flatten().zip(reduced.iter().flatten()) {
                let difference = u64::from(a.abs_diff(*b));
                (values, sum) = (values + 1.0, sum + difference);
                squares += difference * difference;
                largest = largest.max(difference);
            }
        }
        let seconds =
            |timings: &RenderTimings| (timings.decode_nanos + timings.augment_nanos) as f64 * 1e-9;
        let values = f64::max(values, 1.0);
        println!(
            "{name:<17} {changed} of {} samples reduced; there mean difference {:.2}, largest \
             {largest}, PSNR {:.1} dB; time {:.3} of full",
            files.len(),
            sum as f64 / values,
            10.0 * (255.0 * 255.0 * values / (squares.max(1) as f64)).log10(),
            seconds(&views[1].2) / seconds(&views[0].2),
        );
    }
}

fn survey(files: &[File]) {
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    let mut pixels = DecoderKind::ALL.map(|_| Pixels::default());
    let mut slowest = (Duration::ZERO, String::new());
    for file in files {
        let meta = match probe(&file.bytes) {
            Ok(meta) => meta,
            Err(error) => {
                println!("{}: {error}", file.name);
                *kinds.entry(format!("header: {}", error.kind())).or_default() += 1;
                continue;
            }
        };
        let mut outcome = Vec::new();
        let mut texts = Vec::new();
        for (kind, pixels) in DecoderKind::ALL.into_iter().zip(&mut pixels) {
            let start = Instant::now();
            let result = decoder(kind, DecodeLimits::default()).decode(
                &file.bytes,
                &meta,
                &DecodeRequest::WHOLE,
                pixels,
            );
            if start.elapsed() > slowest.0 {
                slowest = (start.elapsed(), format!("{kind} on {}", file.name));
            }
            outcome.push(result.as_ref().map_or_else(|error| error.kind(), |()| "image"));
            texts.push(result.map_or_else(|error| error.to_string(), |()| "image".into()));
        }
        let differ = outcome.iter().any(|word| *word != outcome[0]);
        if differ {
            println!("{}: {texts:?}", file.name);
        } else if outcome[0] == "image" {
            let largest = |other: &Pixels| {
                let pairs = pixels[0].data.iter().zip(&other.data);
                pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
            };
            let (zune, rust) = (largest(&pixels[1]), largest(&pixels[2]));
            if zune.max(rust) > 16 {
                println!("{}: pixels differ by up to {zune} and {rust}: {meta:?}", file.name);
            }
        }
        *kinds.entry(format!("{outcome:?}")).or_default() += 1;
    }
    for (outcome, count) in kinds {
        println!("{count:6} {outcome}");
    }
    println!("slowest: {:.3} s, {}", slowest.0.as_secs_f64(), slowest.1);
}
