//! Weighted k-NN accuracy of an encoder's features.
//!
//! A neighbour votes with weight `exp(cosine / T)`, as DINO evaluates. Protocol and metric are named in every output,
//! because the figure moves by several points between them: `dino` and `lightly` differ in k and T; `centred-cosine`
//! subtracts the bank's mean feature from all features first, which is kinder to features that share a large common
//! part, raw pixels among them.

use std::fmt;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};
use smog_model::knn::{KnnSettings, Neighbours};
use smog_pipeline::source::Source;
use tch::{Device, Tensor};

use super::features::{EvalStream, Features, Progress};
use super::holdout;
use crate::images::Normalizer;

/// How similarity is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Cosine of the features.
    Cosine,
    /// Cosine after the bank's mean was subtracted.
    CentredCosine,
}

impl Metric {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Cosine, Self::CentredCosine];
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cosine => "cosine",
            Self::CentredCosine => "centred-cosine",
        })
    }
}

/// The data: a bank of labelled samples and queries.
#[derive(Clone)]
pub struct KnnData {
    /// Labelled samples whose neighbours vote.
    pub bank: Arc<dyn Source>,
    /// Samples whose class is guessed; `None` holds a fixed tenth of the bank out.
    pub queries: Option<Arc<dyn Source>>,
    /// How the two are called in the output, for example `train -> test`.
    pub name: String,
}

/// Features of bank and queries.
pub struct KnnFeatures {
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    query_labels: Tensor,
    num_classes: i64,
    splits: String,
    device: Device,
}

/// Whose evaluation `k` and `temperature` are: DINO's (k of 10, 20, 100 or 200, T = 0.07), lightly's for small images
/// (k = 200, T = 0.1), or neither.
fn protocol(metric: Metric, k: u32, temperature: f64) -> &'static str {
    match (metric, k) {
        (Metric::Cosine, 10 | 20 | 100 | 200) if temperature == 0.07 => "dino",
        (Metric::Cosine, 200) if temperature == 0.1 => "lightly",
        _ => "ours",
    }
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnnResult {
    /// Metric.
    pub metric: Metric,
    /// Neighbours that voted: as many as were asked for, or all of a smaller bank.
    pub k: u32,
    /// Temperature of the vote.
    pub temperature: f64,
    /// Share of queries whose class was guessed right, 0 to 1.
    pub top1: f64,
    /// Share that guessing would get right.
    pub chance: f64,
    /// Samples in the bank.
    pub num_bank: i64,
    /// Samples that were asked for.
    pub num_queries: i64,
    /// Whose evaluation this is: `dino`, `lightly` or `ours`.
    #[serde(default)]
    pub protocol: String,
    /// What was compared with what.
    #[serde(default)]
    pub splits: String,
}

impl fmt::Display for KnnResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "k-NN top-1 {:6.2} %  ({}: {}, k = {}, T = {}; {}, {} against {} samples, chance {:.2} %)",
            100.0 * self.top1,
            self.protocol,
            self.metric,
            self.k,
            self.temperature,
            self.splits,
            self.num_queries,
            self.num_bank,
            100.0 * self.chance,
        )
    }
}

impl KnnData {
    /// Checks that the data can be used: labelled, and the same classes on both sides.
    ///
    /// # Errors
    /// With what is wrong.
    pub fn check(&self) -> Result<()> {
        let classes = self.bank.classes();
        ensure!(
            !classes.is_empty(),
            "this evaluation needs labelled data, and {} has no classes; shard a folder with one folder per class",
            self.name
        );
        if let Some(queries) = &self.queries
            && queries.classes() != classes
        {
            bail!(
                "the two splits of {} have different classes ({} and {}), so a k-NN figure would mean nothing",
                self.name,
                classes.len(),
                queries.classes().len()
            );
        }
        Ok(())
    }

    /// Samples that [`KnnData::features`] encodes.
    pub fn num_samples(&self) -> u64 {
        self.bank.num_samples() + self.queries.as_ref().map_or(0, |queries| queries.num_samples())
    }

