use std::fs::{create_dir_all, write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;

use std::fs;

use super::*;

fn scan(path: &Path) -> Result<Listing, ShardError> {
    Listing::scan(path, &ListOptions::default())
}

fn tree(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        let path = dir.path().join(file);
        create_dir_all(path.parent().unwrap()).unwrap();
        write(path, file).unwrap();
    }
    dir
}

fn rows(split: &SplitListing) -> Vec<(String, Option<u32>)> {
    (0..split.len()).map(|file| (split.stored_path(file), split.label(file))).collect()
}

#[test]
fn class_folders_are_one_split_with_sorted_classes() {
    let dir = tree(&["dog/b.JPG", "dog/a.jpeg", "cat/x.PnG", "cat/deep/y.webp", "cat/notes.txt"]);
    let listing = scan(dir.path()).unwrap();
    let [split] = &listing.splits[..] else { panic!("{listing:?}") };
    assert_eq!((split.split.as_str(), split.num_other_files), ("train", 1));
    assert_eq!(split.classes, ["cat", "dog"]);
    let expected = [("cat/deep/y.webp", 0), ("cat/x.PnG", 0), ("dog/a.jpeg", 1), ("dog/b.JPG", 1)];
    assert_eq!(rows(split), expected.map(|(path, label)| (path.to_owned(), Some(label))));
    assert_eq!(split.bytes(3), 9);
    assert_eq!(split.read(3, 100).unwrap(), b"dog/b.JPG");
    assert_eq!(
        Listing::scan(dir.path(), &ListOptions { split: Some("birds"), ..ListOptions::default() })
            .unwrap()
            .splits[0]
            .split,
        "birds"
    );
}

#[test]
fn splits_share_their_class_numbers_even_where_one_lacks_a_class() {
    let dir = tree(&["val/c/1.jpg", "train/a/1.jpg", "train/c/1.jpg", "test/1.jpg", "extra/1.jpg"]);
    let listing = scan(dir.path()).unwrap();
    let names: Vec<_> = listing.splits.iter().map(|split| split.split.as_str()).collect();
    assert_eq!(names, ["train", "val", "test"]);
    assert_eq!(listing.splits[0].classes, ["a", "c"]);
    assert_eq!(rows(&listing.splits[1]), [("val/c/1.jpg".to_owned(), Some(1))]);
    assert_eq!(listing.splits[1].classes, ["a", "c"]);
    assert_eq!(rows(&listing.splits[2]), [("test/1.jpg".to_owned(), None)]);
    assert!(listing.splits[2].classes.is_empty());
    assert_eq!(listing.ignored_folders, ["extra"]);
}

#[test]
fn a_flat_folder_has_no_labels_and_hidden_files_do_not_count() {
    let dir = tree(&["b.jpg", "a.jpg", ".hidden.jpg", ".cache/c.jpg", "empty/readme.md"]);
    let listing = scan(dir.path()).unwrap();
    assert_eq!(rows(&listing.splits[0]), [("a.jpg".to_owned(), None), ("b.jpg".to_owned(), None)]);
    assert!(listing.splits[0].classes.is_empty());
}

#[test]
fn an_image_beside_class_folders_is_refused_and_not_lost_in_silence() {
    let dir = tree(&["a/1.jpg", "stray.jpg", "z/1.jpg"]);
    let split = &scan(dir.path()).unwrap().splits[0];
    assert_eq!(split.len(), 2);
    assert_eq!(split.refused.len(), 1);
    assert_eq!(
        (split.refused[0].path.as_str(), &*split.refused[0].kind),
        ("stray.jpg", "no_class")
    );
}

#[test]
fn links_are_followed_and_dangling_or_circular_ones_are_named() {
    let dir = tree(&["real/1.jpg", "store/2.jpg"]);
    symlink("../store/2.jpg", dir.path().join("real/two.jpg")).unwrap();
    symlink("nowhere.jpg", dir.path().join("real/gone.jpg")).unwrap();
    let split = &scan(dir.path()).unwrap().splits[0];
    let paths: Vec<String> = rows(split).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["real/1.jpg", "real/two.jpg", "store/2.jpg"]);
    assert_eq!(split.bytes(1), 11, "the size is that of the file the link leads to");
    assert_eq!((&*split.refused[0].path, &*split.refused[0].kind), ("real/gone.jpg", "unreadable"));

    symlink("..", dir.path().join("real/loop")).unwrap();
    let message = scan(dir.path()).unwrap_err().to_string();
    assert!(message.contains("real/loop") && message.contains("leads back"), "{message}");
}

#[test]
fn what_is_no_folder_of_images_says_so() {
    let dir = tree(&["a/readme.md"]);
    let message = |path: &Path| scan(path).unwrap_err().to_string();
    assert!(message(dir.path()).contains("holds no images"));
    assert!(message(&dir.path().join("a/readme.md")).contains("this is a file"));
    assert!(message(&dir.path().join("b")).contains("no such file or folder"));
}

