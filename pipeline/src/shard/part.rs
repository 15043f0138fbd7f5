//! One machine's share of the shards, where several write one data set.
//!
//! Every part lists the whole source and so comes to the same plan; part `i` of `n` writes the shards `i`,
//! `i + n`, `i + 2 n`, ... into the folder where a whole run would build the split. Nothing is agreed on
//! between parts but the plan: a note of each part in that folder holds the plan it works by.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::ShardError;
use super::listing::{Refused, SplitListing};
use super::plan::Plan;

/// Most parts that a data set may be written in.
const MAX_PARTS: u32 = 100_000;

/// Part `number` of `count`; numbers begin at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Part {
    number: u32,
    count: u32,
}

impl Part {
    /// Whether this part writes a shard.
    pub(super) fn takes(self, shard: usize) -> bool {
        shard % self.count as usize == self.number as usize - 1
    }

    /// All parts of as many.
    pub(super) fn all(self) -> impl Iterator<Item = Self> {
        (1..=self.count).map(move |number| Self { number, count: self.count })
    }

    /// The part in names of files.
    pub(super) fn file_name(self) -> String {
        format!("{}-of-{}", self.number, self.count)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.number, self.count)
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(number, count)| {
            Some(Self { number: number.trim().parse().ok()?, count: count.trim().parse().ok()? })
        });
        match numbers {
            Some(Self { number: 0, count }) => {
                Err(format!("parts are counted from 1: 1/{count} to {count}/{count}"))
            }
            Some(part) if part.number <= part.count && part.count <= MAX_PARTS => Ok(part),
            _ => Err(format!(
                "expected I/N such as `3/8`, with I from 1 to N and N up to {MAX_PARTS}"
            )),
        }
    }
}

/// What a part leaves for the merge besides its shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartNote {
    pub(super) part: Part,
    pub(super) plan: Plan,
    /// Files that the listing left out: the same in every part.
    pub(super) refused: Vec<Refused>,
    pub(super) num_other_files: u64,
}

impl PartNote {
    pub(super) fn new(part: Part, plan: &Plan, listing: &SplitListing) -> Self {
        Self {
            part,
            plan: plan.clone(),
            refused: listing.refused.clone(),
            num_other_files: listing.num_other_files,
        }
    }

    /// File name of the note.
    pub(super) fn file_name(&self) -> String {
        format!(".part-{}.json", self.part.file_name())
    }

    /// The notes in the folder of an unfinished split, by part.
    ///
    /// # Errors
    /// If the folder or a note cannot be read.
    pub(super) fn read_all(partial: &Path) -> Result<Vec<Self>, ShardError> {
        let mut notes = Vec::new();
        let entries = match fs::read_dir(partial) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(notes),
            entries => entries.map_err(ShardError::io("read folder", partial))?,
        };
        for entry in entries {
            let entry = entry.map_err(ShardError::io("read folder", partial))?;
            if is_note(&entry.file_name().to_string_lossy()) {
                let path = entry.path();
                let text = fs::read(&path).map_err(ShardError::io("read", &path))?;
                let note = serde_json::from_slice(&text)
                    .map_err(|error| ShardError::io("read", &path)(error.into()))?;
                notes.push(note);
            }
        }
        notes.sort_by_key(|note: &Self| note.part);
        Ok(notes)
    }
}

fn is_note(name: &str) -> bool {
    name.starts_with(".part-") && name.ends_with(".json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_written_as_number_and_count() {
        let part: Part = "3/8".parse().unwrap();
        assert_eq!((part.to_string(), part.file_name()), ("3/8".to_owned(), "3-of-8".to_owned()));
        for wrong in ["", "3", "9/8", "-1/8", "1/0", "a/b", "1/2/3", "1/100001"] {
            assert!(wrong.parse::<Part>().is_err(), "{wrong}");
        }
        assert!("0/8".parse::<Part>().unwrap_err().contains("counted from 1"));
    }

    #[test]
    fn each_shard_belongs_to_one_part() {
        let parts: Vec<Part> = "1/7".parse::<Part>().unwrap().all().collect();
        for shard in 0..50 {
            assert_eq!(parts.iter().filter(|part| part.takes(shard)).count(), 1);
        }
    }
}
