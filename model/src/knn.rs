//! Weighted k-nearest-neighbour classification of features, as DINO evaluates (cosine, weight exp(cosine / T)).
//!
//! Searching costs `n * m` cosines; voting costs next to nothing. So neighbours are searched once, for the largest k, and
//! vote as often as somebody asks.

use tch::{Device, Kind, Tensor, no_grad};

use crate::error::ModelError;
use crate::groups::normalize;

/// Samples of the bank on the device at a time: 256 MiB at 2,048 features.
const BANK_ROWS: i64 = 1 << 15;

/// How neighbours are searched.
#[derive(Clone, Debug, PartialEq)]
pub struct KnnSettings {
    /// Neighbours of a query, k; lowered to the bank's size where that is smaller.
    pub neighbours: i64,
    /// Whether the bank's mean feature is subtracted from all features before cosines are taken.
    pub centered: bool,
    /// Where cosines are computed. The bank goes there in blocks; all queries lie there.
    pub device: Device,
    /// Most similarities held at once; bounds memory (4 bytes each, and those of a sort).
    pub block_elements: i64,
}

impl Default for KnnSettings {
    fn default() -> Self {
        Self { neighbours: 20, centered: false, device: Device::Cpu, block_elements: 1 << 24 }
    }
}

/// The nearest samples of a bank, for each of m queries, nearest first.
pub struct Neighbours {
    /// f32 `[m, k]`.
    cosines: Tensor,
    /// i64 `[m, k]`: class of each neighbour.
    labels: Tensor,
    num_classes: i64,
    block_elements: i64,
}

impl Neighbours {
    /// Searches `bank` `[n, F]` with `labels` (i64 `[n]`, in `0..num_classes`) for the neighbours of each row of
    /// `queries` `[m, F]`. The two may lie on any device.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] for shapes that do not fit, an empty bank or labels out of range,
    /// [`ModelError::Config`] for a setting out of range.
    ///
    /// # Panics
    /// Where libtorch refuses an operation, memory above all; see [`guard`](crate::guard()).
    pub fn search(
        bank: &Tensor,
        labels: &Tensor,
        queries: &Tensor,
        num_classes: i64,
        settings: &KnnSettings,
    ) -> Result<Self, ModelError> {
        check(bank, labels, queries, num_classes, settings)?;
        no_grad(|| {
            let (device, bank_size, num_queries) =
                (settings.device, bank.size(), queries.size()[0]);
            let k = settings.neighbours.min(bank_size[0]);
            let center = if settings.centered {
                bank.mean_dim([0i64].as_slice(), true, None::<Kind>)
            } else {
                Tensor::zeros([1, bank_size[1]], (bank.kind(), bank.device()))
            }
            .to_device(device);
            let queries = normalize(&(queries.to_device(device) - &center));
            let labels = labels.to_device(device);
            let rows = (settings.block_elements / bank_size[0].min(BANK_ROWS)).max(1);
            let blocks = queries.split(rows, 0);
            let mut best: Vec<(Tensor, Tensor)> = Vec::new();
            for first in (0..bank_size[0]).step_by(BANK_ROWS as usize) {
                let count = BANK_ROWS.min(bank_size[0] - first);
                let part = normalize(&(bank.narrow(0, first, count).to_device(device) - &center));
                for (at, block) in blocks.iter().enumerate() {
                    let (cosines, index) =
                        block.matmul(&part.tr()).topk(k.min(count), 1, true, true);
                    let found = (cosines, index + first);
                    match best.get_mut(at) {
                        Some(known) => *known = nearest(known, &found, k),
                        None => best.push(found),
                    }
                }
            }
            let (cosines, index): (Vec<Tensor>, Vec<Tensor>) = best.into_iter().unzip();
            let (cosines, index) = if cosines.is_empty() {
                let empty = |kind| Tensor::zeros([num_queries, k], (kind, device));
                (empty(Kind::Float), empty(Kind::Int64))
            } else {
                (Tensor::cat(&cosines, 0), Tensor::cat(&index, 0))
            };
            let labels = labels.index_select(0, &index.view(-1)).view_as(&index);
            let block_elements = settings.block_elements;
            Ok(Self { cosines, labels, num_classes, block_elements })
        })
    }