#[test]
fn names_that_are_not_utf8_are_read_but_no_class_may_have_one() {
    let dir = tree(&["a/1.jpg"]);
    let odd = std::ffi::OsString::from_vec(b"\xFFodd.jpg".to_vec());
    write(dir.path().join("a").join(&odd), "x").unwrap();
    let split = &scan(dir.path()).unwrap().splits[0];
    assert_eq!(split.read(1, 100).unwrap(), b"x");
    assert_eq!(split.stored_path(1), "a/\u{FFFD}odd.jpg");
    let class = dir.path().join(std::ffi::OsString::from_vec(b"\xFE".to_vec()));
    create_dir_all(&class).unwrap();
    write(class.join("2.jpg"), "x").unwrap();
    assert!(scan(dir.path()).unwrap_err().to_string().contains("not UTF-8"));
}

#[test]
fn the_digest_changes_with_name_size_and_time_and_with_nothing_else() {
    let dir = tree(&["a/1.jpg", "a/2.jpg", "a/notes.txt"]);
    let digest = || scan(dir.path()).unwrap().splits[0].digest.clone();
    let first = digest();
    write(dir.path().join("a/notes.txt"), "other notes").unwrap();
    assert_eq!(digest(), first);
    let file = fs::File::options().write(true).open(dir.path().join("a/1.jpg")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_ne!(digest(), first);
}

#[test]
fn splits_by_another_spelling_keep_the_names_of_their_folders_in_paths() {
    let dir = tree(&["train/a/1.jpg", "Validation/a/2.jpg", "notes/readme.md"]);
    let listing = scan(dir.path()).unwrap();
    let names: Vec<_> = listing.splits.iter().map(|split| split.split.as_str()).collect();
    assert_eq!(names, ["train", "validation"]);
    assert_eq!(rows(&listing.splits[1]), [("Validation/a/2.jpg".to_owned(), Some(0))]);
    assert_eq!(listing.splits[1].read(0, 100).unwrap(), b"Validation/a/2.jpg");
    assert_eq!(listing.ignored_folders, ["notes"]);

    let dir = tree(&["testing/a/1.jpg", "training/a/2.jpg", "training/b/3.jpg"]);
    let listing = scan(dir.path()).unwrap();
    let sizes: Vec<_> = listing.splits.iter().map(|split| (&*split.split, split.len())).collect();
    assert_eq!(sizes, [("train", 2), ("test", 1)]);

    let dir = tree(&["running/1.jpg", "training/2.jpg"]);
    let listing = scan(dir.path()).unwrap();
    assert_eq!(listing.splits[0].classes, ["running", "training"]);
    assert!(listing.notes[0].contains("`training` could be splits"), "{:?}", listing.notes);
}

#[test]
fn a_folder_one_level_too_high_is_refused_and_the_right_one_is_named() {
    let dir = tree(&["photos/train/cat/1.jpg", "photos/test/cat/2.jpg"]);
    let message = scan(dir.path()).unwrap_err().to_string();
    let inner = dir.path().join("photos");
    assert!(message.contains(&format!("name that folder: {}", inner.display())), "{message}");
    assert_eq!(scan(&inner).unwrap().splits.len(), 2);
    // As object detectors lay it out: only the folder of images holds any.
    let dir = tree(&["images/train/1.jpg", "images/val/2.jpg", "labels/train/1.txt"]);
    let message = scan(dir.path()).unwrap_err().to_string();
    assert!(message.contains("`images` holds splits (`train`, `val`)"), "{message}");
    let dir = tree(&["bolt/train/1.jpg", "bolt/test/2.jpg", "nut/test/3.jpg"]);
    let message = scan(dir.path()).unwrap_err().to_string();
    assert!(message.contains("`bolt`, `nut` hold splits"), "{message}");
}

#[test]
fn one_class_among_others_that_holds_a_folder_named_as_a_split_is_noted() {
    let dir = tree(&["cat/1.jpg", "dog/2.jpg", "exam/test/3.jpg"]);
    let listing = scan(dir.path()).unwrap();
    assert_eq!(listing.splits[0].classes, ["cat", "dog", "exam"]);
    let said = "the class folder `exam` holds folders that are named as splits (`test`)";
    assert!(listing.notes[0].contains(said), "{:?}", listing.notes);
}

#[test]
fn the_digest_of_a_source_knows_its_classes() {
    let dir = tree(&["train/a/1.jpg"]);
    let mut listing = scan(dir.path()).unwrap();
    let digest = listing.digest();
    listing.splits[0].classes.push("b".to_owned());
    assert_ne!(listing.digest(), digest);
}

#[test]
fn classes_that_hold_folders_only_are_taken_with_a_note() {
    let dir = tree(&["photos/cat/1.jpg", "photos/dog/2.jpg"]);
    let listing = scan(dir.path()).unwrap();
    assert_eq!(listing.splits[0].classes, ["photos"]);
    assert!(listing.notes[0].contains("get the one class `photos`"), "{:?}", listing.notes);
    let dir = tree(&["2019/may/1.jpg", "2020/june/2.jpg"]);
    let notes = scan(dir.path()).unwrap().notes;
    assert!(notes[0].contains("`2019`, `2020` hold folders only"), "{notes:?}");
    let dir = tree(&["cat/1.jpg", "dog/deep/2.jpg"]);
    assert_eq!(scan(dir.path()).unwrap().notes, [""; 0]);
}

/// What becomes of a file: `None` where it is read, else whether it is only left out, and the reason.
fn rejection(split: &SplitListing, file: usize) -> Option<(bool, String)> {
    match split.read(file, 1 << 20) {
        Ok(_) => None,
        Err(Rejection::Refused(refusal)) => Some((true, refusal.reason)),
        Err(Rejection::Failed(error)) => Some((false, error.to_string())),
    }
}

#[test]
fn a_file_that_is_gone_is_left_out_and_a_folder_that_is_gone_ends_the_run() {
    let dir = tree(&["a/1.jpg", "a/2.jpg", "a/3.jpg", "b/4.jpg"]);
    let split = scan(dir.path()).unwrap().splits.remove(0);
    fs::remove_file(dir.path().join("a/1.jpg")).unwrap();
    let (is_refused, reason) = rejection(&split, 0).unwrap();
    assert!(is_refused && reason.contains("No such file"), "{reason}");
    fs::remove_file(dir.path().join("a/2.jpg")).unwrap();
    create_dir_all(dir.path().join("a/2.jpg")).unwrap();
    let (is_refused, reason) = rejection(&split, 1).unwrap();
    assert!(is_refused && reason.contains("directory"), "{reason}");
    assert_eq!(rejection(&split, 2), None);
    fs::remove_dir_all(dir.path().join("b")).unwrap();
    let (is_refused, message) = rejection(&split, 3).unwrap();
    assert!(!is_refused && message.contains("b/4.jpg"), "{message}");
    assert!(message.contains("the same command goes on"), "{message}");
}

#[test]
fn an_io_error_ends_the_run_and_is_no_property_of_the_image() {
    // Reading the memory of a process at address 0 is an I/O error, as on a disk or mount that fails.
    let failing = Path::new("/proc/self/mem");
    if fs::read(failing).err().and_then(|error| error.raw_os_error()) != Some(5) {
        eprintln!("SKIPPED: {} does not fail as expected", failing.display());
        return;
    }
    let dir = tree(&["a/1.jpg"]);
    symlink(failing, dir.path().join("a/2.jpg")).unwrap();
    let split = scan(dir.path()).unwrap().splits.remove(0);
    assert_eq!(rejection(&split, 0), None);
    let (is_refused, message) = rejection(&split, 1).unwrap();
    assert!(!is_refused && message.contains("a/2.jpg"), "{message}");
}

#[test]
fn a_tar_that_was_changed_since_it_was_listed_ends_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    let tar = |content: &[u8]| {
        let mut builder = tar::Builder::new(fs::File::create(&path).unwrap());
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, "a/1.jpg", content).unwrap();
        builder.finish().unwrap();
    };
    tar(b"first");
    let split = scan(&path).unwrap().splits.remove(0);
    assert_eq!(split.read(0, 100).unwrap(), b"first");
    tar(b"other");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(9);
    fs::File::options().append(true).open(&path).unwrap().set_modified(later).unwrap();
    let Err(Rejection::Failed(error)) = split.read(0, 100) else { panic!("it was read") };
    let cause = std::error::Error::source(&*error).unwrap().to_string();
    assert!(cause.contains("x.tar was changed while it was in use"), "{cause}");
    fs::remove_file(&path).unwrap();
    assert!(matches!(rejection(&split, 0), Some((false, _))), "a tar is many images");
}

