//! Unusual, damaged and hostile JPEGs from the test suites of other decoders, through all three of ours. In a file
//! of its own: it measures the memory of the process.
//!
//! The archive lies beside the clone, in `../shared/data/odd-jpegs.tar.xz`; it is not ours to commit. For what its
//! valid files must give, see `golden/make_odd_jpegs.py`. `make sanitize-decoders` decodes the same files
//! under AddressSanitizer.
#![expect(clippy::unwrap_used, reason = "a failure in here is a failed test")]
#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test says what it measured or why it was skipped"
)]
#![cfg(target_os = "linux")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use serde::Deserialize;
use smog_pipeline::codec::{CodecError, DamagePolicy, DecodeLimits, DecoderKind, Pixels, probe};
use support::{Tool, difference};

/// Longest time for one file with one decoder; generous, it only has to be shorter than a hang.
const HANG: Duration = Duration::from_secs(120);
/// What a decode may take beside [`DecoderKind::decode_bytes`]: tables, rows of blocks, threads.
const SLACK_BYTES: u64 = 24 << 20;

/// The unpacked archive, or nothing where it is absent.
fn archive() -> Option<(tempfile::TempDir, PathBuf)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/odd-jpegs.tar.xz");
    if !path.is_file() {
        println!("SKIPPED: {} is absent, so odd JPEGs were NOT decoded", path.display());
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    // Python is there wherever the project was set up, and reads xz without further programs.
    let unpack = ["-m", "tarfile", "-e"];
    let status = Command::new("python3").args(unpack).arg(&path).arg(dir.path()).status();
    match status {
        Ok(status) if status.success() => {
            let root = dir.path().join("odd-jpegs");
            Some((dir, root))
        }
        failed => {
            println!("SKIPPED: python3 cannot unpack {} ({failed:?})", path.display());
            None
        }
    }
}

/// Names and contents of the files in a folder, in order.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// One expectation of `golden/odd_jpegs.json`.
#[derive(Deserialize)]
struct Valid {
    file: String,
    refused: Option<String>,
    #[serde(default)]
    width: u32,
    #[serde(default)]
    height: u32,
    /// Pixels at some places, as hexadecimal RGB.
    #[serde(default)]
    points: String,
    /// What libjpeg-turbo says when it refuses it; with filling in it has these pixels.
    damaged: Option<String>,
}

/// The pixels at the places of `make_odd_jpegs.py`.
fn points(data: &[u8], width: u32, height: u32, num: usize) -> Vec<u8> {
    let pixels = u64::from(width) * u64::from(height);
    let place = |number: u64| (((number * 2_654_435_761 % (1 << 32)) * pixels) >> 32) as usize;
    (0..num as u64).flat_map(|number| data[3 * place(number)..][..3].to_vec()).collect()
}

#[test]
fn odd_jpegs_decode_or_are_refused_and_nothing_worse() {
    let Some((_dir, root)) = archive() else { return };
    valid_files_have_the_pixels_of_libjpeg_turbo(&root);
    for kind in DecoderKind::ALL {
        no_file_hangs_or_takes_more_memory_than_its_pixels_need(kind, &root);
    }
}

