//! Features of many parts in one tensor.

use anyhow::Result;
use tch::{Device, Tensor};

use super::{Features, Part};

/// Features that come in parts, each put where it stays: those of a large split fill much of a machine, so there is no
/// moment at which they lie there twice.
pub(super) struct Collected {
    /// Rows that there is room for.
    num_samples: u64,
    /// `[num_samples, F]`, of which the first `labels.len()` are filled; made with the first part, which says F.
    features: Option<Tensor>,
    labels: Vec<i64>,
    num_left_out: u64,
}

impl Collected {
    pub(super) fn new(num_samples: u64) -> Self {
        Self { num_samples, features: None, labels: Vec::new(), num_left_out: 0 }
    }

    /// Takes the rows of `part` that `is_mine` says; those that stand in for another sample are counted and left out.
    pub(super) fn add(&mut self, part: &Part, is_mine: &dyn Fn(u64) -> bool) -> Result<()> {
        let (mut rows, before) = (Vec::new(), self.labels.len());
        for (row, sample) in part.samples.iter().enumerate().filter(|(row, _)| is_mine(*row as u64))
        {
            match sample {
                Some(_) => {
                    rows.push(row as i64);
                    self.labels.push(part.labels[row]);
                }
                None => self.num_left_out += 1,
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        smog_model::guard(|| {
            let chosen = if rows.len() == part.samples.len() {
                part.features.shallow_clone()
            } else {
                part.features.index_select(0, &Tensor::from_slice(&rows))
            };
            let all = self.features.get_or_insert_with(|| {
                let size = [self.num_samples as i64, chosen.size()[1]];
                Tensor::empty(size, (chosen.kind(), Device::Cpu))
            });
            all.narrow(0, before as i64, rows.len() as i64).copy_(&chosen);
        })?;
        Ok(())
    }

    /// All that was taken; `None` where that is nothing.
    pub(super) fn finish(self) -> Option<Features> {
        let features = self.features?.narrow(0, 0, self.labels.len() as i64);
        Some(Features { features, labels: self.labels, num_left_out: self.num_left_out })
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    /// Samples from `first` on, each with its number as feature and label; those in `bad` cannot be decoded, and the one
    /// behind stands in.
    fn part(first: i64, count: i64, bad: &[i64]) -> Part {
        let numbers: Vec<i64> = (first..first + count).collect();
        let shown: Vec<i64> =
            numbers.iter().map(|number| number + i64::from(bad.contains(number))).collect();
        Part {
            features: Tensor::from_slice(&shown).to_kind(Kind::Float).view([-1, 1]).repeat([1, 3]),
            labels: shown,
            samples: numbers
                .iter()
                .map(|number| (!bad.contains(number)).then_some(*number as u32))
                .collect(),
        }
    }

    #[test]
    fn parts_are_put_where_they_stay_and_what_stands_in_for_another_sample_is_left_out() {
        let mut all = Collected::new(9);
        all.add(&part(0, 4, &[1]), &|_| true).unwrap();
        let place = all.features.as_ref().unwrap().data_ptr();
        all.add(&part(4, 5, &[4, 6]), &|_| true).unwrap();
        let found = all.finish().unwrap();
        assert_eq!(found.features.data_ptr(), place, "nothing was copied anew");
        assert_eq!((found.labels.as_slice(), found.num_left_out), (&[0, 2, 3, 5, 7, 8][..], 3));
        let expected = Tensor::from_slice(&[0f32, 2.0, 3.0, 5.0, 7.0, 8.0]);
        assert_eq!(found.features, expected.view([-1, 1]).repeat([1, 3]));
    }

    #[test]
    fn rows_of_others_are_not_taken_nor_counted() {
        let mut odd = Collected::new(3);
        odd.add(&part(0, 6, &[2, 3]), &|row| row % 2 == 1).unwrap();
        let found = odd.finish().unwrap();
        assert_eq!((found.labels.as_slice(), found.num_left_out), (&[1, 5][..], 1));
        assert!(Collected::new(3).finish().is_none());
    }
}
