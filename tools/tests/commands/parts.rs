//! `smog-tools shard --part` and `smog-tools merge`: several machines make the data set that one would make.
#![expect(clippy::unwrap_used, reason = "a failure in here is a failed test")]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Folder, Kills, Run, contents, jpeg, manifest, shards, tools};

const SIZES: [&str; 4] = ["--shard-size", "40kB", "--row-group-size", "15kB"];

/// A source with two splits and three files that are refused, one of them by the listing.
fn source(folder: &Folder) -> String {
    folder.classes("src/train", &["a", "b", "c"], 60);
    folder.classes("src/val", &["b"], 12);
    fs::write(folder.path("src/train/b/broken.jpg"), "x").unwrap();
    fs::write(folder.path("src/train/a/empty.jpg"), "").unwrap();
    fs::write(folder.path("src/train/loose.jpg"), jpeg(20, 20, 1)).unwrap();
    folder.path("src")
}

fn shard(src: &str, out: &str, extra: &[&str]) -> Run {
    tools(&[&["shard", src, "--out", out, "--allow-refused", "9"], &SIZES[..], extra].concat())
}

fn part(src: &str, out: &str, part: &str) -> Run {
    let run = shard(src, out, &["--part", part]);
    assert_eq!(run.code, 0, "{run:?}");
    run
}

fn merge(args: &[&str]) -> Run {
    tools(&[&["merge", "--allow-refused", "9"], args].concat())
}

/// Everything in the folder of a data set, hidden plans included.
fn everything(out: &str) -> Vec<(String, std::collections::BTreeMap<String, Vec<u8>>)> {
    let mut all =
        vec![("card".to_owned(), [("README.md".to_owned(), read(out, "README.md"))].into())];
    for split in ["train", "val"] {
        let mut files = contents(&format!("{out}/{split}"));
        files.insert("plan".to_owned(), read(out, &format!("{split}/.plan.json")));
        let hidden = fs::read_dir(format!("{out}/{split}")).unwrap().count() + 1 - files.len();
        assert_eq!(hidden, 1, "only the plan is hidden in {out}/{split}");
        all.push((split.to_owned(), files));
    }
    all
}

fn read(out: &str, name: &str) -> Vec<u8> {
    fs::read(format!("{out}/{name}")).unwrap()
}

