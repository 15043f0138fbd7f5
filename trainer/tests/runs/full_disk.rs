//! Runs on a full disk. A limit on the size of files stands in for it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::program::{BINARY, command, resume, run};

/// Bytes in a unit of that limit.
const BLOCK: u64 = 512;

/// The same program, none of whose files may grow beyond so many blocks.
fn limited(program: &Command, blocks: u64) -> Command {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).arg(program.get_program()).args(program.get_args());
    shell.stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

/// The command that the last line of the output ends with, as pasted into a shell.
fn pasted(said: &str) -> Command {
    let command = said.lines().last().unwrap().split("go on with: ").nth(1).unwrap();
    let programs = Path::new(BINARY).parent().unwrap().display();
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("PATH='{programs}':\"$PATH\"; {command}")]);
    shell.stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

#[test]
fn a_disk_that_is_full_leaves_the_last_good_checkpoint_and_no_half_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("my run");
    let (code, text) = run(&mut command(&path, &["--steps", "2", "--quiet"]));
    assert_eq!(code, Some(0), "{text}");
    // The metrics fit, the checkpoint does not.
    let longer = ["--steps", "4", "--allow-change", "run.length"];
    let (code, text) = run(&mut limited(&resume(&path, &longer), 64));
    assert_eq!(code, Some(1), "{text}");
    let said = text.lines().last().unwrap();
    assert!(said.starts_with("error: the checkpoint of step 4 was not saved ("), "{text}");
    assert!(said.contains("; the last good one is that of step 2. Make room"), "{text}");
    assert!(said.ends_with(&format!("run --resume '{}'", path.display())), "{text}");
    let left = std::fs::read_dir(path.join("checkpoints")).unwrap().flatten();
    let mut left: Vec<_> = left.map(|entry| entry.file_name().into_string().unwrap()).collect();
    left.sort();
    assert_eq!(left, ["latest", "step-00000002"]);
    let (code, text) = run(&mut resume(&path, &longer));
    assert_eq!(code, Some(0), "with room it goes on: {text}");
}

#[test]
fn metrics_without_room_end_a_run_after_its_state_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("my run");
    let (code, text) = run(&mut command(&path, &["--steps", "2", "--quiet"]));
    assert_eq!(code, Some(0), "{text}");
    // Metrics that are nearly as large as a file may be, and much larger than a checkpoint.
    let (blocks, room) = (16_384, 1000);
    let mut metrics = OpenOptions::new().append(true).open(path.join("metrics.jsonl")).unwrap();
    metrics.set_len(blocks * BLOCK - room).unwrap();
    metrics.write_all(b"\n").unwrap();
    let longer = ["--steps", "6", "--allow-change", "run.length"];
    let (code, text) = run(&mut limited(&resume(&path, &longer), blocks));
    assert_eq!(code, Some(1), "{text}");
    let said = text.lines().last().unwrap();
    assert!(said.contains("metrics.jsonl cannot be written any more (File too large"), "{text}");
    assert!(said.contains("the run ends after step 3, with its state saved. Make room"), "{text}");
    assert!(path.join("checkpoints/step-00000003").is_dir());
    let (code, text) = run(&mut pasted(&text));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("resuming after step 3"), "{text}");
    assert!(path.join("checkpoints/step-00000006").is_dir());
}
