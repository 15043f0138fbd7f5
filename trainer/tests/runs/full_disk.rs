//! Runs on a full disk. A limit on the size of files stands in for it.

use std::process::{Command, Stdio};

use crate::program::{command, resume, run};

/// The same program, none of whose files may grow beyond so many blocks.
fn limited(program: &Command, blocks: u64) -> Command {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).arg(program.get_program()).args(program.get_args());
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