#[test]
fn a_parquet_file_that_was_changed_since_it_was_listed_ends_the_run() {
    let dir = tree(&[]);
    let (src, out) = (dir.path().join("src"), dir.path().join("out"));
    create_dir_all(src.join("a")).unwrap();
    let mut image = Vec::new();
    jpeg_encoder::Encoder::new(&mut image, 90)
        .encode(&[7; 16 * 16 * 3], 16, 16, jpeg_encoder::ColorType::Rgb)
        .unwrap();
    write(src.join("a/1.jpg"), &image).unwrap();
    crate::shard::shard(&src, &out, &crate::shard::ShardOptions::default(), &()).unwrap();
    let path = dir.path().join("x.parquet");
    let file = out.join("train/train-00000-of-00001.parquet");
    let listed = || {
        fs::copy(&file, &path).unwrap();
        scan(&path).unwrap().splits.remove(0)
    };
    assert_eq!(listed().read(0, 1 << 20).unwrap(), image);
    let split = listed();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(9);
    fs::File::options().append(true).open(&path).unwrap().set_modified(later).unwrap();
    let Err(Rejection::Failed(error)) = split.read(0, 1 << 20) else { panic!("it was read") };
    let cause = std::error::Error::source(&*error).unwrap().to_string();
    assert!(cause.contains("x.parquet was changed while it was in use"), "{cause}");
}
