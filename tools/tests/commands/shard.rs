//! `smog-tools shard` as a person runs it: layouts, reports, exit codes, kills and repetitions.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crate::support::{Folder, Kills, contents, jpeg, manifest, tools, tools_in_time};

#[test]
fn an_imagenet_layout_becomes_two_splits_beside_the_source() {
    let folder = Folder::new();
    folder.classes("photos/train", &["cat", "dog"], 6);
    folder.classes("photos/val", &["dog"], 2);
    let run = tools(&["shard", &folder.path("photos")]);
    assert_eq!(run.code, 0, "{run:?}");
    let next = format!(
        "smog-trainer run --preset cifar10-resnet18 --data {}",
        folder.path("photos-shards")
    );
    assert!(run.stdout.contains(&next), "{run:?}");
    let train = manifest(&folder.path("photos-shards/train"));
    let val = manifest(&folder.path("photos-shards/val"));
    assert_eq!((train["num_samples"].as_u64(), val["num_samples"].as_u64()), (Some(12), Some(2)));
    assert_eq!(train["classes"], val["classes"]);
    assert!(
        contents(&folder.path("photos-shards/train")).contains_key("train-00000-of-00001.parquet")
    );
    let verify = tools(&["verify", &folder.path("photos-shards")]);
    assert_eq!(verify.code, 0, "{verify:?}");
}

#[test]
fn a_chosen_split_alone_is_written_and_an_absent_one_is_named() {
    let folder = Folder::new();
    folder.classes("photos/train", &["cat"], 2);
    folder.classes("photos/val", &["cat"], 2);
    let (src, out) = (folder.path("photos"), folder.path("out"));
    let run = tools(&["shard", &src, "--out", &out, "--split", "val"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(fs::exists(format!("{out}/val/manifest.json")).unwrap());
    assert!(!fs::exists(format!("{out}/train")).unwrap());
    let run = tools(&["shard", &src, "--out", &out, "--split", "test"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("no split `test`; there is train, val"), "{run:?}");
}

#[test]
fn refused_files_are_listed_with_reasons_and_change_the_exit_code_unless_allowed() {
    let folder = Folder::new();
    folder.classes("src", &["a", "b"], 5);
    fs::write(folder.path("src/a/text.jpg"), "this is no image").unwrap();
    fs::write(folder.path("src/b/empty.png"), "").unwrap();
    let mut cut = jpeg(64, 64, 3);
    cut.truncate(cut.len() / 2);
    fs::write(folder.path("src/b/cut.jpg"), cut).unwrap();
    fs::write(folder.path("src/b/long.jpg"), vec![0xFF; 70_000]).unwrap();
    let (src, out) = (folder.path("src"), folder.path("out"));
    let run = tools(&["shard", &src, "--out", &out, "--max-file-size", "65536"]);
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stdout.contains("4 of 14 files were refused"), "{run:?}");
    let report = fs::read_to_string(format!("{out}/train/refused.jsonl")).unwrap();
    let refused: Vec<serde_json::Value> =
        report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = refused
        .iter()
        .map(|file| (file["path"].as_str().unwrap(), file["kind"].as_str().unwrap()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("a/text.jpg", "unknown_format"),
            ("b/cut.jpg", "damaged"),
            ("b/empty.png", "unknown_format"),
            ("b/long.jpg", "too_large"),
        ]
    );
    assert_eq!(manifest(&format!("{out}/train"))["num_refused"], 4);
    // The data set is finished and usable all the same; the same command says so again.
    assert_eq!(tools(&["verify", &out]).code, 0);
    let again = |limit: &str| {
        let allow = ["--max-file-size", "65536", "--allow-refused", limit];
        tools(&[&["shard", &src, "--out", &out], &allow[..]].concat()).code
    };
    assert_eq!([again("4"), again("3"), again("30%"), again("28%")], [0, 3, 0, 3]);
}

#[test]
fn a_source_without_one_usable_image_leaves_no_data_set() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path("src")).unwrap();
    fs::write(folder.path("src/x.jpg"), "nothing").unwrap();
    let run = tools(&["shard", &folder.path("src"), "--out", &folder.path("out")]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("none of 1 files is a usable image"), "{run:?}");
    assert!(run.stderr.contains("x.jpg"), "{run:?}");
    assert!(!fs::exists(folder.path("out/train")).unwrap());
    assert!(tools(&["verify", &folder.path("out")]).stderr.contains("not a finished data set"));
}

