use std::fs;
use std::path::PathBuf;

use arrow::array::Array as _;
use bytes::Bytes;
use jpeg_encoder::{ColorType, Encoder};
use parquet::file::metadata::ParquetMetaDataReader;

use super::*;
use crate::codec::probe;
use crate::manifest::Digest;
use crate::shard::{ShardOptions, shard};
use crate::source::TableSource;

/// A folder of class folders with small JPEGs, and the bytes of each file by its path.
fn images(classes: &[&str], per_class: u32) -> (tempfile::TempDir, Vec<(String, Vec<u8>)>) {
    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (label, class) in classes.iter().enumerate() {
        fs::create_dir_all(dir.path().join("src").join(class)).unwrap();
        for number in 0..per_class {
            let (width, height) = (16 + number as u16 % 7, 20 + label as u16);
            let seed = number * 31 + label as u32 * 977;
            let pixels: Vec<u8> = (0..u32::from(width) * u32::from(height) * 3)
                .map(|byte| ((byte * 7 + seed) % 251) as u8)
                .collect();
            let mut bytes = Vec::new();
            Encoder::new(&mut bytes, 90).encode(&pixels, width, height, ColorType::Rgb).unwrap();
            let path = format!("{class}/{number:03}.jpg");
            fs::write(dir.path().join("src").join(&path), &bytes).unwrap();
            files.push((path, bytes));
        }
    }
    (dir, files)
}

fn sharded(dir: &Path, options: &ShardOptions) -> PathBuf {
    shard(&dir.join("src"), &dir.join("out"), options, &()).unwrap();
    dir.join("out/train")
}

fn small() -> ShardOptions {
    ShardOptions {
        shard_bytes: 40_000,
        row_group_bytes: 10_000,
        row_group_rows: 7,
        jobs: 2,
        ..ShardOptions::default()
    }
}

#[test]
fn every_image_comes_back_byte_for_byte_with_its_label_and_header() {
    let (dir, files) = images(&["cat", "dog", "eel"], 40);
    let options = ShardOptions { row_group_bytes: 4_200, ..small() };
    let source = ParquetSource::open(&sharded(dir.path(), &options)).unwrap();
    assert!(source.manifest().shards.len() > 1);
    assert_eq!(source.classes(), ["cat", "dog", "eel"]);
    let mut seen = Vec::new();
    let mut next = 0;
    for (index, info) in source.row_groups().to_vec().into_iter().enumerate() {
        let group = source.read(RowGroupId(index as u32)).unwrap();
        assert_eq!((group.first_sample.0, group.rows()), (next, info.rows));
        assert!(info.rows <= 7 && (info.bytes <= 4_200 || info.rows == 1));
        next += info.rows;
        let facts = source.read_facts(RowGroupId(index as u32)).unwrap();
        assert_eq!((&facts.labels, &facts.paths), (&group.labels, &group.paths));
        for row in 0..group.rows() {
            let encoded = group.encoded(row).to_vec();
            assert_eq!(group.metas[row as usize], probe(&encoded).unwrap());
            let path = group.paths[row as usize].clone();
            let class = &source.classes()[group.labels[row as usize] as usize];
            assert!(path.starts_with(class.as_str()));
            seen.push((path, encoded));
        }
    }
    let cut = |info: &RowGroupInfo| info.rows < 7 && info.bytes > 3_000;
    assert!(source.row_groups().iter().any(cut), "bytes, not rows, end some row groups");
    assert!(!seen.is_sorted(), "rows are shuffled");
    seen.sort();
    assert_eq!(seen, files);
}

#[test]
fn the_manifest_gives_place_and_digest_of_every_row_group() {
    let (dir, _) = images(&["a", "b"], 30);
    let split = sharded(dir.path(), &small());
    let manifest = Manifest::read(&split).unwrap();
    for shard in &manifest.shards {
        let file = fs::read(split.join(&shard.file)).unwrap();
        let footer = shard.footer.unwrap();
        let spans = shard.row_groups.iter().map(|group| group.span.unwrap()).chain([footer]);
        for span in spans {
            let range = span.range();
            let part = &file[range.start as usize..range.end as usize];
            assert_eq!(span.blake3, Digest::of(part));
        }
        let metadata = ParquetMetaDataReader::new()
            .parse_and_finish(&Bytes::from(file))
            .expect("it is a Parquet file");
        for (found, listed) in metadata.row_groups().iter().zip(&shard.row_groups) {
            let range = listed.span.unwrap().range();
            for column in found.columns() {
                let (start, length) = column.byte_range();
                assert!(range.contains(&start) && start + length <= range.end);
            }
        }
    }
}

#[test]
fn image_bytes_are_not_copied_after_the_read() {
    let (dir, _) = images(&["a"], 6);
    let source = ParquetSource::open(&sharded(dir.path(), &small())).unwrap();
    let group = source.read(RowGroupId(0)).unwrap();
    // All views lie in buffers that are the pages of the one read: views that were copied would lie in
    // buffers of exactly their own bytes, without the lengths that stand between values in a page.
    let image_bytes: usize = (0..group.rows()).map(|row| group.encoded(row).len()).sum();
    let buffers: usize = group.images.data_buffers().iter().map(|buffer| buffer.len()).sum();
    assert_eq!(buffers, image_bytes + 4 * group.images.len());
}

