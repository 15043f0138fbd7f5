//! A shard from anywhere, under a manifest that fits it, and by itself as a file of Hugging Face `datasets`.
#![no_main]

use std::error::Error as _;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use parquet::file::metadata::ParquetMetaDataReader;
use serde_json::json;
use smog_pipeline::manifest::{MANIFEST_FILE, Manifest};
use smog_pipeline::sample::RowGroupId;
use smog_pipeline::source::{ParquetSource, Source as _, TableSource};

/// As many rows as a row group may have when `smog-tools shard` writes it.
const MAX_ROWS: i64 = 1 << 16;

static FOLDER: LazyLock<PathBuf> =
    LazyLock::new(|| tempfile::tempdir().expect("a temporary folder").keep());

/// Opens the shard under a manifest with these row groups.
fn open(shard: &[u8], rows: &[i64], classes: Vec<String>) -> ParquetSource {
    let groups: Vec<_> = rows.iter().map(|rows| json!({"rows": rows, "bytes": 1})).collect();
    let manifest = json!({
        "format": "smog-shards", "version": 1, "created_by": "fuzz", "split": "train",
        "classes": classes, "num_samples": rows.iter().sum::<i64>(),
        "image_bytes": rows.len(), "num_refused": 0, "shuffle_seed": null, "check": "decode",
        "sizes": {"width": [1, 1], "height": [1, 1], "max_pixels": 1, "mean_pixels": 1.0,
                  "max_bytes": 1},
        "shards": [{"file": "train.parquet", "bytes": shard.len(),
                    "blake3": blake3::hash(shard).to_hex().as_str(), "row_groups": groups}],
        "digest": "",
    });
    let mut manifest: Manifest = serde_json::from_value(manifest).expect("fits the layout");
    manifest.digest = manifest.content_digest();
    let text = serde_json::to_vec(&manifest).expect("serialises");
    fs::write(FOLDER.join(MANIFEST_FILE), text).expect("written");
    ParquetSource::open(&FOLDER).expect("the manifest fits")
}

fuzz_target!(|shard: &[u8]| {
    fs::write(FOLDER.join("train.parquet"), shard).expect("written");
    // What the source refuses to have parsed must not be parsed here either.
    let refused = open(shard, &[4], vec![]).read(RowGroupId(0)).err();
    let refused = refused.and_then(|error| error.source().map(ToString::to_string));
    if refused.is_some_and(|problem| problem.contains("its footer is damaged")) {
        return;
    }
    // Row counts of the footer, so that the source does not stop at the first comparison.
    let found = ParquetMetaDataReader::new().parse_and_finish(&Bytes::copy_from_slice(shard));
    let Ok(found) = found else { return };
    let rows: Vec<i64> = found.row_groups().iter().map(|group| group.num_rows()).collect();
    if rows.is_empty() || rows.len() > 64 || !rows.iter().all(|rows| (1..=MAX_ROWS).contains(rows))
    {
        return;
    }
    for classes in [vec![], vec!["a".to_owned(), "b".to_owned()]] {
        let source = open(shard, &rows, classes);
        for group in 0..rows.len() as u32 {
            if let Ok(group) = source.read(RowGroupId(group)) {
                for row in 0..group.rows() {
                    let _ = smog_pipeline::codec::probe(group.encoded(row));
                }
            }
            let _ = source.read_facts(RowGroupId(group));
        }
    }
    let _ = TableSource::open(&[FOLDER.join("train.parquet")]).map(|source| {
        for group in 0..source.row_groups().len().min(64) as u32 {
            let _ = source.read(RowGroupId(group));
        }
    });
});
