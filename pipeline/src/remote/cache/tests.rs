use super::*;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

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
    fs::write(cache.dir.join("000001-000001.77-0.tmp"), content(1)).unwrap();
    assert!(cache.get(1, row_group(1), None).is_none());
    cache.put(1, row_group(1), &content(1));
    cache.put(1, row_group(2), &content(2));
    assert!(cache.get(1, row_group(2), None).is_some(), "the temporary file gave way");
    assert_eq!(on_disk(dir.path()), 2 * (960 + HEAD_BYTES));
}

#[test]
fn processes_share_the_bound_and_only_unused_data_sets_give_way() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (
        Cache::open(&options(dir.path(), 5_500), A).unwrap(),
        Cache::open(&options(dir.path(), 5_500), B).unwrap(),
    );
    std::thread::scope(|scope| {
        for cache in [&first, &second, &first, &second] {
            scope.spawn(move || {
                (0..10).for_each(|number| cache.put(number, row_group(number), &content(number)));
            });
        }
    });
    assert!(on_disk(dir.path()) <= 5_500);
    let kept = |cache: &Cache| {
        (0..10).filter(|&number| cache.get(number, row_group(number), None).is_some()).count()
    };
    let of_first = kept(&first);
    assert_eq!(of_first + kept(&second), 5);
    second.put(11, row_group(11), &content(11));
    assert_eq!(kept(&first), of_first, "in use");

    let long_ago = FileTimes::new().set_modified(SystemTime::now() - 2 * UNUSED_AFTER);
    File::options()
        .append(true)
        .open(first.dir.join(USED_FILE))
        .unwrap()
        .set_times(long_ago)
        .unwrap();
    for number in 0..10 {
        second.put(number, row_group(number), &content(number));
    }
    assert_eq!((kept(&first), kept(&second)), (0, 5));
    assert!(on_disk(dir.path()) <= 5_500);
}