#[test]
fn concurrent_reads_give_the_same_rows() {
    let (dir, _) = images(&["a", "b"], 30);
    let source = ParquetSource::open(&sharded(dir.path(), &small())).unwrap();
    let read = || -> Vec<Vec<u8>> {
        (0..source.row_groups().len() as u32)
            .flat_map(|index| {
                let group = source.read(RowGroupId(index)).unwrap();
                (0..group.rows()).map(|row| group.encoded(row).to_vec()).collect::<Vec<_>>()
            })
            .collect()
    };
    let expected = read();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(read)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), expected);
        }
    });
}

#[test]
fn a_missing_or_cut_shard_is_named_when_the_split_is_opened() {
    let (dir, _) = images(&["a"], 40);
    let split = sharded(dir.path(), &small());
    let name = Manifest::read(&split).unwrap().shards[1].file.clone();
    let bytes = fs::read(split.join(&name)).unwrap();
    fs::write(split.join(&name), &bytes[..bytes.len() - 1]).unwrap();
    let error = ParquetSource::open(&split).err().unwrap();
    assert!(matches!(error, OpenError::ShardSize { .. }) && error.to_string().contains(&name));
    fs::remove_file(split.join(&name)).unwrap();
    let error = ParquetSource::open(&split).err().unwrap();
    assert!(matches!(error, OpenError::MissingShard { .. }) && error.to_string().contains(&name));
}

#[test]
fn a_damaged_shard_is_an_error_that_names_shard_and_row_group() {
    let (dir, _) = images(&["a"], 40);
    let split = sharded(dir.path(), &small());
    let name = Manifest::read(&split).unwrap().shards[0].file.clone();
    let path = split.join(&name);
    let whole = fs::read(&path).unwrap();
    let read_all = || -> Vec<SourceError> {
        let source = ParquetSource::open(&split).unwrap();
        let groups = 0..source.row_groups().len() as u32;
        groups.filter_map(|group| source.read(RowGroupId(group)).err()).collect()
    };
    assert!(read_all().is_empty());
    // A footer of noise: every row group of this shard fails, none panics.
    let mut bytes = whole.clone();
    let middle = bytes.len() - 300;
    bytes[middle..].fill(0xA5);
    fs::write(&path, &bytes).unwrap();
    let errors = read_all();
    assert!(!errors.is_empty());
    assert!(errors.iter().all(|error| error.to_string().contains(&name)), "{errors:?}");
    // Noise over the pages, one place after the other: an error or images that were changed, no panic.
    for place in (4..whole.len() - 400).step_by(997) {
        let mut bytes = whole.clone();
        bytes[place..place + 40].fill(0xFF);
        fs::write(&path, &bytes).unwrap();
        for error in read_all() {
            assert!(error.to_string().contains(&name), "{error}");
        }
    }
}

#[test]
fn a_manifest_that_counts_other_rows_is_contradicted_by_the_shard() {
    let (dir, _) = images(&["a"], 40);
    let split = sharded(dir.path(), &small());
    let mut manifest = Manifest::read(&split).unwrap();
    let groups = &mut manifest.shards[0].row_groups;
    (groups[0].rows, groups[1].rows) = (groups[0].rows - 1, groups[1].rows + 1);
    manifest.digest = manifest.content_digest();
    manifest.write(&split).unwrap();
    let error = ParquetSource::open(&split).unwrap().read(RowGroupId(1)).unwrap_err();
    assert!(error.to_string().contains("row group 0: it has 7 rows"), "{error}");
}

#[test]
fn a_flat_folder_has_label_minus_one_and_no_label_column() {
    let (dir, _) = images(&["a"], 5);
    let flat = dir.path().join("flat");
    fs::rename(dir.path().join("src/a"), &flat).unwrap();
    let out = dir.path().join("out");
    shard(&flat, &out, &small(), &()).unwrap();
    let source = ParquetSource::open(&out.join("train")).unwrap();
    assert_eq!(source.read(RowGroupId(0)).unwrap().labels, [-1; 5]);
    let footer = source.split.footer(RowGroupId(0), 0).unwrap();
    assert!(footer.schema().field_with_name("label").is_err());
}

/// The error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// Replaces the file of a shard, under a manifest without digests of its parts.
fn replace_shard(split: &Path, content: &[u8]) -> PathBuf {
    let mut manifest = Manifest::read(split).unwrap();
    let shard = &mut manifest.shards[0];
    shard.bytes = content.len() as u64;
    shard.footer = None;
    shard.row_groups.iter_mut().for_each(|group| group.span = None);
    let path = split.join(&shard.file);
    manifest.digest = manifest.content_digest();
    manifest.write(split).unwrap();
    fs::write(&path, content).unwrap();
    path
}

