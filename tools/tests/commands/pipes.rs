//! Readers that leave, as `| head` does.

use std::process::{Command, Stdio};

use crate::support::{Folder, tools};

#[test]
fn a_reader_that_left_ends_the_command_without_a_word() {
    let folder = Folder::new();
    folder.classes("src", &["ant", "bee"], 3);
    let out = folder.path("out");
    let sharded = tools(&["shard", &folder.path("src"), "--out", &out]);
    assert_eq!(sharded.code, 0, "{sharded:?}");
    let synthetic = ["bench", "stage", "fetch", "--data", "synthetic", "--seconds", "0.1"];
    for args in [&["inspect", &out][..], &["verify", &out], &synthetic] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let run = Command::new(env!("CARGO_BIN_EXE_smog-tools"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(141), "{args:?}: {stderr}");
        assert!(!stderr.contains("panicked") && !stderr.contains("error"), "{args:?}: {stderr}");
    }
}

#[test]
fn work_goes_on_where_nobody_reads_the_messages() {
    let folder = Folder::new();
    folder.classes("src", &["ant", "bee"], 3);
    let out = folder.path("out");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = Command::new(env!("CARGO_BIN_EXE_smog-tools"))
        .args(["shard", &folder.path("src"), "--out", &out])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(tools(&["verify", &out]).code, 0);
}

#[test]
fn a_full_disk_behind_the_output_is_an_error() {
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else {
        eprintln!("SKIPPED: there is no /dev/full");
        return;
    };
    let folder = Folder::new();
    folder.classes("src", &["ant"], 3);
    let run = Command::new(env!("CARGO_BIN_EXE_smog-tools"))
        .args(["shard", &folder.path("src"), "--out", &folder.path("out")])
        .stdin(Stdio::null())
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cannot write to standard output"), "{stderr}");
}
