//! What the tests of the commands share: folders of images, running the program, looking at results.
#![expect(clippy::unwrap_used, reason = "a failure in here is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jpeg_encoder::{ColorType, Encoder};
use serde_json::{Value, json};

/// A temporary folder.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, relative: &str) -> String {
        self.0.path().join(relative).to_str().unwrap().to_owned()
    }

    /// Class folders with small JPEGs of different sizes.
    pub(crate) fn classes(&self, root: &str, classes: &[&str], per_class: u32) {
        for (label, class) in classes.iter().enumerate() {
            let dir = self.0.path().join(root).join(class);
            fs::create_dir_all(&dir).unwrap();
            for number in 0..per_class {
                let bytes = jpeg(16 + number as u16 % 9, 24, number + 1000 * label as u32);
                fs::write(dir.join(format!("{number:03}.jpg")), bytes).unwrap();
            }
        }
    }
}

/// A JPEG of coloured noise.
pub(crate) fn jpeg(width: u16, height: u16, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
    let pixels: Vec<u8> = (0..u32::from(width) * u32::from(height) * 3)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes, 85).encode(&pixels, width, height, ColorType::Rgb).unwrap();
    bytes
}

/// What came of a run of the program.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the program; five minutes are a hang.
pub(crate) fn tools(args: &[&str]) -> Run {
    tools_in_time(args, Duration::from_secs(300))
}

/// Runs the program and fails where it takes longer.
pub(crate) fn tools_in_time(args: &[&str], limit: Duration) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_smog-tools"))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    // What the commands print here fits into a pipe, so waiting before reading cannot block them.
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > limit {
            child.kill().unwrap();
            panic!("smog-tools {args:?} did not end within {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs of the program that are killed on their way, however fast the machine is.
pub(crate) struct Kills {
    /// What a run takes, by what was seen so far.
    takes: Duration,
    /// Runs that had not ended.
    pub(crate) killed: u32,
}

impl Kills {
    pub(crate) fn new(takes: Duration) -> Self {
        Self { takes, killed: 0 }
    }

    /// Kills a run after `share` of what one takes; gives whether it was still under way.
    pub(crate) fn kill(&mut self, args: &[&str], share: f64) -> bool {
        let mut child = Command::new(env!("CARGO_BIN_EXE_smog-tools"))
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(self.takes.mul_f64(share));
        child.kill().unwrap();
        let is_killed = !child.wait().unwrap().success();
        if is_killed {
            self.killed += 1;
        } else {
            self.takes = self.takes.mul_f64(0.7);
        }
        is_killed
    }
}

/// The manifest in a folder.
pub(crate) fn manifest(dir: &str) -> Value {
    serde_json::from_slice(&fs::read(format!("{dir}/manifest.json")).unwrap()).unwrap()
}

/// All visible files of a folder by name.
pub(crate) fn contents(dir: &str) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .filter(|(name, _)| !name.starts_with('.'))
        .map(|(name, path): (String, PathBuf)| (name, fs::read(path).unwrap()))
        .collect()
}

/// Names of the shards in a folder, sorted.
pub(crate) fn shards(dir: &str) -> Vec<String> {
    contents(dir).into_keys().filter(|name| name.ends_with(".parquet")).collect()
}

/// Writes the record of a finished shard, with what the finished data set's manifest says of it.
pub(crate) fn write_record(
    dir: &str,
    index: usize,
    finished: &BTreeMap<String, Vec<u8>>,
    shard: &str,
) {
    let manifest: Value = serde_json::from_slice(&finished["manifest.json"]).unwrap();
    let entry = manifest["shards"].as_array().unwrap().iter().find(|entry| entry["file"] == shard);
    let record = json!({
        "shard": entry.unwrap(),
        "figures": {
            "images": 1, "width": manifest["sizes"]["width"], "height": manifest["sizes"]["height"],
            "max_pixels": 1, "sum_pixels": 1, "max_bytes": 1,
        },
        "refused": [],
    });
    fs::write(format!("{dir}/.shard-{index:05}.json"), record.to_string()).unwrap();
}
