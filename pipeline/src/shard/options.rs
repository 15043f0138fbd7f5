//! What may be chosen when shards are written.

use std::fmt;
use std::num::NonZero;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::ShardError;
use super::part::Part;
use crate::codec::{DecodeLimits, DecoderKind};
use crate::remote::RemoteOptions;

/// How thoroughly an image is looked at before it goes into a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// Decoded once as a whole.
    #[default]
    Decode,
    /// Only its header is read; such rows carry the flag `UNCHECKED`.
    Header,
}

impl Check {
    /// The name in settings and manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Header => "header",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "decode" => Ok(Self::Decode),
            "header" => Ok(Self::Header),
            _ => Err(format!("`{text}` is neither `decode` nor `header`")),
        }
    }
}

/// Choices for [`shard`](super::shard()). The first group decides what the shards hold, the second only how
/// fast and with how much memory they are written.
#[derive(Clone, Debug)]
pub struct ShardOptions {
    /// Splits to write; empty for all that the source has. For a source without splits, the one name
    /// that its only split gets (`train` where none is given).
    pub splits: Vec<String>,
    /// File of labels, for images that have none where they lie: `name label` lines, or one label a line in
    /// the order of the names.
    pub labels: Option<PathBuf>,
    /// File of class names, one a line, for labels that are numbers.
    pub classes: Option<PathBuf>,
    /// Aimed size of a shard in bytes.
    pub shard_bytes: u64,
    /// Largest number of rows in a row group.
    pub row_group_rows: u32,
    /// Largest number of image bytes in a row group; a single larger image gets a row group of its own.
    pub row_group_bytes: u64,
    /// Seed of the shuffle; `None` keeps the order of the source.
    pub shuffle_seed: Option<u64>,
    /// How images are checked.
    pub check: Check,
    /// Decoder for the check.
    pub decoder: DecoderKind,
    /// Limits for the check.
    pub limits: DecodeLimits,
    /// Longest file that is taken, in bytes.
    pub max_file_bytes: u64,

    /// Worker threads; 0 for one per core.
    pub jobs: u32,
    /// Encoded bytes that may wait between reading and writing.
    pub in_flight_bytes: u64,
    /// Bytes that all decodes together may take, as estimated from the headers. An image that needs more
    /// by itself is refused.
    pub decode_bytes: u64,
    /// Replace a finished data set that was made of other images or with other options.
    pub overwrite: bool,
    /// Write only this part of the shards, for [`merge`](super::merge()) to join with the others.
    pub part: Option<Part>,
    /// Where shards are written before they are uploaded, with an output behind a URL: a hidden folder in this one, or
    /// among the temporary files. Holds three shards at most.
    pub stage: Option<PathBuf>,
    /// How an output behind a URL is reached.
    pub remote: RemoteOptions,
}

impl Default for ShardOptions {
    fn default() -> Self {
        Self {
            splits: Vec::new(),
            labels: None,
            classes: None,
            shard_bytes: 256_000_000,
            row_group_rows: 512,
            row_group_bytes: 16 << 20,
            shuffle_seed: Some(0),
            check: Check::default(),
            decoder: DecoderKind::default(),
            limits: DecodeLimits::default(),
            max_file_bytes: 64 << 20,
            jobs: 0,
            in_flight_bytes: 96 << 20,
            decode_bytes: 640 << 20,
            overwrite: false,
            part: None,
            stage: None,
            remote: RemoteOptions::default(),
        }
    }
}

impl ShardOptions {
    /// Largest row group that may be asked for: a writer holds three copies of one.
    pub const MAX_ROW_GROUP_BYTES: u64 = 64 << 20;

    /// Worker threads to start.
    pub fn num_workers(&self) -> usize {
        match self.jobs {
            0 => std::thread::available_parallelism().map_or(1, NonZero::get).min(64),
            jobs => jobs as usize,
        }
    }

    /// Checks the choices against one another.
    ///
    /// # Errors
    /// Names the option, its value and what is allowed.
    pub fn validate(&self) -> Result<(), ShardError> {
        let limit = Self::MAX_ROW_GROUP_BYTES;
        let checks: [(&'static str, u64, bool, String); 6] = [
            (
                "row-group-size",
                self.row_group_bytes,
                (4 << 10..=limit).contains(&self.row_group_bytes),
                format!("4096 to {limit} bytes"),
            ),
            (
                "row-group-rows",
                u64::from(self.row_group_rows),
                (1..=1 << 16).contains(&self.row_group_rows),
                "1 to 65536".to_owned(),
            ),
            (
                "shard-size",
                self.shard_bytes,
                self.shard_bytes >= self.row_group_bytes,
                format!("at least one row group ({} bytes)", self.row_group_bytes),
            ),
            ("jobs", u64::from(self.jobs), self.jobs <= 256, "0 to 256".to_owned()),
            (
                "max-file-size",
                self.max_file_bytes,
                (1..=1 << 30).contains(&self.max_file_bytes),
                "1 byte to 1 GiB".to_owned(),
            ),
            (
                "max-pixels",
                self.limits.max_pixels,
                self.limits.max_pixels > 0,
                "above 0".to_owned(),
            ),
        ];
        for (option, value, holds, expected) in checks {
            if !holds {
                return Err(ShardError::Option { option, value: value.to_string(), expected });
            }
        }
        Ok(())
    }
}