fn valid_files_have_the_pixels_of_libjpeg_turbo(root: &Path) {
    let table: Vec<Valid> = serde_json::from_str(include_str!("golden/odd_jpegs.json")).unwrap();
    let mut contents: BTreeMap<_, _> = files(&root.join("valid")).into_iter().collect();
    assert!(table.len() >= 48);
    let fill = DecodeLimits { damaged: DamagePolicy::Fill, ..DecodeLimits::default() };
    let mut reference = Tool::new(DecoderKind::TurboJpeg, fill);
    let mut tools = DecoderKind::ALL.map(|kind| (kind, Tool::new(kind, DecodeLimits::default())));
    let mut failures = Vec::new();
    for entry in table {
        let file = &entry.file;
        let encoded = contents.remove(file).unwrap_or_else(|| panic!("{file} is not there"));
        if let Some(reason) = entry.refused.as_ref() {
            for (kind, tool) in &mut tools {
                let error = tool.probe_and_decode(&encoded).map(|_| ()).unwrap_err();
                assert_eq!(error.kind(), "unsupported", "{kind} {file}: {error}");
                assert!(error.to_string().contains(reason), "{kind} {file}: {error}");
            }
            continue;
        }
        let expected: Vec<u8> = (0..entry.points.len() / 2)
            .map(|at| u8::from_str_radix(&entry.points[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        let (meta, pixels) = match reference.probe_and_decode(&encoded) {
            Ok(decoded) => decoded,
            Err(error) => {
                failures.push(format!("reference {file}: {error}"));
                continue;
            }
        };
        assert_eq!((meta.width, meta.height), (entry.width, entry.height), "{file}");
        let found = points(&pixels.data, meta.width, meta.height, expected.len() / 3);
        let (largest, _) = difference(&found, &expected);
        if largest > 2 {
            failures.push(format!("{file}: {largest} from PIL"));
        }
        for (kind, tool) in &mut tools {
            match (tool.decode(&encoded, &meta), &entry.damaged) {
                (Ok(_), Some(_)) if *kind == DecoderKind::TurboJpeg => {
                    failures.push(format!("{kind} {file}: not refused"));
                }
                // Damage that the other libraries do not notice: they fill in as it comes.
                (Ok(_), Some(_)) => {}
                (Ok(found), None) => {
                    let (largest, mean) = difference(&found.data, &pixels.data);
                    if largest > 2 {
                        println!("{kind:<13} {file:<28} max {largest:>3}  mean {mean:.3}");
                    }
                    if largest > 2 {
                        failures.push(format!("{kind} {file}: {largest}"));
                    }
                }
                (Err(error), Some(reason)) => {
                    assert_eq!(error.kind(), "damaged", "{kind} {file}: {error}");
                    let reference = *kind == DecoderKind::TurboJpeg;
                    assert!(!reference || error.to_string().contains(reason), "{file}: {error}");
                }
                (Err(error), None) => failures.push(format!("{kind} {file}: {error}")),
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(contents.is_empty(), "not in the table: {:?}", contents.keys());
}

/// What happened to the files of one decoder.
#[derive(Default)]
struct Tally {
    decoded: u32,
    refused: BTreeMap<&'static str, u32>,
    slowest: (Duration, String),
    /// Most memory beside what the pixels of the image account for.
    most_extra: (u64, String),
}

fn no_file_hangs_or_takes_more_memory_than_its_pixels_need(kind: DecoderKind, root: &Path) {
    let mut tally = Tally::default();
    let good = fs::read(root.join("valid/jpg-size-33x33.jpg")).unwrap();
    let current: Mutex<(String, Instant)> = Mutex::new((String::new(), Instant::now()));
    let (done, ended) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let current = &current;
        scope.spawn(move || {
            // A thread that hangs cannot be ended: the last words, then the process.
            while ended.recv_timeout(Duration::from_secs(1)) == Err(mpsc::RecvTimeoutError::Timeout)
            {
                let (file, since) = &*current.lock().unwrap_or_else(PoisonError::into_inner);
                if since.elapsed() > HANG {
                    eprintln!("{kind} hangs at {file}");
                    std::process::abort();
                }
            }
        });
        let _done = done;
        for damaged in [DamagePolicy::Refuse, DamagePolicy::Fill] {
            let limits = DecodeLimits { damaged, ..DecodeLimits::default() };
            let mut tool = Tool::new(kind, limits);
            for folder in ["corrupt", "valid"] {
                for (name, encoded) in files(&root.join(folder)) {
                    *current.lock().unwrap_or_else(PoisonError::into_inner) =
                        (format!("{folder}/{name}"), Instant::now());
                    one(kind, &mut tool, name.clone(), &encoded, &mut tally);
                    // A worker goes on with the same decoder: no file may spoil it for the next.
                    if let Err(error) = tool.probe_and_decode(&good) {
                        panic!("{kind} does not decode a good image after {name}: {error}");
                    }
                }
            }
        }
    });
    let refused: u32 = tally.refused.values().sum();
    println!(
        "{kind}: {} decoded, {refused} refused {:?}; slowest {:?} ({}); {} KiB beside the pixels ({})",
        tally.decoded,
        tally.refused,
        tally.slowest.0,
        tally.slowest.1,
        tally.most_extra.0 >> 10,
        tally.most_extra.1,
    );
    assert!(tally.decoded + refused > 3000, "both passes over all files");
    let (extra, file) = tally.most_extra;
    assert!(extra <= SLACK_BYTES, "{kind} took {extra} bytes beside the pixels of {file}");
}

fn one(kind: DecoderKind, tool: &mut Tool, name: String, encoded: &[u8], tally: &mut Tally) {
    tool.pixels = Pixels::default();
    let before = restart_peak();
    let started = Instant::now();
    let meta = probe(encoded);
    let result: Result<u64, CodecError> = meta.clone().and_then(|meta| {
        let pixels = tool.decode(encoded, &meta)?;
        assert_eq!((pixels.width, pixels.height), (meta.width, meta.height), "{name}");
        assert_eq!(pixels.data.len() as u64, 3 * u64::from(meta.width) * u64::from(meta.height));
        Ok(u64::from(meta.width) * u64::from(meta.height))
    });
    let took = started.elapsed();
    if let (Some(before), Some(peak)) = (before, status_bytes("VmHWM:")) {
        // What is over the limit must not take any.
        let most = match (&meta, &result) {
            (Ok(meta), Ok(_) | Err(CodecError::Damaged { .. })) => kind.decode_bytes(meta),
            _ => 0,
        };
        let extra = peak.saturating_sub(before).saturating_sub(most);
        if extra > tally.most_extra.0 {
            tally.most_extra = (extra, name.clone());
        }
    }
    if took > tally.slowest.0 {
        tally.slowest = (took, name);
    }
    match result {
        Ok(pixels) => {
            assert!(pixels <= DecodeLimits::default().max_pixels);
            tally.decoded += 1;
        }
        Err(error) => *tally.refused.entry(error.kind()).or_default() += 1,
    }
}

/// Makes the kernel forget the peak of resident memory; gives what is resident now.
fn restart_peak() -> Option<u64> {
    fs::write("/proc/self/clear_refs", "5").ok()?;
    status_bytes("VmRSS:")
}

fn status_bytes(key: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}
