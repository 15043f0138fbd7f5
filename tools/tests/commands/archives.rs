//! Data that lies in tars and Parquet files: sharded, inspected and streamed. Tars are written by GNU tar; the files
//! of `../shared/data/peer-formats` by the `webdataset` and `datasets` libraries.
#![expect(clippy::unwrap_used, reason = "a failure in here is a failed test")]
#![expect(clippy::print_stderr, reason = "a test says what it measured or why it was skipped")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use smog_pipeline::sample::RowGroupId;
use smog_pipeline::source::open;

use crate::support::{Folder, contents, jpeg, manifest, tools};

/// `tar -c` of everything in a folder.
fn tar(folder: &str, tar: &str, what: &[&str]) {
    let run = Command::new("tar")
        .args(["-C", folder, "--sort=name", "-cf", tar])
        .args(what)
        .status()
        .unwrap();
    assert!(run.success(), "tar {folder}");
}

/// All rows of a split: image bytes, label and path.
fn rows(data: &str, split: &str) -> Vec<(Vec<u8>, i64, String)> {
    let source = open(Path::new(data), split).unwrap();
    let mut rows = Vec::new();
    for id in 0..source.row_groups().len() as u32 {
        let group = source.read(RowGroupId(id)).unwrap();
        for row in 0..group.rows() {
            let (label, path) = (group.labels[row as usize], group.paths[row as usize].clone());
            rows.push((group.encoded(row).to_vec(), label, path));
        }
    }
    rows
}

fn sorted(mut rows: Vec<(Vec<u8>, i64, String)>) -> Vec<(Vec<u8>, i64)> {
    rows.sort();
    rows.into_iter().map(|(bytes, label, _)| (bytes, label)).collect()
}

