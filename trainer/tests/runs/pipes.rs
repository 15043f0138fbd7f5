//! Readers that leave, as `| head` does.

use std::process::{Command, Stdio};

use crate::program::command;
use crate::support::events;

#[test]
fn a_reader_that_left_ends_a_command_without_a_word() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let run = Command::new(env!("CARGO_BIN_EXE_smog-trainer"))
        .arg("presets")
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(141));
    assert_eq!(String::from_utf8_lossy(&run.stderr), "");
}

#[test]
fn a_run_whose_log_has_lost_its_reader_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let out = writer.try_clone().unwrap();
    let mut run = command(&path, &["--steps", "3", "--set", "schedule.warmup=never"]);
    let status = run.stdout(out).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(events(&path, "step").len(), 3);
}
