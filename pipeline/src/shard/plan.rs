//! Which image goes into which shard: decided from the listing alone, before any image is read.

use std::collections::HashSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::listing::SplitListing;
use super::options::ShardOptions;
use crate::codec::DamagePolicy;

/// Everything that the bytes of the shards depend on. Two runs with equal plans write equal shards, so one
/// may go on where the other was stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    /// Program that writes; another version may write other bytes.
    pub(super) created_by: String,
    pub(super) split: String,
    /// Digest of paths, sizes and times of the source's images.
    pub(super) source_digest: String,
    pub(super) classes: Vec<String>,
    pub(super) num_files: u64,
    pub(super) num_shards: u32,
    pub(super) shuffle_seed: Option<u64>,
    pub(super) shard_bytes: u64,
    pub(super) row_group_rows: u32,
    pub(super) row_group_bytes: u64,
    pub(super) check: String,
    pub(super) decoder: String,
    pub(super) max_pixels: u64,
    /// Left out at its default, so that sets made before it was there stay as they are.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) damaged: DamagePolicy,
    pub(super) max_file_bytes: u64,
    pub(super) decode_bytes: u64,
}

fn is_default(policy: &DamagePolicy) -> bool {
    *policy == DamagePolicy::default()
}

/// The files of every shard, in row order.
pub(super) struct Layout {
    /// File numbers of the listing.
    order: Vec<u32>,
    shards: Vec<Range<usize>>,
}

impl Layout {
    /// Shuffles the files and cuts them into shards of about equal size.
    pub(super) fn new(listing: &SplitListing, options: &ShardOptions) -> Self {
        let order: Vec<u32> = match options.shuffle_seed {
            Some(seed) => listing.shuffled(seed),
            None => (0..listing.len() as u32).collect(),
        };
        let sizes = order.iter().map(|&file| listing.bytes(file as usize));
        let shards = cut(sizes, options.shard_bytes);
        Self { order, shards }
    }

    /// Number of shards.
    pub(super) fn num_shards(&self) -> usize {
        self.shards.len()
    }

    /// Files of one shard.
    pub(super) fn files(&self, shard: usize) -> &[u32] {
        &self.order[self.shards[shard].clone()]
    }
}

/// Cuts a run of files into the smallest number of shards that keeps their mean at `shard_bytes` or below,
/// all about equally large, none empty.
fn cut(sizes: impl Iterator<Item = u64> + Clone, shard_bytes: u64) -> Vec<Range<usize>> {
    let total: u64 = sizes.clone().sum();
    let num_shards = total.div_ceil(shard_bytes).max(1);
    // Which equal share of all bytes a position falls into.
    let share = |sum: u64| u128::from(sum) * u128::from(num_shards) / u128::from(total.max(1));
    let (mut shards, mut start, mut sum, mut current, mut count) = (Vec::new(), 0, 0, 0, 0);
    for (file, size) in sizes.enumerate() {
        if share(sum) > current && file > start {
            shards.push(start..file);
            (start, current) = (file, share(sum));
        }
        sum += size;
        count = file + 1;
    }
    if count > start {
        shards.push(start..count);
    }
    shards
}

/// How the classes that `then` were differ from those that are `now`: `made with other classes (...)`. Another split
/// of the source can change them where no image of this one did.
pub(super) fn class_difference(then: &[String], now: &[String]) -> Option<String> {
    if then == now {
        return None;
    }
    let first_of = |some: &[String], others: &[String]| {
        let others: HashSet<&String> = others.iter().collect();
        some.iter().find(|class| !others.contains(class)).cloned()
    };
    let example = match (first_of(now, then), first_of(then, now)) {
        (Some(class), _) => format!("`{class}` is new"),
        (None, Some(class)) => format!("`{class}` is gone"),
        (None, None) => "the same in another order".to_owned(),
    };
    Some(format!("made with other classes ({}, now {}; {example})", then.len(), now.len()))
}