fn shard(src: &str, out: &str, extra: &[&str]) {
    let sizes = ["--shard-size", "40kB", "--row-group-size", "10kB"];
    let run = tools(&[&["shard", src, "--out", out], &sizes[..], extra].concat());
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn a_folder_its_tar_and_a_tar_of_class_tars_give_the_same_shards() {
    let folder = Folder::new();
    let classes = ["ant", "bee", "cow"];
    folder.classes("src/train", &classes, 20);
    shard(&folder.path("src"), &folder.path("a"), &[]);
    let expected = contents(&folder.path("a/train"));
    assert!(expected.len() > 3, "several shards");

    tar(&folder.path(""), &folder.path("whole.tar"), &["src"]);
    shard(&folder.path("whole.tar"), &folder.path("b"), &["--jobs", "1"]);
    // Not only the same rows: the same files to the last byte.
    assert_eq!(contents(&folder.path("b/train")), expected);

    // As ILSVRC2012_img_train.tar: the class is the name of the inner tar, whose members have no folder.
    for class in classes {
        let dir = folder.path(&format!("src/train/{class}"));
        let files: Vec<String> = contents(&dir).into_keys().collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        tar(&dir, &folder.path(&format!("{class}.tar")), &files);
    }
    let inner = classes.map(|class| format!("{class}.tar"));
    tar(&folder.path(""), &folder.path("x_img_train.tar"), &inner.each_ref().map(String::as_str));
    shard(&folder.path("x_img_train.tar"), &folder.path("c"), &[]);
    shard(&folder.path("src/train"), &folder.path("d"), &[]);
    assert_eq!(contents(&folder.path("c/train")), contents(&folder.path("d/train")));
    assert_eq!(manifest(&folder.path("c/train"))["classes"], serde_json::json!(classes));
    assert_eq!(tools(&["verify", &folder.path("c")]).code, 0);
    let run = tools(&["bench", "pipeline", "--data", &folder.path("x_img_train.tar")]);
    assert!(run.code == 1 && run.stderr.contains("tar of tars"), "{run:?}");
    assert!(run.stderr.contains("smog-tools shard"), "{run:?}");
}

#[test]
fn web_dataset_tars_are_sharded_and_streamed_with_the_bytes_and_labels_of_the_folder() {
    let folder = Folder::new();
    let classes = ["ant", "bee", "cow"];
    folder.classes("src", &classes, 12);
    shard(&folder.path("src"), &folder.path("a"), &[]);
    let mut number = 0;
    for tar_number in 0..3 {
        let dir = folder.path(&format!("wds-{tar_number}"));
        fs::create_dir(&dir).unwrap();
        for (label, class) in classes.iter().enumerate() {
            for file in 4 * tar_number..4 * tar_number + 4 {
                let image = folder.path(&format!("src/{class}/{file:03}.jpg"));
                fs::copy(image, format!("{dir}/{number:06}.jpg")).unwrap();
                fs::write(format!("{dir}/{number:06}.cls"), label.to_string()).unwrap();
                fs::write(format!("{dir}/{number:06}.txt"), "a caption").unwrap();
                number += 1;
            }
        }
        let files: Vec<String> = contents(&dir).into_keys().collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        tar(&dir, &folder.path(&format!("train-{tar_number:04}.tar")), &files);
    }
    let pattern = folder.path("train-{0000..0002}.tar");
    let expected = sorted(rows(&folder.path("a"), "train"));
    assert_eq!(sorted(rows(&pattern, "train")), expected);
    fs::write(folder.path("names.txt"), "ant\nbee\ncow the third\n").unwrap();
    shard(&pattern, &folder.path("b"), &["--classes", &folder.path("names.txt")]);
    assert_eq!(sorted(rows(&folder.path("b"), "train")), expected);
    assert_eq!(manifest(&folder.path("b/train"))["classes"], serde_json::json!(classes));
    let run = tools(&["inspect", &pattern]);
    assert_eq!(run.code, 0, "{run:?}");
    for text in ["36 in 3 row groups", "WebDataset", "3 with 12 to 12 images", "JPEG all"] {
        assert!(run.stdout.contains(text), "{text}: {}", run.stdout);
    }
    let args = ["--seconds", "0.2", "--warmup-seconds", "0", "--batch", "8", "--workers", "1"];
    let run = tools(&[&["bench", "pipeline", "--data", &pattern, "--json"], &args[..]].concat());
    assert!(run.code == 0 && run.stdout.contains("images_per_second"), "{run:?}");
    let run = tools(&["shard", &pattern]);
    assert!(run.code == 1 && run.stderr.contains("--out"), "{run:?}");
}

#[test]
fn a_validation_tar_gets_its_labels_from_a_file_by_order_or_by_name() {
    let folder = Folder::new();
    fs::create_dir(folder.path("v")).unwrap();
    let name = |number: u32| format!("ILSVRC2012_val_{number:08}.JPEG");
    let names: Vec<String> = (1..=6).map(name).collect();
    for (number, name) in names.iter().enumerate() {
        fs::write(folder.path(&format!("v/{name}")), jpeg(20, 20, number as u32)).unwrap();
    }
    let members: Vec<&str> = names.iter().map(String::as_str).rev().collect();
    tar(&folder.path("v"), &folder.path("x_img_val.tar"), &members);
    // Class 1 of the development kit is not the first by name.
    fs::write(folder.path("truth.txt"), "2\n1\n3\n1\n2\n2\n").unwrap();
    fs::write(folder.path("map.txt"), "n09 1 last\nn01 2 first\nn05 3 middle\n").unwrap();
    let src = folder.path("x_img_val.tar");
    let labels = |out: &str, extra: &[&str]| -> BTreeMap<String, i64> {
        shard(&src, &folder.path(out), extra);
        assert_eq!(
            manifest(&folder.path(&format!("{out}/val")))["classes"],
            serde_json::json!(["n01", "n05", "n09"])
        );
        rows(&folder.path(out), "val").into_iter().map(|(_, label, path)| (path, label)).collect()
    };
    let (truth, map) = (folder.path("truth.txt"), folder.path("map.txt"));
    let by_order = labels("a", &["--labels", &truth, "--classes", &map]);
    let expected: BTreeMap<String, i64> = names.iter().cloned().zip([0, 2, 1, 2, 0, 0]).collect();
    assert_eq!(by_order, expected);
    let lines: String = names
        .iter()
        .zip(["n01", "n09", "n05", "n09", "n01", "n01"])
        .rev()
        .map(|(name, class)| format!("{} {class}\n", name.trim_end_matches(".JPEG")))
        .collect();
    fs::write(folder.path("by-name.txt"), lines).unwrap();
    assert_eq!(labels("b", &["--labels", &folder.path("by-name.txt")]), expected);
    // The folder that the tar was made of takes the same file.
    let out = folder.path("c");
    let args = ["--split", "val", "--labels", &truth, "--classes", &map];
    shard(&folder.path("v"), &out, &args);
    assert_eq!(contents(&format!("{out}/val")), contents(&folder.path("a/val")));
    // Without labels it is a set without labels; other labels make another set.
    shard(&src, &folder.path("d"), &[]);
    assert_eq!(manifest(&folder.path("d/val"))["classes"], serde_json::json!([]));
    fs::write(&truth, "2\n1\n3\n1\n2\n1\n").unwrap();
    let again = ["shard", &src, "--out", &folder.path("a"), "--labels", &truth, "--classes", &map];
    assert!(tools(&again).stderr.contains("made of other images"));
    fs::write(&truth, "2\n1\n").unwrap();
    assert!(
        tools(&again).stderr.contains("2 labels in the order of names, but there are 6 images")
    );
}

#[test]
fn hostile_members_are_refused_by_name_and_nothing_is_written_outside() {
    let folder = Folder::new();
    folder.classes("in/src", &["ant"], 3);
    fs::write(folder.path("in/outside.jpg"), jpeg(20, 20, 1)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path("in/src/ant/link.jpg")).unwrap();
    let made = Command::new("tar")
        .args(["-C", &folder.path("in/src"), "-P", "-cf", &folder.path("x.tar")])
        .args(["ant", "../outside.jpg", &folder.path("in/outside.jpg")])
        .status()
        .unwrap();
    assert!(made.success());
    let before: Vec<_> =
        fs::read_dir(folder.path("")).unwrap().map(|e| e.unwrap().path()).collect();
    let out = folder.path("out");
    let run = tools(&["shard", &folder.path("x.tar"), "--out", &out, "--allow-refused", "9"]);
    assert_eq!(run.code, 0, "{run:?}");
    let report = fs::read_to_string(format!("{out}/train/refused.jsonl")).unwrap();
    assert!(report.contains("../outside.jpg") && report.contains("leads out"), "{report}");
    assert!(report.contains("ant/link.jpg") && report.contains("is a link"), "{report}");
    let mut after: Vec<_> =
        fs::read_dir(folder.path("")).unwrap().map(|e| e.unwrap().path()).collect();
    after.retain(|path| !before.contains(path));
    assert_eq!(after, [PathBuf::from(&out)]);
    for (_, _, path) in rows(&out, "train") {
        assert!(!path.starts_with('/') && !path.contains(".."), "{path}");
    }
}

#[test]
fn damaged_and_compressed_archives_are_answered_in_plain_words() {
    let folder = Folder::new();
    folder.classes("src", &["ant"], 6);
    tar(&folder.path("src"), &folder.path("x.tar"), &["ant"]);
    let whole = fs::read(folder.path("x.tar")).unwrap();
    let path = folder.path("bad.tar");
    let mut checksum = whole.clone();
    checksum[512 + 10] ^= 1;
    let cases: [(&[u8], &str); 4] = [
        (&whole[..whole.len() / 4], "cut off"),
        (&checksum, "checksum"),
        (&[0x1F, 0x8B, 8, 0], "gunzip -k"),
        (&[0; 1024], "holds no images"),
    ];
    for (bytes, text) in cases {
        fs::write(&path, bytes).unwrap();
        for command in ["shard", "inspect"] {
            let run = tools(&[command, &path]);
            assert!(run.code == 1 && run.stderr.contains(text), "{command} {text}: {run:?}");
            assert!(run.stderr.contains("bad.tar"), "{run:?}");
        }
    }
    assert!(!fs::exists(folder.path("bad-shards/train")).unwrap());
}

#[test]
fn our_own_shards_are_read_as_parquet_of_others_are() {
    let folder = Folder::new();
    folder.classes("src", &["ant", "bee", "cow"], 30);
    let out = folder.path("a");
    shard(&folder.path("src"), &out, &[]);
    // Without its manifest a shard is a Parquet file as any other.
    let parquet = folder.path("parquet");
    fs::create_dir(&parquet).unwrap();
    for name in crate::support::shards(&format!("{out}/train")) {
        fs::copy(format!("{out}/train/{name}"), format!("{parquet}/{name}")).unwrap();
    }
    assert_eq!(rows(&parquet, "train"), rows(&out, "train"));
    for jobs in ["1", "4"] {
        shard(&parquet, &folder.path(jobs), &["--jobs", jobs]);
        assert_eq!(sorted(rows(&folder.path(jobs), "train")), sorted(rows(&out, "train")));
    }
    let first = contents(&folder.path("1/train"));
    assert_eq!(first, contents(&folder.path("4/train")), "the same for any number of jobs");
    assert_ne!(rows(&folder.path("1"), "train"), rows(&parquet, "train"), "shuffled anew");
    let in_order = folder.path("in-order");
    shard(&parquet, &in_order, &["--no-shuffle"]);
    assert_eq!(rows(&in_order, "train"), rows(&parquet, "train"));
}

/// The files of other libraries; `None` where they are not at hand.
fn peer_file(name: &str) -> Option<String> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/peer-formats").join(name);
    if !path.is_file() {
        eprintln!("SKIPPED: {} is not there", path.display());
        return None;
    }
    Some(path.to_str().unwrap().to_owned())
}

