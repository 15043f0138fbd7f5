//! What a classifier is trained on and what it is tested with.

use std::sync::Arc;

use anyhow::{Result, ensure};
use smog_pipeline::sample::RowGroupId;
use smog_pipeline::source::Source;

use super::holdout;
use super::knn::KnnData;
use super::subset;

/// Two labelled splits.
#[derive(Clone)]
pub struct Splits {
    /// Samples whose labels are learnt.
    pub train: Arc<dyn Source>,
    /// Samples whose classes are guessed.
    pub test: Arc<dyn Source>,
    /// How the two are called in the output.
    pub name: String,
}

impl Splits {
    /// The splits of `data`; without a test split a fixed tenth of the other is held out.
    ///
    /// # Errors
    /// If there are no labels, or other classes on both sides.
    pub fn new(data: &KnnData) -> Result<Self> {
        data.check()?;
        if let Some(queries) = &data.queries {
            let (train, test) = (data.bank.clone(), queries.clone());
            return Ok(Self { train, test, name: data.name.clone() });
        }
        let (train, test) = holdout::split(data.bank.num_samples() as usize);
        ensure!(!train.is_empty(), "{} has too few samples to hold some out", data.name);
        Ok(Self {
            train: chosen(&data.bank, train)?,
            test: chosen(&data.bank, test)?,
            name: format!("{}, fixed hold-out of one in {}", data.name, holdout::ONE_IN),
        })
    }

    /// Number of classes.
    pub fn num_classes(&self) -> i64 {
        self.train.classes().len() as i64
    }
}

fn chosen(whole: &Arc<dyn Source>, samples: Vec<i64>) -> Result<Arc<dyn Source>> {
    let samples: Vec<u32> = samples.into_iter().map(|sample| sample as u32).collect();
    subset::open(whole, &samples)
}

/// Label of every sample.
///
/// # Errors
/// If the source cannot be read.
pub fn labels(source: &dyn Source) -> Result<Vec<i64>> {
    let mut labels = Vec::with_capacity(source.num_samples() as usize);
    for group in 0..source.row_groups().len() as u32 {
        labels.extend(source.labels(RowGroupId(group))?);
    }
    Ok(labels)
}
