//! Whether the order in which data lies is good enough to be shuffled within a window only.

use std::collections::BTreeMap;

use super::probe::spread;
use super::{Source, SourceError};
use crate::order::{OrderSettings, order, shuffle_quality};
use crate::sample::RowGroupId;

/// Row groups whose labels are looked at.
const LOOKED_AT_GROUPS: usize = 16;
/// Share of neighbours of one class above which data counts as sorted by class.
const SORTED_SHARE: f64 = 0.5;
/// How many times that of a shuffle it has to be, for sets with few classes.
const SORTED_FACTOR: f64 = 2.0;
/// Least share of what a uniform shuffle reaches that is not worth a word even where data is sorted.
const GOOD_RATIO: f64 = 0.9;

/// A warning for data that lies class after class and is shuffled within a window that does not span it;
/// `None` where the order is good, or there are no labels to tell by.
///
/// # Errors
/// If labels cannot be read.
pub fn mixing_advice(
    source: &dyn Source,
    settings: OrderSettings,
    batch_size: u32,
) -> Result<Option<String>, SourceError> {
    let groups = source.row_groups();
    let Some(sorted) = sorted_share(source)? else { return Ok(None) };
    let rows = order(settings, groups, 0).rows(0, 0);
    let quality = shuffle_quality(rows, groups, batch_size);
    if quality.ratio() >= GOOD_RATIO {
        return Ok(None);
    }
    Ok(Some(format!(
        "the data lies sorted by class ({:.0}% of neighbours share one) and is shuffled only within a window: a \
         batch of {batch_size} draws on {:.1} of {} row groups, {:.0}% of a uniform shuffle's; `smog-tools shard` \
         writes it shuffled",
        sorted * 100.0,
        quality.groups_per_batch,
        groups.len(),
        quality.ratio() * 100.0
    )))
}

/// The share of neighbours with the same label, where it is that of data that lies class after class; `None` where it is
/// not, or there are no labels to tell by.
///
/// # Errors
/// If labels cannot be read.
pub fn sorted_share(source: &dyn Source) -> Result<Option<f64>, SourceError> {
    let (mut pairs, mut same) = (0u64, 0u64);
    let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
    for group in spread(source.row_groups().len(), LOOKED_AT_GROUPS) {
        let labels = source.labels(RowGroupId(group as u32))?;
        pairs += labels.len().saturating_sub(1) as u64;
        same += labels.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64;
        labels.into_iter().for_each(|label| *counts.entry(label).or_default() += 1);
    }
    let total: u64 = counts.values().sum();
    if counts.contains_key(&-1) || pairs == 0 {
        return Ok(None);
    }
    let expected: f64 = counts.values().map(|&count| (count as f64 / total as f64).powi(2)).sum();
    let found = same as f64 / pairs as f64;
    Ok((found > SORTED_SHARE && found > SORTED_FACTOR * expected).then_some(found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::SampleId;
    use crate::source::{RowGroup, RowGroupInfo};

    /// 40 row groups of 10, labelled by a function of the sample.
    struct Labelled(Vec<RowGroupInfo>, fn(u32) -> i64);

    impl Labelled {
        fn new(label: fn(u32) -> i64) -> Self {
            let group =
                |n: u32| RowGroupInfo { first_sample: SampleId(10 * n), rows: 10, bytes: 100 };
            Self((0..40).map(group).collect(), label)
        }
    }

    impl Source for Labelled {
        fn row_groups(&self) -> &[RowGroupInfo] {
            &self.0
        }
        fn digest(&self) -> &str {
            ""
        }
        fn classes(&self) -> &[String] {
            &[]
        }
        fn max_pixels(&self) -> u64 {
            1
        }
        fn read(&self, _: RowGroupId) -> Result<RowGroup, SourceError> {
            unreachable!("advice needs no images")
        }
        fn labels(&self, group: RowGroupId) -> Result<Vec<i64>, SourceError> {
            Ok((10 * group.0..10 * group.0 + 10).map(self.1).collect())
        }
    }

    #[test]
    fn only_sorted_data_in_a_narrow_window_is_warned_of() {
        let advice = |label: fn(u32) -> i64, settings| {
            mixing_advice(&Labelled::new(label), settings, 64).unwrap()
        };
        let narrow = OrderSettings::Window { row_groups: 4 };
        let sorted = |sample| i64::from(sample / 20);
        let text = advice(sorted, narrow).expect("sorted");
        assert!(text.contains("100% of neighbours") && text.contains("smog-tools shard"), "{text}");
        assert_eq!(advice(sorted, OrderSettings::Full), None);
        assert_eq!(advice(|sample| i64::from(sample % 20), narrow), None);
        assert_eq!(advice(|_| -1, narrow), None);
        assert_eq!(advice(|_| 0, narrow), None, "one class cannot be sorted");
    }
}
