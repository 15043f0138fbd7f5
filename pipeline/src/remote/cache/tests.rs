use super::*;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// Length of the file that is locked.
const SUM_BYTES: u64 = 8;

fn options(dir: &Path, max_bytes: u64) -> CacheOptions {
    CacheOptions { dir: dir.to_path_buf(), max_bytes }
}

fn content(number: u32) -> Vec<u8> {
    (0..960).map(|byte| (byte * 7 + number * 31) as u8).collect()
}

/// Bytes of all files in the cache, counted from outside.
fn on_disk(dir: &Path) -> u64 {
    let mut bytes = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        bytes += if path.is_dir() { on_disk(&path) } else { path.metadata().unwrap().len() };
    }
    bytes
}

fn set_modified(path: &Path, time: SystemTime) {
    File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

fn row_group(number: u32) -> CachePart {
    CachePart::RowGroup(number)
}

#[test]
fn what_was_put_comes_back_until_the_bound_is_reached() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(&options(dir.path(), 5_500), A).unwrap();
    for number in 0..20 {
        cache.put(number, row_group(number), &content(number));
        assert!(on_disk(dir.path()) <= 5_500);
    }
    let kept: Vec<u32> =
        (0..20).filter(|&number| cache.get(number, row_group(number), None).is_some()).collect();
    assert_eq!(kept, [0, 1, 2, 3, 4], "the first stay");
    assert_eq!(cache.get(3, row_group(3), Some(Digest::of(&content(3)))).unwrap(), content(3));
    assert!(cache.get(3, CachePart::Footer, None).is_none());
}

#[test]
fn a_damaged_file_is_removed_and_can_be_put_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(&options(dir.path(), 1 << 20), A).unwrap();
    type Damage = fn(&Path);
    let damages: [Damage; 4] = [
        |path| fs::write(path, b"").unwrap(),
        |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[500] ^= 1;
            fs::write(path, bytes).unwrap();
        },
        |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
        },
        |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[0] = b'x';
            fs::write(path, bytes).unwrap();
        },
    ];
    for damage in damages {
        cache.put(1, row_group(2), &content(1));
        damage(&cache.path(1, row_group(2)));
        assert_eq!(cache.get(1, row_group(2), None), None);
        assert!(!cache.path(1, row_group(2)).exists());
    }
    cache.put(1, row_group(2), &content(1));
    assert!(cache.get(1, row_group(2), Some(Digest::of(b"other"))).is_none(), "another row group");
}

#[test]
fn a_process_that_was_killed_leaves_nothing_that_counts_or_passes_for_a_row_group() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(&options(dir.path(), 2_500), A).unwrap();
    let left = cache.dir.join("000001-000001.77-0.tmp");
    fs::write(&left, content(1)).unwrap();
    set_modified(&left, SystemTime::now() - 2 * TEMPORARY_FOR);
    assert!(cache.get(1, row_group(1), None).is_none());
    cache.put(1, row_group(1), &content(1));
    cache.put(1, row_group(2), &content(2));
    assert!(cache.get(1, row_group(2), None).is_some(), "the temporary file gave way");
    assert_eq!(on_disk(dir.path()), 2 * (960 + HEAD_BYTES) + SUM_BYTES);
}

#[test]
fn processes_share_the_bound_and_only_unused_data_sets_give_way() {
    let dir = tempfile::tempdir().unwrap();
    let (first, mut second) = (
        Cache::open(&options(dir.path(), 5_500), A).unwrap(),
        Cache::open(&options(dir.path(), 5_500), B).unwrap(),
    );
    std::thread::scope(|scope| {
        for (cache, start) in [(&first, 0), (&second, 0), (&first, 10), (&second, 10)] {
            scope.spawn(move || {
                (start..start + 10)
                    .for_each(|number| cache.put(number, row_group(number), &content(number)));
            });
        }
    });
    assert!(on_disk(dir.path()) <= 5_500);
    let kept = |cache: &Cache| {
        (0..20).filter(|&number| cache.get(number, row_group(number), None).is_some()).count()
    };
    second.rest = Duration::ZERO;
    let of_first = kept(&first);
    assert_eq!(of_first + kept(&second), 5);
    second.put(21, row_group(21), &content(21));
    assert_eq!(kept(&first), of_first, "in use");

    set_modified(&first.dir.join(USED_FILE), SystemTime::now() - 2 * UNUSED_AFTER);
    for number in 0..10 {
        second.put(number, row_group(number), &content(number));
    }
    assert_eq!((kept(&first), kept(&second)), (0, 5));
    assert!(on_disk(dir.path()) <= 5_500);
}