    /// The class that the nearest `k` neighbours of each query vote for, i64 `[m]` on the device. A neighbour has the
    /// weight `exp(cosine / temperature)`; all vote where fewer than `k` were searched.
    ///
    /// # Errors
    /// [`ModelError::Config`] where `k` or `temperature` is not above 0.
    pub fn classify(&self, k: i64, temperature: f64) -> Result<Tensor, ModelError> {
        if k < 1 || temperature.is_nan() || temperature <= 0.0 {
            return Err(ModelError::Config {
                field: "knn",
                reason: format!(
                    "neighbours must be at least 1 and temperature above 0, got {k} and {temperature}"
                ),
            });
        }
        no_grad(|| {
            let size = self.cosines.size();
            let k = k.min(size[1]);
            let rows = (self.block_elements / self.num_classes.max(k)).max(1);
            let classes: Vec<Tensor> = (0..size[0])
                .step_by(usize::try_from(rows).unwrap_or(usize::MAX))
                .map(|first| {
                    let count = rows.min(size[0] - first);
                    let block = |of: &Tensor| of.narrow(0, first, count).narrow(1, 0, k);
                    let (cosines, labels) = (block(&self.cosines), block(&self.labels));
                    // Relative to the nearest one: the same winner, and no overflow at a low temperature.
                    let weights = ((&cosines - cosines.narrow(1, 0, 1)) / temperature).exp();
                    let on = (Kind::Float, cosines.device());
                    let votes = Tensor::zeros([count, self.num_classes], on);
                    votes.scatter_add(1, &labels, &weights).argmax(1, false)
                })
                .collect();
            Ok(if classes.is_empty() {
                Tensor::zeros([0], (Kind::Int64, self.labels.device()))
            } else {
                Tensor::cat(&classes, 0)
            })
        })
    }

    /// Share of queries whose class is guessed right: top-1 in `0..=1`.
    ///
    /// # Errors
    /// As [`Neighbours::classify`]; [`ModelError::Mismatch`] where there is no query, not one of `labels` (i64 `[m]`)
    /// for each, or one that is no class: no guess could be right.
    pub fn top1(&self, labels: &Tensor, k: i64, temperature: f64) -> Result<f64, ModelError> {
        let num_queries = self.labels.size()[0];
        if labels.size() != [num_queries] || num_queries == 0 {
            return Err(ModelError::Mismatch {
                what: "labels of the queries",
                expected: format!("one for each of {num_queries} queries, and at least one"),
                found: format!("{:?}", labels.size()),
            });
        }
        check_classes("labels of the queries", labels, self.num_classes)?;
        let guessed = self.classify(k, temperature)?;
        let right = guessed.eq_tensor(&labels.to_device(guessed.device()));
        Ok(right.to_kind(Kind::Double).mean(Kind::Double).double_value(&[]))
    }
}

/// The nearest `k` of two lists of neighbours (cosines and rows of the bank), nearest first.
fn nearest(a: &(Tensor, Tensor), b: &(Tensor, Tensor), k: i64) -> (Tensor, Tensor) {
    let cosines = Tensor::cat(&[&a.0, &b.0], 1);
    let index = Tensor::cat(&[&a.1, &b.1], 1);
    let (cosines, chosen) = cosines.topk(k.min(cosines.size()[1]), 1, true, true);
    (cosines, index.gather(1, &chosen, false))
}

fn check(
    bank: &Tensor,
    labels: &Tensor,
    queries: &Tensor,
    num_classes: i64,
    settings: &KnnSettings,
) -> Result<(), ModelError> {
    if settings.neighbours < 1 || settings.block_elements < 1 {
        return Err(ModelError::Config {
            field: "knn",
            reason: format!(
                "neighbours and block_elements must be at least 1, got {} and {}",
                settings.neighbours, settings.block_elements
            ),
        });
    }
    let (bank_size, query_size) = (bank.size(), queries.size());
    if bank_size.len() != 2 || query_size.len() != 2 || bank_size[1] != query_size[1] {
        return Err(ModelError::Mismatch {
            what: "features of the queries",
            expected: format!("the width of the bank's {bank_size:?}"),
            found: format!("{query_size:?}"),
        });
    }
    if bank_size[0] == 0 || labels.size() != [bank_size[0]] {
        return Err(ModelError::Mismatch {
            what: "labels of the bank",
            expected: format!("one for each of {} features, and at least one", bank_size[0]),
            found: format!("{:?}", labels.size()),
        });
    }
    check_classes("labels of the bank", labels, num_classes)
}

