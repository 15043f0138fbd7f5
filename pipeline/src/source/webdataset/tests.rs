use std::fs;

use super::*;
use crate::source::{Found, find, open, test_images::jpeg};

fn write_tar(path: &Path, members: &[(String, Vec<u8>)]) {
    let mut builder = tar::Builder::new(fs::File::create(path).unwrap());
    for (name, content) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, &content[..]).unwrap();
    }
    builder.finish().unwrap();
}

/// Samples `first..first + count` with labels and what else may lie in such a tar.
fn samples(first: u32, count: u32) -> Vec<(String, Vec<u8>)> {
    (first..first + count)
        .flat_map(|number| {
            [
                (format!("{number:06}.cls"), (number % 3).to_string().into_bytes()),
                (format!("{number:06}.jpg"), jpeg(16 + (number % 5) as u16, number as u8)),
                (format!("{number:06}.json"), b"{\"caption\": \"ignored\"}".to_vec()),
            ]
        })
        .collect()
}

#[test]
fn samples_of_several_tars_come_back_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    write_tar(&dir.path().join("train-000001.tar"), &samples(600, 20));
    write_tar(&dir.path().join("train-000000.tar"), &samples(0, 600));
    let source = open(&dir.path().join("train-{000000..000001}.tar"), "train").unwrap();
    assert_eq!(source.num_samples(), 620);
    assert_eq!(source.classes(), ["0", "1", "2"]);
    let rows: Vec<u32> = source.row_groups().iter().map(|group| group.rows).collect();
    assert_eq!(rows, [512, 88, 20], "limited by rows, and no row group spans two tars");
    for (id, info) in source.row_groups().to_vec().into_iter().enumerate() {
        let group = source.read(RowGroupId(id as u32)).unwrap();
        assert_eq!((group.first_sample, group.rows()), (info.first_sample, info.rows));
        let bytes: u64 = group.metas.iter().map(|meta| u64::from(meta.bytes)).sum();
        assert_eq!(bytes, info.bytes);
        assert_eq!(source.labels(RowGroupId(id as u32)).unwrap(), group.labels);
        for row in 0..info.rows {
            let number = info.first_sample.0 + row;
            assert_eq!(group.encoded(row), jpeg(16 + (number % 5) as u16, number as u8));
            assert_eq!(group.labels[row as usize], i64::from(number % 3));
            assert_eq!(group.paths[row as usize], format!("{number:06}.jpg"));
            assert_eq!(group.metas[row as usize].width, 16 + number % 5);
        }
    }
    assert!(source.read(RowGroupId(3)).is_err());
}

#[test]
fn no_image_is_alone_in_its_row_group_where_its_tar_has_two() {
    let rows = |sizes: &[(u32, u32)]| -> Vec<u32> {
        let images: Vec<Image> = sizes
            .iter()
            .map(|&(file, mib)| Image { offset: 0, bytes: mib << 20, file, label: -1, name: 0 })
            .collect();
        let groups = groups(&images);
        let mut next = 0;
        for group in &groups {
            assert_eq!(group.first_sample.0, next);
            next += group.rows;
        }
        let bytes: u64 = groups.iter().map(|group| group.bytes).sum();
        assert_eq!(bytes, sizes.iter().map(|&(_, mib)| u64::from(mib) << 20).sum::<u64>());
        groups.iter().map(|group| group.rows).collect()
    };
    // A large image takes the next one along; a rest of one joins what is before it.
    assert_eq!(rows(&[(0, 20), (0, 20), (0, 20), (0, 20)]), [2, 2]);
    assert_eq!(rows(&[(0, 20), (0, 20), (0, 20)]), [3]);
    assert_eq!(rows(&[(0, 8), (0, 8), (0, 8)]), [3]);
    assert_eq!(rows(&[(0, 8), (0, 8), (0, 8), (0, 8)]), [2, 2]);
    // Another tar is another row group, also for a single image.
    assert_eq!(rows(&[(0, 1), (0, 1), (1, 1), (2, 1), (2, 1)]), [2, 1, 2]);
}