/// Fourteen lists of 2^31 - 1 booleans each, which take no bytes: the Parquet reader counts through them for minutes.
fn endless_list() -> Vec<u8> {
    let list = [0xf1, 0xff, 0xff, 0xff, 0xff, 0x07];
    [&[0xf9, 0xe9][..], &list.repeat(14)].concat()
}

/// Found by fuzzing.
#[test]
fn a_list_without_end_in_footer_or_page_header_is_refused_at_once_and_the_file_named() {
    let (dir, _) = images(&["a"], 6);
    let split = sharded(dir.path(), &small());
    let whole = fs::read(split.join(&Manifest::read(&split).unwrap().shards[0].file)).unwrap();

    // The header of the first page: types and sizes, then the list.
    let mut page = whole.clone();
    let header = [&[0x15, 0, 0x15, 2, 0x15, 2], &endless_list()[..], &[0]].concat();
    page[4..4 + header.len()].copy_from_slice(&header);
    let path = replace_shard(&split, &page);
    let source = ParquetSource::open(&split).unwrap();
    let message = chain(&source.read(RowGroupId(0)).unwrap_err());
    let name = path.file_name().unwrap().to_str().unwrap();
    for part in [name, "page header at 4", "2147483647"] {
        assert!(message.contains(part), "{message} should say {part}");
    }
    let message = chain(&TableSource::open(std::slice::from_ref(&path)).err().unwrap());
    assert!(message.contains(name) && message.contains("page header at 4"), "{message}");

    // The footer, with one more field before its end.
    let tail = whole.len() - 8;
    let length = u32::from_le_bytes(whole[tail..tail + 4].try_into().unwrap());
    let more = endless_list();
    let length = (length + more.len() as u32).to_le_bytes();
    let footer = [&whole[..tail - 1], &more[..], &[0], &length[..], b"PAR1"].concat();
    let path = replace_shard(&split, &footer);
    let source = ParquetSource::open(&split).unwrap();
    let message = chain(&source.read(RowGroupId(0)).unwrap_err());
    assert!(message.contains(name) && message.contains("footer is damaged"), "{message}");
    let message = chain(&TableSource::open(std::slice::from_ref(&path)).err().unwrap());
    assert!(message.contains(name) && message.contains("footer is damaged"), "{message}");
}

#[test]
fn a_footer_is_compared_with_its_digest_before_it_is_parsed() {
    let (dir, _) = images(&["a"], 6);
    let split = sharded(dir.path(), &small());
    let name = Manifest::read(&split).unwrap().shards[0].file.clone();
    let mut bytes = fs::read(split.join(&name)).unwrap();
    let at = bytes.len() - 20;
    bytes[at] ^= 1;
    fs::write(split.join(&name), &bytes).unwrap();
    let message = ParquetSource::open(&split).unwrap().read(RowGroupId(0)).unwrap_err().to_string();
    for part in [name.as_str(), "its footer has the digest", "smog-tools verify"] {
        assert!(message.contains(part), "{message} should say {part}");
    }
}

#[test]
fn the_manifest_knows_the_coefficients_of_the_largest_image_of_several_scans() {
    let (dir, _) = images(&["a", "b"], 20);
    let split = sharded(dir.path(), &small());
    assert_eq!(ParquetSource::open(&split).unwrap().max_coefficient_bytes(), 0);

    for (name, side) in [("a/small.jpg", 12), ("b/large.jpg", 18)] {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 90);
        encoder.set_progressive(true);
        encoder.encode(&vec![77; 3 * 12 * side], side as u16, 12, ColorType::Rgb).unwrap();
        fs::write(dir.path().join("src").join(name), &bytes).unwrap();
    }
    let split = sharded(dir.path(), &ShardOptions { overwrite: true, ..small() });
    assert_eq!(ParquetSource::open(&split).unwrap().max_coefficient_bytes(), 2 * 3 * 12 * 18);

    // An older manifest does not say, so the largest image may be such a one.
    let mut manifest = Manifest::read(&split).unwrap();
    manifest.sizes.max_coefficient_bytes = None;
    manifest.write(&split).unwrap();
    let source = ParquetSource::open(&split).unwrap();
    assert_eq!(source.max_coefficient_bytes(), 2 * 3 * source.max_pixels());
}

/// They are forecast before they are read.
#[test]
fn footers_take_the_memory_that_is_forecast() {
    let (dir, _) = images(&["a", "b", "c"], 60);
    for row_group_rows in [2, 30] {
        let options = ShardOptions { row_group_rows, overwrite: true, ..small() };
        let source = ParquetSource::open(&sharded(dir.path(), &options)).unwrap();
        let forecast = source.held_bytes();
        (0..source.row_groups().len() as u32).for_each(|group| {
            source.read(RowGroupId(group)).unwrap();
        });
        let footers = source.split.shards.iter().map(|shard| shard.footer.get().unwrap());
        let lists = size_of_val(&*source.split.groups) + size_of_val(&*source.split.places);
        let found = footers.map(|footer| footer.metadata().memory_size()).sum::<usize>() + lists;
        println!("{row_group_rows} rows a row group: {found} bytes, forecast {forecast}");
        assert!(found as u64 <= forecast && forecast <= 6 * found as u64, "{found}, {forecast}");
    }
}
