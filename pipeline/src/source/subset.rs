//! Some of the samples of another source: fixed parts of a data set, for evaluation.

use std::sync::{Arc, OnceLock};

use arrow::array::BinaryViewBuilder;

use super::{RowGroup, RowGroupInfo, Source, SourceError};
use crate::remote::RemoteMetrics;
use crate::sample::{RowGroupId, SampleId};

/// Rows that a row group of a subset has at least, where there are as many. The chosen rows of several row groups
/// are put together, since a window of shuffled row groups is to hold more than a handful of samples.
const LEAST_ROWS: u32 = 64;
/// Encoded bytes up to which a subset stays in memory once it was read. A larger one is read anew each epoch, all
/// of the row groups that it has samples in.
const KEPT_BYTES: u64 = 2 << 30;

/// The chosen samples of a source, numbered anew in their order.
pub struct SubsetSource {
    whole: Arc<dyn Source>,
    /// For each row group, the row groups of the whole with the chosen rows of each.
    parts: Vec<Vec<(RowGroupId, Vec<u32>)>>,
    groups: Vec<RowGroupInfo>,
    /// Row groups that were read; left empty where the subset is too large to keep.
    kept: Vec<OnceLock<RowGroup>>,
    is_kept: bool,
    digest: String,
}

impl SubsetSource {
    /// The samples of `whole` with these numbers, each once.
    ///
    /// # Errors
    /// The first number that the source does not have.
    pub fn new(whole: Arc<dyn Source>, samples: &[u32]) -> Result<Self, u32> {
        let mut samples = samples.to_vec();
        samples.sort_unstable();
        samples.dedup();
        if let Some(&last) = samples.last()
            && u64::from(last) >= whole.num_samples()
        {
            return Err(last);
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(whole.digest().as_bytes());
        samples.iter().for_each(|sample| {
            hasher.update(&sample.to_le_bytes());
        });

        let (mut parts, mut groups) = (Vec::new(), Vec::new());
        let (mut part, mut rows, mut bytes, mut first) = (Vec::new(), 0, 0, 0);
        let mut rest = samples.as_slice();
        for (index, info) in whole.row_groups().iter().enumerate() {
            let end = info.first_sample.0 + info.rows;
            let (here, later) = rest.split_at(rest.partition_point(|&sample| sample < end));
            rest = later;
            if !here.is_empty() {
                let chosen = here.iter().map(|sample| sample - info.first_sample.0).collect();
                part.push((RowGroupId(index as u32), chosen));
                rows += here.len() as u32;
                // What a sample takes is not known before it is read.
                bytes += info.bytes * here.len() as u64 / u64::from(info.rows);
            }
            if rows >= LEAST_ROWS || (rows > 0 && rest.is_empty()) {
                groups.push(RowGroupInfo { first_sample: SampleId(first), rows, bytes });
                parts.push(std::mem::take(&mut part));
                first += rows;
                (rows, bytes) = (0, 0);
            }
        }
        let is_kept = groups.iter().map(|group| group.bytes).sum::<u64>() <= KEPT_BYTES;
        let kept = groups.iter().map(|_| OnceLock::new()).collect();
        let digest = hasher.finalize().to_hex().to_string();
        Ok(Self { whole, parts, groups, kept, is_kept, digest })
    }

    fn collect(&self, group: RowGroupId) -> Result<RowGroup, SourceError> {
        let mut images = BinaryViewBuilder::new();
        let (mut metas, mut labels, mut paths) = (Vec::new(), Vec::new(), Vec::new());
        for (id, rows) in &self.parts[group.0 as usize] {
            let read = self.whole.read(*id)?;
            for &row in rows {
                images.append_value(read.encoded(row));
                metas.push(read.metas[row as usize]);
                labels.push(read.labels[row as usize]);
                paths.push(read.paths[row as usize].clone());
            }
        }
        Ok(RowGroup {
            id: group,
            first_sample: self.groups[group.0 as usize].first_sample,
            images: images.finish(),
            metas,
            labels,
            paths,
        })
    }
}

impl Source for SubsetSource {
    fn row_groups(&self) -> &[RowGroupInfo] {
        &self.groups
    }

    fn digest(&self) -> &str {
        &self.digest
    }

    fn classes(&self) -> &[String] {
        self.whole.classes()
    }

    fn max_pixels(&self) -> u64 {
        self.whole.max_pixels()
    }

    fn max_coefficient_bytes(&self) -> u64 {
        self.whole.max_coefficient_bytes()
    }

    fn held_bytes(&self) -> u64 {
        let rows = 4 * self.num_samples();
        let kept: u64 = self.groups.iter().map(|group| group.bytes).sum();
        self.whole.held_bytes() + rows + if self.is_kept { kept } else { 0 }
    }

    fn remote_metrics(&self) -> Option<RemoteMetrics> {
        self.whole.remote_metrics()
    }

    fn read(&self, group: RowGroupId) -> Result<RowGroup, SourceError> {
        let Some(kept) = self.kept.get(group.0 as usize).filter(|_| self.is_kept) else {
            return self.collect(group);
        };
        if let Some(read) = kept.get() {
            return Ok(read.clone());
        }
        let read = self.collect(group)?;
        Ok(kept.get_or_init(|| read).clone())
    }

    fn labels(&self, group: RowGroupId) -> Result<Vec<i64>, SourceError> {
        let mut labels = Vec::new();
        for (id, rows) in &self.parts[group.0 as usize] {
            let all = self.whole.labels(*id)?;
            labels.extend(rows.iter().map(|&row| all[row as usize]));
        }
        Ok(labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SyntheticSource;

    fn whole() -> Arc<dyn Source> {
        Arc::new(SyntheticSource::new(300, 7, 16, 1))
    }

    #[test]
    fn a_subset_holds_the_chosen_samples_in_order_and_nothing_else() {
        let chosen: Vec<u32> = (0..300).filter(|sample| sample % 3 == 1).collect();
        let subset = SubsetSource::new(whole(), &chosen).unwrap();
        assert_eq!(subset.num_samples(), 100);
        assert_eq!(subset.row_groups().len(), 2, "several small row groups make one");
        let of = |source: &dyn Source| -> Vec<(Vec<u8>, i64, String)> {
            (0..source.row_groups().len() as u32)
                .flat_map(|id| {
                    let group = source.read(RowGroupId(id)).unwrap();
                    assert_eq!(group.labels, source.labels(RowGroupId(id)).unwrap());
                    assert_eq!(group.first_sample, source.row_groups()[id as usize].first_sample);
                    (0..group.rows())
                        .map(|row| {
                            let at = row as usize;
                            (group.encoded(row).to_vec(), group.labels[at], group.paths[at].clone())
                        })
                        .collect::<Vec<_>>()
                })
                .collect()
        };
        let all = of(&*whole());
        let expected: Vec<_> = chosen.iter().map(|&sample| all[sample as usize].clone()).collect();
        assert_eq!(of(&subset), expected);
        assert_eq!(of(&subset), expected, "and again from memory");
    }

    #[test]
    fn the_digest_names_the_choice_and_a_number_too_large_is_refused() {
        let digest = |samples: &[u32]| SubsetSource::new(whole(), samples).unwrap().digest;
        assert_eq!(digest(&[3, 1, 1]), digest(&[1, 3]));
        assert_ne!(digest(&[1, 3]), digest(&[1, 4]));
        assert_eq!(SubsetSource::new(whole(), &[3, 300]).err(), Some(300));
    }
}