/// Refuses labels outside of `0..num_classes`; there is at least one.
fn check_classes(what: &'static str, labels: &Tensor, num_classes: i64) -> Result<(), ModelError> {
    let (low, high) = (labels.min().int64_value(&[]), labels.max().int64_value(&[]));
    if low < 0 || high >= num_classes {
        return Err(ModelError::Mismatch {
            what,
            expected: format!("classes in 0..{num_classes}"),
            found: format!("{low}..={high}"),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{self, pattern};
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Case {
        k: i64,
        temperature: f64,
        centered: bool,
        classes: Vec<i64>,
        top1: f64,
    }

    fn labels(count: i64) -> Tensor {
        Tensor::arange(count, (Kind::Int64, Device::Cpu)).remainder(6)
    }

    fn features(name: &str, count: i64) -> Tensor {
        let classes = pattern("knn classes", &[6, 10]).index_select(0, &labels(count)) * 0.5;
        classes + pattern(name, &[count, 10]) + pattern("knn offset", &[1, 10])
    }

    #[test]
    fn classes_are_those_of_a_loop_over_queries_whatever_the_block() {
        let (bank, queries) = (features("knn bank", 120), features("knn queries", 40));
        for case in golden::read::<Vec<Case>>("knn") {
            for (block_elements, more) in [(1, 0), (500, 7), (1 << 24, 1_000)] {
                let settings = KnnSettings {
                    neighbours: case.k + more,
                    centered: case.centered,
                    block_elements,
                    ..KnnSettings::default()
                };
                let found =
                    Neighbours::search(&bank, &labels(120), &queries, 6, &settings).unwrap();
                let classes = found.classify(case.k, case.temperature).unwrap();
                assert_eq!(Vec::<i64>::try_from(classes).unwrap(), case.classes);
                let top1 = found.top1(&labels(40), case.k, case.temperature).unwrap();
                assert!((top1 - case.top1).abs() < 1e-12);
            }
        }
    }

    /// Neighbours in several blocks of the bank: those of one product of all with all.
    #[test]
    fn a_bank_of_several_blocks_gives_the_neighbours_of_the_whole() {
        let count = 2 * BANK_ROWS + 3;
        let (bank, queries) = (pattern("knn large", &[count, 4]), pattern("knn few", &[5, 4]));
        let labels = Tensor::arange(count, (Kind::Int64, Device::Cpu));
        for centered in [false, true] {
            let settings = KnnSettings { neighbours: 9, centered, ..KnnSettings::default() };
            let found = Neighbours::search(&bank, &labels, &queries, count, &settings).unwrap();
            let center = if centered {
                bank.mean_dim([0i64].as_slice(), true, None::<Kind>)
            } else {
                bank.narrow(0, 0, 1).zeros_like()
            };
            let cosines =
                normalize(&(&queries - &center)).matmul(&normalize(&(&bank - &center)).tr());
            let (expected, index) = cosines.topk(9, 1, true, true);
            assert!((&found.cosines - expected).abs().max().double_value(&[]) < 1e-6);
            assert_eq!(found.labels, index);
        }
    }

    #[test]
    fn a_low_temperature_does_not_overflow() {
        let bank = features("knn bank", 120);
        let found =
            Neighbours::search(&bank, &labels(120), &bank, 6, &KnnSettings::default()).unwrap();
        assert_eq!(found.top1(&labels(120), 20, 1e-4).unwrap(), 1.0);
    }

    #[test]
    fn arguments_that_do_not_fit_are_refused() {
        let bank = features("knn bank", 12);
        let settings = KnnSettings::default();
        let search = |labels: &Tensor, queries: &Tensor, num_classes, settings: &KnnSettings| {
            Neighbours::search(&bank, labels, queries, num_classes, settings)
        };
        assert!(search(&labels(11), &bank, 6, &settings).is_err());
        assert!(search(&labels(12), &bank, 5, &settings).is_err());
        assert!(search(&labels(12), &bank.narrow(1, 0, 3), 6, &settings).is_err());
        let found = search(&labels(12), &bank, 6, &settings).unwrap();
        assert!(found.top1(&labels(3), 20, 0.1).is_err());
        for (label, told) in [(-1, "-1..=4"), (6, "0..=6")] {
            let other = labels(12).index_fill(0, &Tensor::from_slice(&[5i64, 11]), label);
            let text = found.top1(&other, 20, 0.1).unwrap_err().to_string();
            assert!(text.contains("labels of the queries") && text.contains(told), "{text}");
        }
        assert!(found.top1(&labels(12), 20, 0.0).is_err());
        assert!(found.top1(&labels(12), 0, 0.1).is_err());
        assert!(search(&labels(12), &bank, 6, &KnnSettings { neighbours: 0, ..settings }).is_err());
    }
}
