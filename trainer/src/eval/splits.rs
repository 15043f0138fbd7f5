//! What a classifier is trained on and what it is tested with.

use std::sync::Arc;

use anyhow::{Result, ensure};
use smog_pipeline::sample::RowGroupId;
use smog_pipeline::source::Source;

use super::holdout;
use super::knn::KnnData;
use super::labels::{self, Side};
use super::subset;
use crate::error::TrainError;

/// Two labelled splits.
#[derive(Clone)]
pub struct Splits {
    /// Samples whose labels are learnt.
    pub train: Arc<dyn Source>,
    /// Samples whose classes are guessed.
    pub test: Arc<dyn Source>,
    /// How the two are called in the output.
    pub name: String,
    num_classes: i64,
    /// Names of the splits that the samples come from: the same where the test samples are held out.
    train_split: String,
    test_split: String,
}

impl Splits {
    /// The splits of `data`; without a test split a fixed tenth of the other is held out.
    ///
    /// # Errors
    /// If there are no classes, or other ones on both sides.
    pub fn new(data: &KnnData) -> Result<Self> {
        let num_classes = data.num_classes()?;
        let (train_split, test_split) = (data.bank_split.clone(), data.query_split.clone());
        if let Some(queries) = &data.queries {
            let (train, test) = (data.bank.clone(), queries.clone());
            let name = data.name.clone();
            return Ok(Self { train, test, name, num_classes, train_split, test_split });
        }
        let (train, test) = holdout::split(data.bank.num_samples() as usize);
        ensure!(!train.is_empty(), "{} has too few samples to hold some out", data.name);
        Ok(Self {
            train: chosen(&data.bank, train)?,
            test: chosen(&data.bank, test)?,
            name: format!("{}, fixed hold-out of one in {}", data.name, holdout::ONE_IN),
            num_classes,
            train_split,
            test_split,
        })
    }

    /// Number of classes.
    pub fn num_classes(&self) -> i64 {
        self.num_classes
    }

    /// Checks that each sample has a label, those of a subset where [`Splits::train`] is one. It reads labels and no image.
    ///
    /// # Errors
    /// [`LabelError`](labels::LabelError) with the split to blame.
    pub fn check_labels(&self) -> Result<(), TrainError> {
        let test = if self.test_split == self.train_split { Side::Train } else { Side::Test };
        labels::check(&*self.train, &self.train_split, Side::Train)?;
        labels::check(&*self.test, &self.test_split, test)?;
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::super::labels::tests::labelled;
    use super::*;

    #[test]
    fn only_samples_that_are_used_need_a_label() {
        let train = labelled(&["0", "1"], &[0, 1, -1, 1, 0]);
        let test = labelled(&["0", "1", "2"], &[2, 0]);
        let data = KnnData::new(("train", train.clone()), Some(("val", test)));
        let mut splits = Splits::new(&data).unwrap();
        assert_eq!(splits.num_classes(), 3, "those of the longer list");
        let text = splits.check_labels().unwrap_err().to_string();
        assert!(text.contains("1 of the 5 samples to be used of split `train`"), "{text}");
        splits.train = subset::open(&train, &[0, 1, 3]).unwrap();
        splits.check_labels().unwrap();
        splits.test = labelled(&["0", "1"], &[-1]);
        let text = splits.check_labels().unwrap_err().to_string();
        assert!(text.contains("split `val`") && text.contains("--test-split"), "{text}");
    }

    #[test]
    fn samples_that_are_held_out_are_those_of_the_training_split() {
        let mut labels = vec![0; 40];
        labels[holdout::split(40).1[0] as usize] = -1;
        let data = KnnData::new(("train", labelled(&["a"], &labels)), None);
        let text = Splits::new(&data).unwrap().check_labels().unwrap_err().to_string();
        assert!(text.contains("1 of the 4 samples") && text.contains("--train-split"), "{text}");
    }
}
