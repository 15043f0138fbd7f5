//! A README for the folder of splits that Hugging Face `datasets` reads: without it, `load_dataset(OUT)`
//! would take the manifest for data, too.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use super::error::ShardError;
use crate::atomic::write_atomic;
use crate::manifest::{Manifest, list_splits};

pub(super) const CARD_FILE: &str = "README.md";
/// Marks a card as ours to replace.
pub(super) const MARK: &str = "<!-- written by smog-tools shard -->";

/// Writes the card for all splits in `out`, unless somebody put a README of their own there.
pub(super) fn write(out: &Path) -> Result<(), ShardError> {
    let path = out.join(CARD_FILE);
    match fs::read_to_string(&path) {
        Ok(text) if !text.contains(MARK) => return Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(ShardError::io("read", path)(error));
        }
        _ => {}
    }
    let mut head = String::from("---\nconfigs:\n- config_name: default\n  data_files:\n");
    let mut table = String::from("| split | images | classes | shards |\n|---|---|---|---|\n");
    for (name, dir) in list_splits(out) {
        let manifest = Manifest::read(&dir)?;
        // Writing to a String cannot fail.
        // `datasets` takes letters, digits and underscores in split names.
        let split: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let _ = writeln!(head, "  - split: {split}\n    path: \"{name}/*.parquet\"");
        let _ = writeln!(
            table,
            "| {name} | {} | {} | {} |",
            manifest.num_samples,
            manifest.classes.len(),
            manifest.shards.len()
        );
    }
    let text = format!(
        "{head}---\n{MARK}\n# Image shards\n\n{table}\nImage bytes are stored untouched in Parquet. \
         `manifest.json` describes each split, `refused.jsonl` lists the files that were left out.\n"
    );
    write_atomic(&path, text.as_bytes()).map_err(ShardError::io("write", path))
}
