//! The program, called on a small run.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{tiny, train};

/// A run of three steps.
pub(crate) fn trained(dir: &Path) -> PathBuf {
    let run = dir.join("run");
    train(tiny(&["run.length=\"3 steps\"", "schedule.warmup=never"]), &run, false, None);
    run
}

/// Exit code, standard output and standard error of a command on the tiny data.
pub(crate) fn call(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_smog-trainer")).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

pub(crate) fn on(run: &Path, command: &[&str], more: &[&str]) -> (i32, String, String) {
    let run = [run.to_str().unwrap(), "--data", "synthetic:60:32"];
    call(&[command, &run, more].concat())
}

pub(crate) fn done(run: &Path, command: &[&str], more: &[&str]) -> String {
    let (code, out, err) = on(run, command, more);
    assert_eq!(code, 0, "{command:?} {more:?}: {out}{err}");
    out
}

/// The JSON files of a folder of results whose names begin so.
pub(crate) fn results(dir: &Path, prefix: &str) -> Vec<Value> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(prefix) && name.ends_with(".json")
        })
        .map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
        .collect()
}

/// The encoder of a run as a file beside the run.
pub(crate) fn exported(run: &Path) -> PathBuf {
    let file = run.with_file_name("encoder.safetensors");
    let (code, _, err) = call(&["export", run.to_str().unwrap(), "--out", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    file
}