impl Plan {
    /// The plan for a split.
    pub(super) fn new(
        listing: &SplitListing,
        layout: &Layout,
        options: &ShardOptions,
        created_by: &str,
    ) -> Self {
        Self {
            created_by: created_by.to_owned(),
            split: listing.split.clone(),
            source_digest: listing.digest.clone(),
            classes: listing.classes.clone(),
            num_files: listing.len() as u64,
            num_shards: layout.num_shards() as u32,
            shuffle_seed: options.shuffle_seed,
            shard_bytes: options.shard_bytes,
            row_group_rows: options.row_group_rows,
            row_group_bytes: options.row_group_bytes,
            check: options.check.to_string(),
            decoder: options.decoder.to_string(),
            max_pixels: options.limits.max_pixels,
            damaged: options.limits.damaged,
            max_file_bytes: options.max_file_bytes,
            decode_bytes: options.decode_bytes,
        }
    }

    /// How another plan differs, in words for a person; `None` where they are equal.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        if self == other {
            return None;
        }
        if self.source_digest != other.source_digest {
            return Some(format!(
                "was made of other images ({} files, now {}; or files were changed since)",
                self.num_files, other.num_files
            ));
        }
        if let Some(classes) = class_difference(&self.classes, &other.classes) {
            return Some(format!("was {classes}"));
        }
        if self.created_by != other.created_by {
            return Some(format!("was written by {}", self.created_by));
        }
        let seed =
            |seed: Option<u64>| seed.map_or("no shuffle".to_owned(), |seed| seed.to_string());
        let bytes = |bytes: u64| format!("{bytes} bytes");
        let pairs = [
            ("seed", seed(self.shuffle_seed), seed(other.shuffle_seed)),
            ("shard size", bytes(self.shard_bytes), bytes(other.shard_bytes)),
            ("row-group rows", self.row_group_rows.to_string(), other.row_group_rows.to_string()),
            ("row-group size", bytes(self.row_group_bytes), bytes(other.row_group_bytes)),
            ("check", self.check.clone(), other.check.clone()),
            ("decoder", self.decoder.clone(), other.decoder.clone()),
            ("damaged images", self.damaged.to_string(), other.damaged.to_string()),
            ("pixel limit", self.max_pixels.to_string(), other.max_pixels.to_string()),
        ];
        let changed: Vec<String> = pairs
            .iter()
            .filter(|(_, old, new)| old != new)
            .map(|(name, old, new)| format!("{name} {old}, now {new}"))
            .collect();
        Some(match changed.is_empty() {
            true => "was made with other limits".to_owned(),
            false => format!("was made with other options ({})", changed.join("; ")),
        })
    }

    /// File name of a shard of `num_shards`.
    pub(super) fn shard_name(split: &str, shard: usize, num_shards: usize) -> String {
        format!("{split}-{shard:05}-of-{num_shards:05}.parquet")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_classes_are_counted_and_one_is_named() {
        let said = |then: &[&str], now: &[&str]| {
            let owned =
                |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
            class_difference(&owned(then), &owned(now))
        };
        assert_eq!(said(&["a", "b"], &["a", "b"]), None);
        let cases = [
            (["a", "b"].as_slice(), ["a", "c", "b"].as_slice(), "(2, now 3; `c` is new)"),
            (&["a", "b"], &["b"], "(2, now 1; `a` is gone)"),
            (&["a", "b"], &["b", "a"], "(2, now 2; the same in another order)"),
        ];
        for (then, now, end) in cases {
            assert_eq!(said(then, now).unwrap(), format!("made with other classes {end}"));
        }
    }

    #[test]
    fn shards_are_about_equal_and_none_is_empty() {
        let cuts = |sizes: &[u64], bytes| -> Vec<(usize, usize)> {
            cut(sizes.iter().copied(), bytes).iter().map(|cut| (cut.start, cut.end)).collect()
        };
        assert_eq!(cuts(&[10; 10], 1000), [(0, 10)]);
        assert_eq!(cuts(&[10; 10], 50), [(0, 5), (5, 10)]);
        assert_eq!(cuts(&[10; 10], 40), [(0, 4), (4, 7), (7, 10)]);
        // One giant spans several shares: it gets no empty shards beside it.
        assert_eq!(cuts(&[1, 1000, 1, 1], 100), [(0, 2), (2, 4)]);
        assert_eq!(cuts(&[0, 0], 100), [(0, 2)]);
        assert!(cuts(&[], 100).is_empty());
    }
}
