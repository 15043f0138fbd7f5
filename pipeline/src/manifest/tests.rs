use super::*;

fn example() -> Manifest {
    let shard = |number: u32| Shard {
        file: format!("train-0000{number}-of-00002.parquet"),
        bytes: 1000 + u64::from(number),
        blake3: format!("{number:064x}"),
        row_groups: vec![
            ShardRowGroup { rows: 3, bytes: 300 },
            ShardRowGroup { rows: 2, bytes: 200 },
        ],
    };
    let mut manifest = Manifest {
        format: FORMAT.to_owned(),
        version: VERSION,
        created_by: "test".to_owned(),
        split: "train".to_owned(),
        classes: vec!["cat".to_owned(), "dog".to_owned()],
        num_samples: 10,
        image_bytes: 1000,
        shuffle_seed: Some(1),
        check: "decode".to_owned(),
        sizes: SizeFigures::default(),
        num_refused: 0,
        shards: vec![shard(0), shard(1)],
        digest: String::new(),
    };
    manifest.digest = manifest.content_digest();
    manifest
}

#[test]
fn a_written_manifest_reads_back_equal_and_leaves_no_temporary_file() {
    let dir = tempfile::tempdir().unwrap();
    example().write(dir.path()).unwrap();
    assert_eq!(Manifest::read(dir.path()).unwrap(), example());
    let names: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [MANIFEST_FILE]);
}

#[test]
fn every_contradiction_is_named() {
    type Change = fn(&mut Manifest);
    let cases: [(Change, &str); 9] = [
        (|m| m.num_samples = 11, "11 samples"),
        (|m| m.image_bytes = 1, "image bytes"),
        (|m| m.check = "none".to_owned(), "check is `none`"),
        (|m| m.shards.clear(), "no shards"),
        (|m| m.shards[0].file = "../x".to_owned(), "file name `../x`"),
        (|m| m.shards[0].file = m.shards[1].file.clone(), "listed twice"),
        (|m| m.shards[1].row_groups[0].rows = 0, "row group 0 of shard"),
        (|m| m.shards[1].blake3.clear(), "no BLAKE3"),
        (|m| m.classes.swap(0, 1), "its digest is"),
    ];
    for (change, expected) in cases {
        let mut manifest = example();
        change(&mut manifest);
        let problem = manifest.validate().unwrap_err();
        assert!(problem.contains(expected), "{problem:?} should say {expected:?}");
    }
}

#[test]
fn a_later_layout_is_named_as_such_and_not_as_broken_json() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(MANIFEST_FILE), r#"{"format":"smog-shards","version":7}"#).unwrap();
    let message = Manifest::read(dir.path()).unwrap_err().to_string();
    assert!(message.contains("layout version is 7"), "{message}");
    fs::write(dir.path().join(MANIFEST_FILE), "{\"format\":").unwrap();
    assert!(matches!(Manifest::read(dir.path()), Err(ManifestError::Json { .. })));
}

#[test]
fn a_split_is_found_from_its_own_folder_and_from_the_one_above() {
    let dir = tempfile::tempdir().unwrap();
    for split in ["train", "val"] {
        let mut manifest = example();
        manifest.split = split.to_owned();
        manifest.digest = manifest.content_digest();
        fs::create_dir(dir.path().join(split)).unwrap();
        manifest.write(&dir.path().join(split)).unwrap();
    }
    let train = dir.path().join("train");
    assert_eq!(find_split(dir.path(), "train").unwrap(), train);
    assert_eq!(find_split(&train, "train").unwrap(), train);
    assert_eq!(find_split(dir.path(), "validation").unwrap(), dir.path().join("val"));
    let message = find_split(dir.path(), "test").unwrap_err().to_string();
    assert!(message.contains("no split `test`; it has `train`, `val`"), "{message}");
    // Asking the training folder for another split must not give the training images.
    assert!(matches!(find_split(&train, "val"), Err(ManifestError::NoSplit { .. })));
}

#[test]
fn a_folder_that_is_no_data_set_says_what_it_is_instead() {
    let dir = tempfile::tempdir().unwrap();
    let message = |path: &Path| Manifest::read(path).unwrap_err().to_string();
    assert!(message(&dir.path().join("absent")).contains("no such folder"));
    fs::create_dir(dir.path().join(".train.partial")).unwrap();
    assert!(message(dir.path()).contains("unfinished"), "{}", message(dir.path()));
    fs::create_dir(dir.path().join("train")).unwrap();
    example().write(&dir.path().join("train")).unwrap();
    assert!(message(dir.path()).contains("`train`"));
}
