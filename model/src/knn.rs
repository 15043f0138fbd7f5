//! Weighted k-NN.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::ModelError;

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
/// Shapes that do not fit, an empty bank, labels out of range.
pub fn classify(
    bank: &Tensor,
    labels: &Tensor,
    queries: &Tensor,
    num_classes: i64,
    settings: &KnnSettings,
) -> Result<Tensor, ModelError> {
    let _ = (bank, labels, queries, num_classes, settings);
    todo!()
}

/// Share of `queries` whose class is guessed right: top-1 in `0..=1`.
///
/// # Errors
/// As [`classify`].
pub fn top1(
    bank: &Tensor,
    labels: &Tensor,
    queries: &Tensor,
    query_labels: &Tensor,
    num_classes: i64,
    settings: &KnnSettings,
) -> Result<f64, ModelError> {
    let _ = (bank, labels, queries, query_labels, num_classes, settings);
    todo!()
}
