use super::*;

fn example() -> Manifest {
    let shard = |number: u32| Shard {
        file: format!("train-0000{number}-of-00002.parquet"),
        bytes: 1000 + u64::from(number),
        blake3: format!("{number:064x}"),
        footer: None,
        row_groups: vec![
            ShardRowGroup { rows: 3, bytes: 300, span: None },
            ShardRowGroup { rows: 2, bytes: 200, span: None },
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
fn spans_cover_the_file_side_by_side_or_are_not_there_at_all() {
    let mut manifest = example();
    let digest = Digest::of(b"abc");
    let span = |offset, bytes| Some(Span { offset, bytes, blake3: digest });
    let shard = &mut manifest.shards[0];
    (shard.row_groups[0].span, shard.row_groups[1].span) = (span(0, 400), span(400, 500));
    shard.footer = span(900, 100);
    manifest.digest = manifest.content_digest();
    manifest.validate().unwrap();
    assert_ne!(manifest.digest, example().digest);
    let dir = tempfile::tempdir().unwrap();
    manifest.write(dir.path()).unwrap();
    assert_eq!(Manifest::read(dir.path()).unwrap(), manifest);
    let text = fs::read_to_string(dir.path().join(MANIFEST_FILE)).unwrap();
    // `printf abc | b3sum`
    assert!(text.contains("6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"));

    type Change = fn(&mut Shard);
    let cases: [(Change, &str); 4] = [
        (|shard| shard.footer = None, "has 2 spans, 3 were expected"),
        (|shard| shard.row_groups[1].span = shard.row_groups[0].span, "at 0, expected at 400"),
        (|shard| shard.bytes = 1001, "has 1001 bytes, its spans end at 1000"),
        (|shard| shard.footer.as_mut().unwrap().bytes = u64::MAX, "its spans end at"),
    ];
    for (change, expected) in cases {
        let mut manifest = manifest.clone();
        change(&mut manifest.shards[0]);
        let problem = manifest.validate().unwrap_err();
        assert!(problem.contains(expected), "{problem:?} should say {expected:?}");
    }
    manifest.shards[0].footer.as_mut().unwrap().blake3.0[0] ^= 1;
    assert!(manifest.validate().unwrap_err().contains("its digest is"));
}

#[test]
fn the_first_version_which_has_no_spans_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let old = Manifest { version: 1, ..example() };
    old.write(dir.path()).unwrap();
    let text = fs::read_to_string(dir.path().join(MANIFEST_FILE)).unwrap();
    assert!(!text.contains("span") && !text.contains("footer"));
    assert_eq!(Manifest::read(dir.path()).unwrap(), old);
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
