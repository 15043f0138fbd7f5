//! Traces of the bench: what is in the file, also after Ctrl-C.
#![expect(clippy::unwrap_used, reason = "a failure in here is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Folder, tools};

/// Names of the stages' spans and of what else is drawn.
const NAMES: [&str; 8] =
    ["read", "fetch", "decode", "augment", "collate", "take", "ready_batches", "resident_bytes"];

fn bench(seconds: &str, trace: &str) -> Vec<String> {
    let args = [
        "bench",
        "pipeline",
        "--data",
        "synthetic",
        "--preset",
        "2x32",
        "--workers",
        "2",
        "--batch",
        "16",
        "--warmup-seconds",
        "0",
        "--seconds",
        seconds,
        "--trace",
        trace,
    ];
    args.map(str::to_owned).to_vec()
}

/// The events of a whole trace; fails where spans of a thread cross.
fn events(path: &str) -> Vec<Value> {
    let events: Vec<Value> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let mut spans: BTreeMap<u64, Vec<(f64, f64)>> = BTreeMap::new();
    for event in events.iter().filter(|event| event["ph"] == "X") {
        let begin = event["ts"].as_f64().unwrap();
        let end = begin + event["dur"].as_f64().unwrap();
        spans.entry(event["tid"].as_u64().unwrap()).or_default().push((begin, end));
    }
    for spans in spans.values_mut() {
        spans.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
        let mut open: Vec<f64> = Vec::new();
        for &(begin, end) in &*spans {
            // Times are written to the nanosecond, so a span may seem to end just after the one around it.
            open.retain(|&outer| outer > begin + 0.002);
            assert!(
                open.last().is_none_or(|&outer| end <= outer + 0.002),
                "spans cross at {begin}"
            );
            open.push(end);
        }
    }
    events
}

fn names(events: &[Value]) -> BTreeSet<&str> {
    events.iter().filter_map(|event| event["name"].as_str()).collect()
}

fn threads(events: &[Value]) -> BTreeSet<&str> {
    let named = events.iter().filter(|event| event["name"] == "thread_name");
    named.filter_map(|event| event["args"]["name"].as_str()).collect()
}

#[test]
fn a_trace_shows_every_stage_on_the_thread_that_does_it() {
    let folder = Folder::new();
    let path = folder.path("trace.json");
    let args = bench("1", &path);
    let run = tools(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("ui.perfetto.dev"), "{run:?}");
    let events = events(&path);
    let names = names(&events);
    for name in NAMES {
        assert!(names.contains(name), "{name} is missing in {names:?}");
    }
    for thread in ["smog-read", "smog-fetch", "smog-render-0", "smog-render-1", "trainer"] {
        assert!(threads(&events).contains(thread), "{thread} is missing in {:?}", threads(&events));
    }
}

#[test]
fn a_trace_is_whole_after_ctrl_c() {
    let folder = Folder::new();
    let path = folder.path("trace.json");
    let mut child = Command::new(env!("CARGO_BIN_EXE_smog-tools"))
        .args(bench("600", &path))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let written = || fs::metadata(&path).is_ok_and(|file| file.len() > 0);
    while !written() || child.try_wait().unwrap().is_some() {
        assert!(started.elapsed() < Duration::from_secs(120), "no trace");
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_secs(240) {
            child.kill().unwrap();
            panic!("Ctrl-C did not end it");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("interrupted"), "{stderr}");
    assert!(names(&events(&path)).contains("decode"));
}