#[test]
fn shards_are_the_same_bytes_for_any_number_of_jobs_and_others_for_another_seed() {
    let folder = Folder::new();
    folder.classes("src", &["a", "b", "c"], 60);
    fs::write(folder.path("src/b/broken.jpg"), "x").unwrap();
    let make = |out: &str, extra: &[&str]| {
        let out = folder.path(out);
        let src = folder.path("src");
        let sizes = ["--shard-size", "60kB", "--row-group-size", "20kB", "--allow-refused", "1"];
        let run = tools(&[&["shard", &src, "--out", &out], &sizes[..], extra].concat());
        assert_eq!(run.code, 0, "{run:?}");
        contents(&format!("{out}/train"))
    };
    let one = make("one", &["--jobs", "1"]);
    assert!(one.len() > 5, "several shards: {:?}", one.keys());
    assert_eq!(make("two", &["--jobs", "2"]), one);
    assert_eq!(make("four", &["--jobs", "4"]), one);
    assert_ne!(make("seed", &["--seed", "7"]), one);
}

#[test]
fn a_run_killed_at_any_moment_leaves_no_data_set_and_the_next_one_finishes_the_same_bytes() {
    let folder = Folder::new();
    folder.classes("src", &["a", "b"], 250);
    let src = folder.path("src");
    let sizes = ["--shard-size", "50kB", "--row-group-size", "20kB", "--jobs", "2"];
    let whole = folder.path("whole");
    let start = std::time::Instant::now();
    assert_eq!(tools(&[&["shard", &src, "--out", &whole], &sizes[..]].concat()).code, 0);
    let mut kills = Kills::new(start.elapsed());
    let expected = contents(&format!("{whole}/train"));

    let mut resumed = 0;
    for attempt in 1..=12u32 {
        let out = folder.path(&format!("out-{attempt}"));
        let args = [&["shard", &src, "--out", &out], &sizes[..]].concat();
        // Kill twice, at different moments, before the run that may finish.
        for share in [attempt, 13 - attempt] {
            if kills.kill(&args, f64::from(share) / 13.0) {
                // A kill between the last rename and the exit finds the work done; before it, nothing shows.
                let is_there = fs::exists(format!("{out}/train")).unwrap();
                assert_eq!(tools(&["verify", &out]).code, i32::from(!is_there));
                if is_there {
                    assert_eq!(contents(&format!("{out}/train")), expected, "attempt {attempt}");
                }
            }
        }
        let run = tools(&args);
        assert_eq!(run.code, 0, "{run:?}");
        resumed += u32::from(run.stderr.contains("going on with an unfinished run"));
        assert_eq!(contents(&format!("{out}/train")), expected, "attempt {attempt}");
        let left: Vec<_> = fs::read_dir(&out)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("partial") || name.contains("old"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
    // How many kills hit depends on the machine; that none did would make this test empty.
    assert!(kills.killed > 0, "no run was killed in time");
    eprintln!("{} of 24 runs were killed in time, {resumed} were continued", kills.killed);
}

#[test]
fn finished_shards_are_not_written_again() {
    let folder = Folder::new();
    folder.classes("src", &["a", "b"], 100);
    let (src, out) = (folder.path("src"), folder.path("out"));
    let args = ["shard", &src, "--out", &out, "--shard-size", "50kB", "--row-group-size", "20kB"];
    assert_eq!(tools(&args).code, 0);
    let expected = contents(&format!("{out}/train"));
    // What a kill before the last shard leaves: no manifest, no record and half a file for the last shard.
    let partial = format!("{out}/.train.partial");
    fs::rename(format!("{out}/train"), &partial).unwrap();
    let shards = crate::support::shards(&partial);
    fs::remove_file(format!("{partial}/manifest.json")).unwrap();
    for (index, shard) in shards.iter().enumerate() {
        if index + 1 < shards.len() {
            crate::support::write_record(&partial, index, &expected, shard);
        } else {
            fs::rename(format!("{partial}/{shard}"), format!("{partial}/{shard}.tmp")).unwrap();
        }
    }
    let times: Vec<_> = shards[..shards.len() - 1]
        .iter()
        .map(|shard| fs::metadata(format!("{partial}/{shard}")).unwrap().modified().unwrap())
        .collect();
    sleep(Duration::from_millis(20));
    let run = tools(&args);
    assert_eq!(run.code, 0, "{run:?}");
    let said = format!("{} of {} shards are done", shards.len() - 1, shards.len());
    assert!(run.stderr.contains(&said), "{run:?}");
    assert_eq!(contents(&format!("{out}/train"))[&shards[0]], expected[&shards[0]]);
    assert_eq!(contents(&format!("{out}/train")).keys().len(), expected.keys().len());
    for (shard, time) in shards.iter().zip(times) {
        let file = fs::metadata(format!("{out}/train/{shard}")).unwrap();
        assert_eq!(file.modified().unwrap(), time, "{shard} was written again");
    }
    assert_eq!(tools(&["verify", &out]).code, 0);
}

#[test]
fn an_unfinished_run_with_other_options_is_started_anew_and_a_finished_one_is_kept() {
    let folder = Folder::new();
    folder.classes("src", &["a"], 10);
    let (src, out) = (folder.path("src"), folder.path("out"));
    assert_eq!(tools(&["shard", &src, "--out", &out]).code, 0);
    let first = contents(&format!("{out}/train"));
    let again = tools(&["shard", &src, "--out", &out]);
    assert_eq!(again.code, 0);
    assert!(again.stdout.contains("already done"), "{again:?}");
    let other = tools(&["shard", &src, "--out", &out, "--seed", "5"]);
    assert_eq!(other.code, 1);
    assert!(other.stderr.contains("--overwrite") && other.stderr.contains("seed"), "{other:?}");
    assert_eq!(contents(&format!("{out}/train")), first);
    let replaced = tools(&["shard", &src, "--out", &out, "--seed", "5", "--overwrite"]);
    assert_eq!(replaced.code, 0, "{replaced:?}");
    assert_ne!(contents(&format!("{out}/train")), first);

    fs::rename(format!("{out}/train"), format!("{out}/.train.partial")).unwrap();
    let run = tools(&["shard", &src, "--out", &out]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("starting anew"), "{run:?}");
    assert_eq!(contents(&format!("{out}/train")), first);
    // A changed source is another data set.
    fs::write(folder.path("src/a/new.jpg"), jpeg(20, 20, 99)).unwrap();
    let run = tools(&["shard", &src, "--out", &out]);
    let said = "made of other images (10 files, now 11; `a/new.jpg` is new)";
    assert!(run.code == 1 && run.stderr.contains(said), "{run:?}");
    fs::rename(folder.path("src/a/new.jpg"), folder.path("src/a/000.jpg")).unwrap();
    let run = tools(&["shard", &src, "--out", &out]);
    assert!(run.code == 1 && run.stderr.contains("`a/000.jpg` has changed"), "{run:?}");
    fs::remove_file(folder.path("src/a/000.jpg")).unwrap();
    let run = tools(&["shard", &src, "--out", &out]);
    let said = "made of other images (10 files, now 9; `a/000.jpg` is gone)";
    assert!(run.code == 1 && run.stderr.contains(said), "{run:?}");
}

#[test]
fn a_new_split_with_a_new_class_is_said_to_change_the_classes_and_not_the_images() {
    let folder = Folder::new();
    let (src, out) = (folder.path("src"), folder.path("out"));
    folder.classes("src/train", &["a", "b"], 2);
    assert_eq!(tools(&["shard", &src, "--out", &out]).code, 0);
    folder.classes("src/test", &["a", "b", "c"], 1);
    let run = tools(&["shard", &src, "--out", &out]);
    let said =
        "already exists and was made with other classes (2, now 3; `c` is new); use `--overwrite`";
    assert!(run.code == 1 && run.stderr.contains(said), "{run:?}");
    assert!(!fs::exists(folder.path("out/test")).unwrap());
}

#[test]
fn a_folder_that_is_no_data_set_is_never_replaced() {
    let folder = Folder::new();
    folder.classes("src", &["a"], 3);
    fs::create_dir_all(folder.path("out/train")).unwrap();
    fs::write(folder.path("out/train/diary.txt"), "dear diary").unwrap();
    let args = ["shard", &folder.path("src"), "--out", &folder.path("out"), "--overwrite"];
    let run = tools(&args);
    assert!(run.code == 1 && run.stderr.contains("not a data set"), "{run:?}");
    assert!(fs::exists(folder.path("out/train/diary.txt")).unwrap());
}

#[test]
fn wrong_input_is_answered_in_plain_words() {
    let folder = Folder::new();
    folder.classes("src", &["a"], 1);
    fs::create_dir_all(folder.path("empty")).unwrap();
    let src = folder.path("src");
    let cases: [(&[&str], i32, &str); 9] = [
        (&["shard", &folder.path("absent")], 2, "absent"),
        (&["shard", &folder.path("absent"), "--out", &folder.path("out")], 2, "absent"),
        (&["shard", &folder.path("empty")], 1, "holds no images"),
        (&["shard", &folder.path("src/a/000.jpg")], 1, "this is a file"),
        (&["shard", &src, "--shard-size", "lots"], 2, "shard-size"),
        (&["shard", &src, "--allow-refused", "200%"], 2, "number of files or a share"),
        (&["shard", &src, "--row-group-size", "900GB"], 2, "row-group-size"),
        (&["shard", &src, "--shard-size", "5MB", "--row-group-size", "6MB"], 2, "shard-size"),
        (&["shard", &src, "--split", "../x"], 2, "plain name"),
    ];
    for (args, code, text) in cases {
        let run = tools(args);
        assert_eq!(run.code, code, "{args:?}: {run:?}");
        assert!(run.stderr.contains(text), "{args:?}: {run:?}");
    }
}

#[test]
fn a_pipe_with_the_name_of_an_image_does_not_hang_the_run() {
    let folder = Folder::new();
    folder.classes("src", &["a"], 2);
    let made = Command::new("mkfifo").arg(folder.path("src/a/pipe.jpg")).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: there is no mkfifo");
        return;
    }
    let run = tools_in_time(&["shard", &folder.path("src")], Duration::from_secs(60));
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stdout.contains("1 unreadable"), "{run:?}");
}