#[test]
fn the_digest_names_the_content_and_not_the_folder() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&a, &b] {
        write_tar(&dir.path().join("0.tar"), &samples(0, 4));
    }
    let digest = |dir: &tempfile::TempDir| open(dir.path(), "train").unwrap().digest().to_owned();
    assert_eq!(digest(&a), digest(&b));
    write_tar(&b.path().join("0.tar"), &samples(1, 4));
    assert_ne!(digest(&a), digest(&b));
}

#[test]
fn a_sample_that_is_no_image_keeps_its_place_and_unlabelled_tars_have_no_classes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    let members = [("0.jpg".to_owned(), b"rubbish".to_vec()), ("1.jpg".to_owned(), jpeg(20, 1))];
    write_tar(&path, &members);
    let source = WebDatasetSource::open(&[path]).unwrap();
    let group = source.read(RowGroupId(0)).unwrap();
    assert_eq!(group.labels, [-1, -1]);
    assert!(source.classes().is_empty());
    assert_eq!((group.metas[0].width, group.metas[1].width), (1, 20));
    assert_eq!(group.encoded(0), b"rubbish");
}

#[test]
fn tars_that_cannot_be_read_in_place_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let message = |name: &str, members: &[(String, Vec<u8>)]| {
        let path = dir.path().join(name);
        write_tar(&path, members);
        open(&path, "train").err().unwrap().to_string()
    };
    let text = message("train.tar", &[("n01.tar".to_owned(), b"x".to_vec())]);
    assert!(text.contains("tar of tars (`n01.tar`)"), "{text}");
    assert!(text.contains("smog-tools shard ") && text.ends_with("train.tar"), "{text}");
    let text = message("text.tar", &[("a.txt".to_owned(), Vec::new())]);
    assert!(text.contains("holds no images") && text.contains("`a.txt`"), "{text}");
    assert!(message("none.tar", &[]).contains("but nothing"));
}

#[test]
fn what_lies_at_a_location_is_told() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(find(dir.path()).unwrap(), Found::Folder(dir.path().to_owned()));
    let text = open(dir.path(), "train").err().unwrap().to_string();
    assert!(text.contains("smog-tools shard"), "{text}");
    let path = |name: &str| dir.path().join(name);
    write_tar(&path("train-0.tar"), &samples(0, 2));
    write_tar(&path("val-0.tar"), &samples(0, 1));
    let found = find(dir.path()).unwrap();
    assert_eq!(found.splits(), ["train", "val"]);
    assert!(found.has_split("validation") && !found.has_split("test"));
    assert_eq!(found.open("validation").unwrap().num_samples(), 1);
    fs::write(path("x.tar.gz"), [0x1F, 0x8B, 8, 0]).unwrap();
    let text = find(&path("x.tar.gz")).unwrap_err().to_string();
    assert!(text.contains("gunzip -k"), "{text}");
    fs::write(path("x.bin"), "?").unwrap();
    assert!(find(&path("x.bin")).unwrap_err().to_string().contains("this is a file"));
    assert!(find(&path("absent")).unwrap_err().to_string().contains("no such file or folder"));
    assert!(find(Path::new("s3://bucket/x")).is_err());
}

#[test]
fn a_tar_that_is_changed_under_a_run_is_an_error_and_never_other_images() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    write_tar(&path, &samples(0, 8));
    let source = WebDatasetSource::open(std::slice::from_ref(&path)).unwrap();
    assert_eq!(source.file(RowGroupId(0)), Some(&*path));
    assert_eq!(source.file(RowGroupId(1)), None);
    source.read(RowGroupId(0)).unwrap();
    let message = || {
        let error = source.read(RowGroupId(0)).unwrap_err();
        assert!(matches!(error, SourceError::Changed { .. }), "{error}");
        error.to_string()
    };
    // The same places with other images in them.
    let mut members = samples(0, 8);
    members[1].1.reverse();
    write_tar(&path, &members);
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(9);
    fs::File::options().append(true).open(&path).unwrap().set_modified(later).unwrap();
    assert!(message().contains("x.tar was changed while it was in use: it was written to"));
    write_tar(&path, &samples(0, 80));
    assert!(message().contains("bytes and has"), "{}", message());
}