    /// Encodes bank and queries.
    ///
    /// # Errors
    /// As [`KnnData::check`]; also if the data cannot be read or libtorch refuses an operation.
    pub fn features(
        &self,
        stream: &EvalStream,
        normalizer: &Normalizer,
        encode: &dyn Fn(&Tensor) -> Tensor,
        progress: Progress<'_>,
    ) -> Result<KnnFeatures> {
        self.check()?;
        let device = normalizer.device();
        let num_classes = self.bank.classes().len() as i64;
        let Features { features, labels } =
            stream.features(self.bank.clone(), normalizer, encode, progress)?;
        let labels = Tensor::from_slice(&labels);
        if let Some(queries) = &self.queries {
            let done = features.size()[0] as u64;
            let asked = stream.features(queries.clone(), normalizer, encode, &mut |samples| {
                progress(done + samples);
            })?;
            return Ok(KnnFeatures {
                bank: features,
                bank_labels: labels,
                queries: asked.features,
                query_labels: Tensor::from_slice(&asked.labels),
                num_classes,
                splits: self.name.clone(),
                device,
            });
        }
        let (bank_rows, query_rows) = holdout::split(features.size()[0] as usize);
        ensure!(!bank_rows.is_empty(), "{} has too few samples to hold some out", self.name);
        let (bank_rows, query_rows) =
            (Tensor::from_slice(&bank_rows), Tensor::from_slice(&query_rows));
        Ok(KnnFeatures {
            bank: features.index_select(0, &bank_rows),
            bank_labels: labels.index_select(0, &bank_rows),
            queries: features.index_select(0, &query_rows),
            query_labels: labels.index_select(0, &query_rows),
            num_classes,
            splits: format!("{}, fixed hold-out of one in {}", self.name, holdout::ONE_IN),
            device,
        })
    }
}

impl KnnFeatures {
    /// The accuracy with each of `ks` neighbours, in their order. They are searched once, on the device of the encoder.
    ///
    /// # Errors
    /// If a k or `temperature` is out of range, a sample has no label, or the device has too little memory.
    pub fn evaluate(&self, metric: Metric, ks: &[u32], temperature: f64) -> Result<Vec<KnnResult>> {
        let settings = KnnSettings {
            neighbours: ks.iter().max().map_or(0, |&k| i64::from(k)),
            centered: metric == Metric::CentredCosine,
            device: self.device,
            ..KnnSettings::default()
        };
        let (bank, labels) = (&self.bank, &self.bank_labels);
        let neighbours = smog_model::guard(|| {
            Neighbours::search(bank, labels, &self.queries, self.num_classes, &settings)
        })??;
        let vote = |&k: &u32| {
            let top1 = smog_model::guard(|| {
                neighbours.top1(&self.query_labels, i64::from(k), temperature)
            })??;
            Ok(self.result(metric, k, temperature, top1))
        };
        ks.iter().map(vote).collect()
    }

    fn result(&self, metric: Metric, k: u32, temperature: f64, top1: f64) -> KnnResult {
        let num_bank = self.bank.size()[0];
        let voted = u32::try_from(num_bank).map_or(k, |num_bank| k.min(num_bank));
        let fewer = if voted < k {
            format!(", all vote where k = {k} was asked for")
        } else {
            String::new()
        };
        KnnResult {
            metric,
            k: voted,
            temperature,
            top1,
            chance: 1.0 / self.num_classes as f64,
            num_bank,
            num_queries: self.queries.size()[0],
            protocol: protocol(metric, voted, temperature).to_owned(),
            splits: format!("{}{fewer}", self.splits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_called_by_the_protocol_that_it_follows() {
        for k in [10, 20, 100, 200] {
            assert_eq!(protocol(Metric::Cosine, k, 0.07), "dino");
        }
        assert_eq!(protocol(Metric::Cosine, 200, 0.1), "lightly");
        for (metric, k, temperature) in [
            (Metric::Cosine, 5, 0.07),
            (Metric::Cosine, 20, 0.1),
            (Metric::CentredCosine, 20, 0.07),
        ] {
            assert_eq!(protocol(metric, k, temperature), "ours", "{metric} {k} {temperature}");
        }
    }
}