#[test]
fn a_disk_that_fails_in_the_middle_ends_the_run_and_leaves_no_data_set() {
    // Reading the memory of a process at address 0 is an I/O error, as on a disk or mount that fails.
    let failing = "/proc/self/mem";
    if fs::read(failing).err().and_then(|error| error.raw_os_error()) != Some(5) {
        eprintln!("SKIPPED: {failing} does not fail as expected");
        return;
    }
    let folder = Folder::new();
    folder.classes("src", &["a", "b"], 30);
    symlink(failing, folder.path("src/b/zzz.jpg")).unwrap();
    let (src, out) = (folder.path("src"), folder.path("out"));
    let sizes = ["--shard-size", "30kB", "--row-group-size", "10kB", "--no-shuffle"];
    let run = tools(&[&["shard", &src, "--out", &out], &sizes[..]].concat());
    assert_eq!(run.code, 1, "{run:?}");
    for text in ["b/zzz.jpg", "os error 5", "the same command goes on"] {
        assert!(run.stderr.contains(text), "{text}: {run:?}");
    }
    assert!(!fs::exists(format!("{out}/train")).unwrap(), "nothing that passes for a data set");
    assert!(fs::exists(format!("{out}/.train.partial/.shard-00000.json")).unwrap(), "kept");
    // Without it the run is as any other.
    fs::remove_file(folder.path("src/b/zzz.jpg")).unwrap();
    let run = tools(&[&["shard", &src, "--out", &out], &sizes[..]].concat());
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(manifest(&format!("{out}/train"))["num_samples"], 60);
}