#[test]
fn what_is_not_of_the_cache_is_neither_counted_nor_removed() {
    let dir = tempfile::tempdir().unwrap();
    let foreign = [
        "photos/deep/1.jpg".to_owned(),
        format!("{B}/a file"),
        format!("{ROOT}/notes/a file"),
        // Named as a data set is, but never used as one.
        format!("{ROOT}/{}/a file", &B[..NAME_LETTERS]),
    ];
    for file in &foreign {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, [0; 9_000]).unwrap();
    }
    let cache = Cache::open(&options(dir.path(), 5_500), A).unwrap();
    for number in 0..10 {
        cache.put(number, row_group(number), &content(number));
    }
    let kept = (0..10).filter(|&number| cache.get(number, row_group(number), None).is_some());
    assert_eq!(kept.count(), 5, "nothing else is counted");
    for file in foreign {
        assert_eq!(fs::metadata(dir.path().join(&file)).unwrap().len(), 9_000, "{file}");
    }
}

#[test]
fn a_lock_that_is_never_let_go_costs_some_seconds_once_and_no_row_group() {
    let dir = tempfile::tempdir().unwrap();
    let mut cache = Cache::open(&options(dir.path(), 1 << 20), A).unwrap();
    cache.put(0, row_group(0), &content(0));
    // As a process does that was stopped.
    let lock = File::open(cache.root.join(LOCK_FILE)).unwrap();
    lock.lock().unwrap();
    let tried = cache.next.load(Relaxed);
    for number in 1..20 {
        cache.put(number, row_group(number), &content(number));
    }
    assert_eq!(cache.next.load(Relaxed), tried + 1, "each try waits for the lock");
    assert!(cache.get(0, row_group(0), None).is_some(), "what is there is read");
    assert!(cache.get(1, row_group(1), None).is_none());
    drop(lock);
    cache.rest = Duration::ZERO;
    cache.put(1, row_group(1), &content(1));
    assert!(cache.get(1, row_group(1), None).is_some());
}

#[test]
fn the_cache_is_counted_once_and_again_when_it_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let mut cache = Cache::open(&options(dir.path(), 5_500), A).unwrap();
    cache.put(0, row_group(0), &content(0));
    // Not to be seen but by counting.
    let added = cache.dir.join("000009-000009");
    fs::write(&added, [0; 9_000]).unwrap();
    cache.put(1, row_group(1), &content(1));
    assert!(cache.get(1, row_group(1), None).is_some(), "not counted again");
    cache.put(2, CachePart::Footer, &[0; 4_000]);
    assert!(cache.get(2, CachePart::Footer, None).is_none(), "counted, and found to be full");
    fs::remove_file(&added).unwrap();
    cache.put(3, row_group(3), &content(3));
    assert!(cache.get(3, row_group(3), None).is_none(), "not tried again at once");
    cache.rest = Duration::ZERO;
    cache.put(3, row_group(3), &content(3));
    assert!(cache.get(3, row_group(3), None).is_some(), "the sum was counted again");
}

#[test]
fn a_folder_that_was_removed_under_the_cache_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(&options(dir.path(), 1 << 20), A).unwrap();
    cache.put(0, row_group(0), &content(0));
    fs::remove_dir_all(&cache.dir).unwrap();
    cache.put(1, row_group(1), &content(1));
    assert!(cache.get(1, row_group(1), None).is_some());
}
