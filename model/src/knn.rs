//! Weighted k-nearest-neighbour classification of features, as DINO evaluates (cosine, weight exp(cosine / T)).

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

use crate::error::ModelError;
use crate::groups::normalize;

/// How neighbours vote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KnnSettings {
    /// Neighbours that vote; lowered to the bank's size where that is smaller.
    pub neighbours: i64,
    /// A neighbour votes with weight `exp(cosine / temperature)`.
    pub temperature: f64,
    /// Whether the bank's mean feature is subtracted from all features before cosines are taken.
    pub centered: bool,
    /// Most similarities held at once; bounds memory (4 bytes each).
    pub block_elements: i64,
}

impl Default for KnnSettings {
    fn default() -> Self {
        Self { neighbours: 20, temperature: 0.07, centered: false, block_elements: 1 << 24 }
    }
}

/// The class that the neighbours in `bank` `[n, F]` with `labels` (i64 `[n]`, in `0..num_classes`) vote for, for
/// each row of `queries` `[m, F]`: i64 `[m]`.
///
/// # Errors
/// [`ModelError::Mismatch`] for shapes that do not fit, an empty bank or labels out of range,
/// [`ModelError::Config`] for a setting out of range.
pub fn classify(
    bank: &Tensor,
    labels: &Tensor,
    queries: &Tensor,
    num_classes: i64,
    settings: &KnnSettings,
) -> Result<Tensor, ModelError> {
    check(bank, labels, queries, num_classes, settings)?;
    no_grad(|| {
        let center = if settings.centered {
            bank.mean_dim([0i64].as_slice(), true, None::<Kind>)
        } else {
            Tensor::zeros([1, bank.size()[1]], (bank.kind(), bank.device()))
        };
        let bank = normalize(&(bank - &center));
        let neighbours = settings.neighbours.min(bank.size()[0]);
        let rows = (settings.block_elements / bank.size()[0]).max(1);
        let classes: Vec<Tensor> = queries
            .split(rows, 0)
            .iter()
            .map(|block| {
                let cosines = normalize(&(block - &center)).matmul(&bank.tr());
                let (nearest, index) = cosines.topk(neighbours, 1, true, true);
                // Relative to the nearest one: the same winner, and no overflow at a low temperature.
                let weights = ((&nearest - nearest.narrow(1, 0, 1)) / settings.temperature).exp();
                let voted = labels.index_select(0, &index.view(-1)).view_as(&index);
                let votes =
                    Tensor::zeros([block.size()[0], num_classes], (Kind::Float, block.device()));
                votes.scatter_add(1, &voted, &weights).argmax(1, false)
            })
            .collect();
        Ok(if classes.is_empty() { labels.narrow(0, 0, 0) } else { Tensor::cat(&classes, 0) })
    })
}

/// Share of `queries` whose class is guessed right: top-1 in `0..=1`.
///
/// # Errors
/// As [`classify`]; also where there is no query or not one label for each.
pub fn top1(
    bank: &Tensor,
    labels: &Tensor,
    queries: &Tensor,
    query_labels: &Tensor,
    num_classes: i64,
    settings: &KnnSettings,
) -> Result<f64, ModelError> {
    let num_queries = queries.size()[0];
    if query_labels.size() != [num_queries] || num_queries == 0 {
        return Err(ModelError::Mismatch {
            what: "labels of the queries",
            expected: format!("one for each of {num_queries} queries, and at least one"),
            found: format!("{:?}", query_labels.size()),
        });
    }
    let guessed = classify(bank, labels, queries, num_classes, settings)?;
    Ok(guessed.eq_tensor(query_labels).to_kind(Kind::Double).mean(Kind::Double).double_value(&[]))
}

fn check(
    bank: &Tensor,
    labels: &Tensor,
    queries: &Tensor,
    num_classes: i64,
    settings: &KnnSettings,
) -> Result<(), ModelError> {
    if settings.neighbours < 1 || settings.temperature.is_nan() || settings.temperature <= 0.0 {
        return Err(ModelError::Config {
            field: "knn",
            reason: format!(
                "neighbours must be at least 1 and temperature above 0, got {} and {}",
                settings.neighbours, settings.temperature
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
    let (low, high) = (labels.min().int64_value(&[]), labels.max().int64_value(&[]));
    if low < 0 || high >= num_classes {
        return Err(ModelError::Mismatch {
            what: "labels of the bank",
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
    use tch::Device;

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
            for block_elements in [1, 500, 1 << 24] {
                let settings = KnnSettings {
                    neighbours: case.k,
                    temperature: case.temperature,
                    centered: case.centered,
                    block_elements,
                };
                let classes = classify(&bank, &labels(120), &queries, 6, &settings).unwrap();
                assert_eq!(Vec::<i64>::try_from(classes).unwrap(), case.classes);
                let top1 = top1(&bank, &labels(120), &queries, &labels(40), 6, &settings).unwrap();
                assert!((top1 - case.top1).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_low_temperature_does_not_overflow() {
        let bank = features("knn bank", 120);
        let settings = KnnSettings { temperature: 1e-4, ..KnnSettings::default() };
        assert_eq!(top1(&bank, &labels(120), &bank, &labels(120), 6, &settings).unwrap(), 1.0);
    }

    #[test]
    fn arguments_that_do_not_fit_are_refused() {
        let bank = features("knn bank", 12);
        let settings = KnnSettings::default();
        assert!(classify(&bank, &labels(11), &bank, 6, &settings).is_err());
        assert!(classify(&bank, &labels(12), &bank, 5, &settings).is_err());
        assert!(classify(&bank, &labels(12), &bank.narrow(1, 0, 3), 6, &settings).is_err());
        assert!(top1(&bank, &labels(12), &bank, &labels(3), 6, &settings).is_err());
        let settings = KnnSettings { temperature: 0.0, ..settings };
        assert!(classify(&bank, &labels(12), &bank, 6, &settings).is_err());
    }
}