#[test]
fn files_of_datasets_and_webdataset_work_from_end_to_end() {
    let cases = [
        ("hf-imagenet-style.parquet", 64, "Parquet files", "n01440764"),
        ("hf-cifar10-style.parquet", 200, "Parquet files", "airplane"),
        ("webdataset-000000.tar", 64, "WebDataset tars", "0"),
    ];
    for (name, count, kind, class) in cases {
        let Some(file) = peer_file(name) else { return };
        let folder = Folder::new();
        let run = tools(&["inspect", &file, "--all-classes"]);
        assert_eq!(run.code, 0, "{run:?}");
        for text in [kind, &format!("{count} in "), class, "; 0 have no header"] {
            assert!(run.stdout.contains(text), "{name}: {text}: {}", run.stdout);
        }
        let out = folder.path("out");
        let run = tools(&["shard", &file, "--out", &out]);
        assert_eq!(run.code, 0, "{name}: {run:?}");
        assert_eq!(tools(&["verify", &out]).code, 0);
        let direct = rows(&file, "train");
        assert_eq!(direct.len(), count);
        assert_eq!(sorted(rows(&out, "train")), sorted(direct), "{name}");
        let args = ["--seconds", "0.2", "--warmup-seconds", "0", "--batch", "16", "--workers", "1"];
        let preset = ["--preset", "1x32", "--json"];
        let run = tools(&[&["bench", "pipeline", "--data", &file], &args[..], &preset].concat());
        assert!(run.code == 0 && run.stdout.contains("\"bad_samples\":0"), "{name}: {run:?}");
    }
}

#[test]
fn warnings_are_shown_without_colours_where_there_is_no_terminal() {
    let folder = Folder::new();
    folder.classes("src", &["ant"], 200);
    let dir = folder.path("src/ant");
    let bytes = fs::read(format!("{dir}/007.jpg")).unwrap();
    fs::write(format!("{dir}/007.jpg"), &bytes[..bytes.len() / 2]).unwrap();
    let files: Vec<String> = contents(&dir).into_keys().collect();
    tar(&dir, &folder.path("flat.tar"), &files.iter().map(String::as_str).collect::<Vec<_>>());
    let data = ["bench", "pipeline", "--data", &folder.path("flat.tar"), "--preset", "1x16"];
    let time = ["--workers", "1", "--warmup-seconds", "0", "--seconds", "0.5"];
    let run = tools(&[&data[..], &time].concat());
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("WARN bad sample replaced by another"), "{run:?}");
    assert!(run.stderr.contains("007.jpg") && !run.stderr.contains('\u{1b}'), "{run:?}");
}
