//! Weighted k-NN accuracy of an encoder's features.
//!
//! A neighbour votes with weight `exp(cosine / T)`, as DINO evaluates. Protocol and metric are named in every output,
//! because the figure moves by several points between them: `dino` and `lightly` differ in k and T; `centred-cosine`
//! subtracts the bank's mean feature from all features first, which is kinder to features that share a large common
//! part, raw pixels among them.

use std::fmt;
use std::sync::Arc;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use smog_model::knn::{KnnSettings, Neighbours};
use smog_pipeline::source::Source;
use tch::{Device, Tensor};

use super::features::{EvalStream, Features, Progress, left_out};
use super::holdout;
use super::labels::{self, LabelError, Side};
use crate::error::TrainError;
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
    /// Name of the bank's split.
    pub bank_split: String,
    /// Name of the queries' split; the bank's where they are held out from that.
    pub query_split: String,
    /// Splits that were to be taken for the queries, and have no classes.
    pub passed_over: Vec<String>,
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
    /// A bank and queries, each with the name of its split.
    pub fn new(bank: (&str, Arc<dyn Source>), queries: Option<(&str, Arc<dyn Source>)>) -> Self {
        let name = match &queries {
            None => bank.0.to_owned(),
            Some((queries, _)) => format!("{} -> {queries}", bank.0),
        };
        Self {
            bank_split: bank.0.to_owned(),
            query_split: queries.as_ref().map_or(bank.0, |(split, _)| split).to_owned(),
            bank: bank.1,
            queries: queries.map(|(_, source)| source),
            name,
            passed_over: Vec::new(),
        }
    }

    /// What a person may not expect of the choice of splits.
    pub fn remark(&self) -> Option<String> {
        let passed_over: Vec<String> =
            self.passed_over.iter().map(|split| format!("`{split}`")).collect();
        let (splits, have) = match passed_over.len() {
            0 => return None,
            1 => ("split", "has"),
            _ => ("splits", "have"),
        };
        let taken = match &self.queries {
            Some(_) => format!("`{}` is taken", self.query_split),
            None => format!("a fixed part of `{}` is held out", self.bank_split),
        };
        Some(format!(
            "{splits} {} {have} no labels to test with; {taken} instead",
            passed_over.join(", ")
        ))
    }

    /// Number of classes, where both sides have the same.
    ///
    /// # Errors
    /// [`LabelError`] where they have not, or one has none.
    pub fn num_classes(&self) -> Result<i64, TrainError> {
        let (bank, name) = (self.bank.classes(), self.name.clone());
        if bank.is_empty() {
            return Err(LabelError::NoClasses { name }.into());
        }
        let Some(queries) = &self.queries else { return Ok(bank.len() as i64) };
        let num_samples = queries.num_samples();
        match labels::common(bank, queries.classes()) {
            Some(num_classes) => Ok(num_classes as i64),
            None if queries.classes().is_empty() => Err(LabelError::Unlabelled {
                split: self.query_split.clone(),
                side: Side::Test,
                num_unlabelled: num_samples,
                num_samples,
            }
            .into()),
            None => {
                let queries = queries.classes().len();
                Err(LabelError::OtherClasses { name, bank: bank.len(), queries }.into())
            }
        }
    }

    /// Checks that the data can be used: the same classes on both sides, and a label of each sample. It reads all labels
    /// and no image.
    ///
    /// # Errors
    /// [`LabelError`] with what is wrong.
    pub fn check(&self) -> Result<(), TrainError> {
        self.num_classes()?;
        labels::check(&*self.bank, &self.bank_split, Side::Train)?;
        if let Some(queries) = &self.queries {
            labels::check(&**queries, &self.query_split, Side::Test)?;
        }
        Ok(())
    }

    /// Samples that [`KnnData::features`] encodes.
    pub fn num_samples(&self) -> u64 {
        self.bank.num_samples() + self.queries.as_ref().map_or(0, |queries| queries.num_samples())
    }

    /// Encodes bank and queries. Whether each sample has a label is for [`KnnData::check`] to see, before.
    ///
    /// # Errors
    /// As [`KnnData::num_classes`]; also if the data cannot be read or libtorch refuses an operation.
    pub fn features(
        &self,
        stream: &EvalStream,
        normalizer: &Normalizer,
        encode: &dyn Fn(&Tensor) -> Tensor,
        progress: Progress<'_>,
    ) -> Result<KnnFeatures> {
        let num_classes = self.num_classes()?;
        let (bank, queries, held_out) = match &self.queries {
            Some(queries) => {
                let bank = stream.features(self.bank.clone(), normalizer, encode, progress)?;
                let done = self.bank.num_samples();
                let queries =
                    stream.features(queries.clone(), normalizer, encode, &mut |samples| {
                        progress(done + samples);
                    })?;
                (bank, queries, String::new())
            }
            None => {
                let held_out = holdout::is_held_out(self.bank.num_samples() as usize);
                let num_queries = held_out.iter().filter(|&&is_query| is_query).count() as u64;
                let num_bank = self.bank.num_samples() - num_queries;
                ensure!(num_bank > 0, "{} has too few samples to hold some out", self.name);
                let [bank, queries] = stream.features_of(
                    self.bank.clone(),
                    normalizer,
                    encode,
                    progress,
                    [num_bank, num_queries],
                    &|sample| usize::from(held_out[sample as usize]),
                )?;
                (bank, queries, format!(", fixed hold-out of one in {}", holdout::ONE_IN))
            }
        };
        let left_out = left_out(bank.num_left_out + queries.num_left_out);
        let of = |Features { features, labels, .. }| (features, Tensor::from_slice(&labels));
        let ((bank, bank_labels), (queries, query_labels)) = (of(bank), of(queries));
        Ok(KnnFeatures {
            bank,
            bank_labels,
            queries,
            query_labels,
            num_classes,
            splits: format!("{}{held_out}{left_out}", self.name),
            device: normalizer.device(),
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
mod tests;