fn spawn(args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_smog-tools"))
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn parts_that_run_together_on_a_shared_disk_merge_to_the_bytes_of_one_run() {
    let folder = Folder::new();
    let src = source(&folder);
    let whole = folder.path("whole");
    assert_eq!(shard(&src, &whole, &[]).code, 0);
    let expected = everything(&whole);
    assert!(expected[1].1.len() > 6, "several shards");
    // More parts than shards, too: those have nothing to do.
    for count in [1, 3, 40] {
        let out = folder.path(&format!("out-{count}"));
        let names: Vec<String> = (1..=count).map(|number| format!("{number}/{count}")).collect();
        let args = |name| [&["shard", &src, "--out", &out, "--part", name], &SIZES[..]].concat();
        let parts: Vec<Child> = names.iter().map(|name| spawn(&args(name))).collect();
        for mut part in parts {
            let code = part.wait().unwrap().code();
            assert!(matches!(code, Some(0 | 3)), "{code:?}");
        }
        assert!(!fs::exists(format!("{out}/train")).unwrap(), "nothing appears before the merge");
        assert_eq!(tools(&["verify", &out]).code, 1);
        let run = merge(&[&out]);
        assert_eq!(run.code, 0, "{run:?}");
        assert_eq!(everything(&out), expected, "{count} parts");
        let left: Vec<_> = fs::read_dir(&out).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(left.len(), 4, "two splits, card and lock: {left:?}");
        // Again: nothing is left to do, for the merge and for a part.
        let again = merge(&[&out]);
        assert!(again.code == 0 && again.stdout.contains("already done"), "{again:?}");
        assert!(part(&src, &out, "1/1").stdout.contains("already done"));
    }
}

#[test]
fn parts_on_disks_of_their_own_are_brought_together() {
    let folder = Folder::new();
    let src = source(&folder);
    let [whole, one, two, out] = ["whole", "one", "two", "out"].map(|name| folder.path(name));
    assert_eq!(shard(&src, &whole, &[]).code, 0);
    part(&src, &one, "1/3");
    part(&src, &two, "2/3");
    part(&src, &two, "3/3");
    // A part that was run twice did the same work twice: that harms nobody.
    part(&src, &one, "3/3");
    let run = merge(&[&out, "--from", &one, "--from", &two]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(everything(&out), everything(&whole));
    assert!(fs::exists(format!("{one}/.train.partial")).unwrap(), "the parts stay where they are");
    let again = merge(&[&out, "--from", &one, "--from", &two]);
    assert!(again.code == 0 && again.stdout.contains("train: already done"), "{again:?}");
}

/// Between file systems there are no hard links, so shards are copied and compared with their digests.
#[test]
fn parts_on_another_file_system_are_copied() {
    let folder = Folder::new();
    let memory = Path::new("/dev/shm");
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    let here = device(Path::new(&folder.path("")));
    let Some(other) = (device(memory).is_some_and(|there| Some(there) != here))
        .then(|| tempfile::tempdir_in(memory).ok())
        .flatten()
    else {
        println!(
            "SKIPPED: no second file system at /dev/shm, so copying between two was NOT tested"
        );
        return;
    };
    let src = source(&folder);
    let [whole, one, out] = ["whole", "one", "out"].map(|name| folder.path(name));
    let two = other.path().join("two").to_str().unwrap().to_owned();
    assert_eq!(shard(&src, &whole, &[]).code, 0);
    part(&src, &one, "1/2");
    part(&src, &two, "2/2");
    // A shard that is not what its record says is not taken over.
    let partial = format!("{two}/.train.partial");
    let copied = fs::read_dir(&partial).unwrap().flatten().map(|entry| entry.path());
    let copied = copied.filter(|path| path.extension().is_some_and(|end| end == "parquet")).min();
    let copied = copied.expect("a shard of the second part");
    let good = fs::read(&copied).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    fs::write(&copied, bad).unwrap();
    let run = merge(&[&out, "--from", &one, "--from", &two]);
    assert!(run.code != 0 && run.stderr.contains("has the digest"), "{run:?}");
    assert!(!fs::exists(format!("{out}/train")).unwrap(), "nothing appears");
    fs::write(&copied, good).unwrap();
    let run = merge(&[&out, "--from", &one, "--from", &two]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(everything(&out), everything(&whole));
    assert!(copied.exists(), "the parts stay where they are");
}

#[test]
fn refused_files_of_all_parts_are_in_one_report_and_set_the_exit_code() {
    let folder = Folder::new();
    let src = source(&folder);
    let out = folder.path("out");
    let codes: Vec<i32> = ["1/2", "2/2"]
        .map(|part| tools(&["shard", &src, "--out", &out, "--part", part]).code)
        .to_vec();
    assert!(codes.contains(&3), "one of the parts met the broken files: {codes:?}");
    let run = tools(&["merge", &out]);
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stdout.contains("3 of 195 files were refused"), "{run:?}");
    assert_eq!(String::from_utf8(read(&out, "train/refused.jsonl")).unwrap().lines().count(), 3);
    assert_eq!(manifest(&format!("{out}/train"))["num_refused"], 3);
    assert_eq!(tools(&["merge", &out, "--allow-refused", "3"]).code, 0);
}

#[test]
fn a_merge_names_what_is_missing_or_does_not_go_together() {
    let folder = Folder::new();
    let src = source(&folder);
    let [out, other] = ["out", "other"].map(|name| folder.path(name));
    let refuses = |args: &[&str], text: &str| {
        let run = merge(args);
        assert!(run.code == 1 && run.stderr.contains(text), "{text}: {run:?}");
        assert!(!fs::exists(format!("{out}/train")).unwrap(), "{args:?}");
    };
    refuses(&[&out], "no such folder");
    fs::create_dir(&out).unwrap();
    refuses(&[&out], "holds no parts");
    part(&src, &out, "1/3");
    part(&src, &out, "3/3");
    refuses(&[&out], "2/3 is missing");
    part(&src, &out, "2/3");
    let partial = format!("{out}/.train.partial");
    let cut = shards(&partial).pop().unwrap();
    let bytes = read(&partial, &cut);
    fs::write(format!("{partial}/{cut}"), &bytes[..100]).unwrap();
    refuses(&[&out], "is unfinished (1 of its");
    fs::write(format!("{partial}/{cut}"), &bytes).unwrap();
    refuses(&[&out, "--from", &out], "given twice");
    let run = shard(&src, &out, &["--seed", "7", "--part", "1/3"]);
    assert!(run.code == 1 && run.stderr.contains("seed"), "another plan beside the first: {run:?}");
    let run = shard(&src, &out, &["--seed", "7"]);
    assert!(run.code == 1 && run.stderr.contains("holds the parts of a run"), "{run:?}");

    assert_eq!(shard(&src, &other, &["--seed", "7", "--part", "2/3"]).code, 0);
    refuses(&[&out, "--from", &other], "options (seed 0, now 7)");
    fs::remove_dir_all(&other).unwrap();
    fs::write(folder.path("src/train/a/000.jpg"), jpeg(30, 30, 5)).unwrap();
    part(&src, &other, "2/3");
    refuses(&[&out, "--from", &other], "made of other images");
    let run = shard(&src, &out, &["--part", "2/3"]);
    assert!(run.code == 1 && run.stderr.contains("made of other images"), "{run:?}");
    // The first parts go together still.
    assert_eq!(merge(&[&out]).code, 0);
    let run = shard(&src, &out, &["--part", "1/3"]);
    assert!(run.code == 1 && run.stderr.contains("--overwrite"), "{run:?}");
    for part in ["1/2", "2/2"] {
        assert_eq!(shard(&src, &out, &["--overwrite", "--part", part]).code, 0);
    }
    let run = merge(&[&out]);
    assert!(run.code == 1 && run.stderr.contains("--overwrite"), "{run:?}");
    assert_eq!(merge(&[&out, "--overwrite"]).code, 0);
    assert_eq!(tools(&["verify", &out]).code, 0);
}

#[test]
fn a_whole_run_goes_on_where_parts_left_off_but_is_no_part_itself() {
    let folder = Folder::new();
    let src = source(&folder);
    let [whole, out] = ["whole", "out"].map(|name| folder.path(name));
    assert_eq!(shard(&src, &whole, &[]).code, 0);
    part(&src, &out, "2/2");
    let run = shard(&src, &out, &[]);
    assert!(run.code == 0 && run.stderr.contains("going on with an unfinished run"), "{run:?}");
    assert_eq!(everything(&out), everything(&whole));
    fs::rename(format!("{out}/train"), format!("{out}/.train.partial")).unwrap();
    fs::remove_file(format!("{out}/.train.partial/manifest.json")).unwrap();
    let run = merge(&[&out]);
    assert!(run.code == 1 && run.stderr.contains("unfinished run without parts"), "{run:?}");
}

#[test]
fn shards_of_refused_files_alone_leave_no_gap_wherever_a_merge_was_stopped() {
    let folder = Folder::new();
    folder.classes("src", &["a", "b", "c"], 40);
    for number in 0..40 {
        fs::write(folder.path(&format!("src/b/{number:03}.jpg")), vec![b'x'; 1500]).unwrap();
    }
    let src = folder.path("src");
    let make = |out: &str, extra: &[&str]| {
        let fixed = ["shard", &src, "--out", out, "--no-shuffle", "--allow-refused", "40"];
        let run = tools(
            &[&fixed[..], &["--shard-size", "15kB", "--row-group-size", "5kB"], extra].concat(),
        );
        assert_eq!(run.code, 0, "{run:?}");
    };
    let [whole, out] = ["whole", "out"].map(|name| folder.path(name));
    make(&whole, &[]);
    let expected = contents(&format!("{whole}/train"));
    make(&out, &["--part", "1/2"]);
    make(&out, &["--part", "2/2"]);
    let partial = format!("{out}/.train.partial");
    let (old, new) = (shards(&partial), shards(&format!("{whole}/train")));
    assert!(old.len() == new.len() && old != new, "some shards had no file: {old:?} {new:?}");
    // As a merge leaves it that is killed between two of its renames.
    for (old, new) in old.iter().zip(&new).take(2) {
        fs::rename(format!("{partial}/{old}"), format!("{partial}/{new}")).unwrap();
    }
    let run = tools(&["merge", &out, "--allow-refused", "40"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(contents(&format!("{out}/train")), expected);
    // As one that is killed behind the manifest, with records and notes removed.
    fs::rename(format!("{out}/train"), &partial).unwrap();
    assert_eq!(tools(&["merge", &out, "--allow-refused", "40"]).code, 0);
    assert_eq!(contents(&format!("{out}/train")), expected);
}

#[test]
fn parts_and_merges_killed_at_any_moment_leave_no_data_set_or_the_whole_one() {
    let folder = Folder::new();
    folder.classes("src", &["a", "b"], 200);
    let src = folder.path("src");
    let whole = folder.path("whole");
    let start = Instant::now();
    assert_eq!(shard(&src, &whole, &[]).code, 0);
    let (mut parts, mut merges) =
        (Kills::new(start.elapsed() / 2), Kills::new(Duration::from_millis(12)));
    let expected = contents(&format!("{whole}/train"));
    let nothing_or_all = |out: &str| {
        if fs::exists(format!("{out}/train")).unwrap() {
            assert_eq!(contents(&format!("{out}/train")), expected);
        } else {
            assert_eq!(tools(&["verify", out]).code, 1);
        }
    };
    for attempt in 1..=8u32 {
        let [one, two, out] =
            ["one", "two", "out"].map(|name| folder.path(&format!("{attempt}/{name}")));
        for (dir, name, share) in [(&one, "1/2", attempt), (&two, "2/2", 9 - attempt)] {
            let args = [&["shard", &src, "--out", dir, "--part", name], &SIZES[..]].concat();
            parts.kill(&args, f64::from(share) / 6.0);
            nothing_or_all(dir);
        }
        let unmerged = merge(&[&one, "--from", &two]);
        part(&src, &one, "1/2");
        part(&src, &two, "2/2");
        if unmerged.code == 0 {
            continue; // neither was killed in time
        }
        let args = ["merge", &out, "--from", &one, "--from", &two];
        fs::create_dir_all(&out).unwrap();
        for share in [attempt, 9 - attempt, attempt] {
            merges.kill(&args, f64::from(share) / 8.0);
            nothing_or_all(&out);
        }
        let run = merge(&args[1..]);
        assert_eq!(run.code, 0, "{run:?}");
        assert_eq!(contents(&format!("{out}/train")), expected, "attempt {attempt}");
        assert!(!fs::exists(format!("{out}/.train.partial")).unwrap());
    }
    let killed = (parts.killed, merges.killed);
    assert!(killed.0 > 0 && killed.1 > 0, "{killed:?} were killed");
    eprintln!("{} of 16 parts and {} of 24 merges were killed in time", killed.0, killed.1);
}

#[test]
fn wrong_parts_are_answered_in_plain_words() {
    let folder = Folder::new();
    folder.classes("src", &["a"], 1);
    for (part, text) in [("0/4", "counted from 1"), ("5/4", "I/N"), ("x", "I/N")] {
        let run = shard(&folder.path("src"), &folder.path("out"), &["--part", part]);
        assert!(run.code == 2 && run.stderr.contains(text), "{run:?}");
    }
}
