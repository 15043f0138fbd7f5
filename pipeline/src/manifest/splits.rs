//! Splits that lie beside one another: finding one, and saying what is there instead.

use std::fs;
use std::path::{Path, PathBuf};

use super::{MANIFEST_FILE, Manifest, ManifestError};

/// Finished splits in `dir`, by name: folders beside one another that have a manifest.
pub fn list_splits(dir: &Path) -> Vec<(String, PathBuf)> {
    let mut found: Vec<(String, PathBuf)> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let path = entry.path();
            (!name.starts_with('.') && path.join(MANIFEST_FILE).is_file()).then_some((name, path))
        })
        .collect();
    found.sort();
    found
}

/// The folder of a split. `dir` is that folder itself or the folder of splits that
/// `smog-tools shard` wrote. `val` and `validation` are the same split.
///
/// # Errors
/// If it is not there; the error lists the splits that are.
pub fn find_split(dir: &Path, split: &str) -> Result<PathBuf, ManifestError> {
    let alias = match split {
        "val" => "validation",
        "validation" => "val",
        other => other,
    };
    if dir.join(MANIFEST_FILE).is_file() {
        let manifest = Manifest::read(dir)?;
        if manifest.split == split || manifest.split == alias {
            return Ok(dir.to_path_buf());
        }
        return Err(ManifestError::NoSplit {
            dir: dir.to_path_buf(),
            split: split.to_owned(),
            found: vec![manifest.split],
        });
    }
    let splits = list_splits(dir);
    for name in [split, alias] {
        if let Some((_, path)) = splits.iter().find(|(found, _)| found == name) {
            return Ok(path.clone());
        }
    }
    if splits.is_empty() {
        return Err(ManifestError::Missing { dir: dir.to_path_buf(), hint: hint(dir) });
    }
    Err(ManifestError::NoSplit {
        dir: dir.to_path_buf(),
        split: split.to_owned(),
        found: splits.into_iter().map(|(name, _)| name).collect(),
    })
}

/// What stands in `dir` instead of a manifest, as a clause that begins with ` (`.
pub(super) fn hint(dir: &Path) -> String {
    if !dir.exists() {
        return " (there is no such folder)".to_owned();
    }
    if !dir.is_dir() {
        return " (it is a file)".to_owned();
    }
    let splits: Vec<String> = list_splits(dir).into_iter().map(|(name, _)| name).collect();
    if !splits.is_empty() {
        return format!(" (but the splits {}: name one)", quoted(&splits));
    }
    let partial = fs::read_dir(dir).into_iter().flatten().flatten().find_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        (name.starts_with('.') && name.ends_with(".partial")).then_some(name)
    });
    match partial {
        Some(name) => format!(
            " (but an unfinished `smog-tools shard` run in {name}: give the same command again and it goes \
             on, or, where all parts of it are done, `smog-tools merge`)"
        ),
        None => String::new(),
    }
}

pub(super) fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
