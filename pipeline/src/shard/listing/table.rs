//! The rows of Parquet files as entries.

use std::path::Path;

use super::labels::class_names;
use super::place::{Place, TableRows};
use super::tars::safe_name;
use super::{ListOptions, Listing, ShardError, SplitListing};
use crate::sample::RowGroupId;
use crate::source::{Source as _, SplitFiles, TableSource};

pub(super) fn scan(files: &SplitFiles, options: &ListOptions<'_>) -> Result<Listing, ShardError> {
    let names = files.names();
    let mut listing = Listing::default();
    for name in &names {
        let source = TableSource::open(files.of(name)?)?;
        // A name that was asked for stands for the only split.
        let split = options.split.filter(|_| names.len() == 1).unwrap_or(name);
        listing.splits.push(SplitListing::table(split, source, options.classes)?);
    }
    Ok(listing)
}

impl SplitListing {
    fn table(split: &str, source: TableSource, classes: Option<&Path>) -> Result<Self, ShardError> {
        // The place is known when the source has told all its rows.
        let mut listing = Self::new(split, String::new(), Place::Folder("".into()));
        let mut rows = Vec::new();
        let mut digest = blake3::Hasher::new();
        digest.update(source.digest().as_bytes());
        for (seconds, nanoseconds) in source.changed() {
            digest.update(&seconds.to_le_bytes());
            digest.update(&nanoseconds.to_le_bytes());
        }
        let facts = (0..source.row_groups().len() as u32)
            .map(|group| source.facts(RowGroupId(group)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(crate::source::OpenError::from)?;
        let labelled = facts.iter().any(|facts| facts.labels.iter().any(|&label| label >= 0));
        for (info, facts) in source.row_groups().iter().zip(facts) {
            let bytes = info.bytes / u64::from(info.rows);
            for (row, (label, path)) in (0..).zip(facts.labels.into_iter().zip(facts.paths)) {
                let name = safe_name(&path);
                let label = u32::try_from(label).ok();
                if labelled && label.is_none() {
                    listing.refuse(&name, "no_class", "its row has no label".to_owned());
                    continue;
                }
                digest.update(&(name.len() as u64).to_le_bytes());
                digest.update(name.as_bytes());
                digest.update(&label.unwrap_or(u32::MAX).to_le_bytes());
                listing.push(Path::new(""), label, name.as_bytes(), bytes)?;
                rows.push(info.first_sample.0 + row);
            }
        }
        if labelled {
            listing.classes = source.classes().to_vec();
            if let Some(file) = classes {
                listing.name_classes(file, class_names(file)?, &mut digest)?;
            }
        }
        listing.digest = digest.finalize().to_hex().to_string();
        listing.place = Place::Table(Box::new(TableRows::new(source, rows)));
        Ok(listing)
    }

    /// Names for classes that were numbers.
    pub(super) fn name_classes(
        &mut self,
        file: &Path,
        names: Vec<String>,
        digest: &mut blake3::Hasher,
    ) -> Result<(), ShardError> {
        if names.len() < self.classes.len() {
            let problem = format!(
                "it names {} classes, but labels go up to {}",
                names.len(),
                self.classes.len() - 1
            );
            return Err(ShardError::Source { path: file.to_path_buf(), problem });
        }
        names.iter().for_each(|name| {
            digest.update(name.as_bytes());
            digest.update(b"\n");
        });
        self.classes = names;
        Ok(())
    }
}
