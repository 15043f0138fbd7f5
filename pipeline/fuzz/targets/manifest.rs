//! A manifest from anywhere: as a file, and with a digest that fits, which no mutation would find.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use smog_pipeline::manifest::{FORMAT, MANIFEST_FILE, Manifest, VERSION};
use smog_pipeline::source::{ParquetSource, Source as _};

static FOLDER: LazyLock<PathBuf> =
    LazyLock::new(|| tempfile::tempdir().expect("a temporary folder").keep());

fuzz_target!(|text: &[u8]| {
    fs::write(FOLDER.join(MANIFEST_FILE), text).expect("written");
    let _ = Manifest::read(&FOLDER);
    let Ok(mut manifest) = serde_json::from_slice::<Manifest>(text) else { return };
    (manifest.format, manifest.version) = (FORMAT.to_owned(), VERSION);
    manifest.digest = manifest.content_digest();
    if manifest.write(&FOLDER).is_ok() {
        let read = Manifest::read(&FOLDER).expect("what was written can be read");
        assert_eq!(read.row_groups().count(), manifest.row_groups().count());
        if let Ok(source) = ParquetSource::open(&FOLDER) {
            assert_eq!(source.row_groups().len(), read.row_groups().count());
        }
    }
});
