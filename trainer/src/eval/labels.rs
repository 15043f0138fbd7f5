//! Whether splits are labelled as an evaluation needs it: seen before anything is encoded, which may take hours.

use std::fmt;

use smog_pipeline::sample::RowGroupId;
use smog_pipeline::source::{Source, SourceError};

/// Splits that no accuracy can be taken of.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// The samples to learn from have no classes.
    #[error(
        "this evaluation needs labelled data, and {name} has no classes; shard a folder with one folder per class"
    )]
    NoClasses {
        /// The splits.
        name: String,
    },
    /// Both sides have classes, and they are not the same.
    #[error(
        "the two splits of {name} have different classes ({bank} and {queries}), so a figure would mean nothing; {}",
        Side::Test
    )]
    OtherClasses {
        /// The splits.
        name: String,
        /// Classes of the samples to learn from.
        bank: usize,
        /// Classes of those to be guessed.
        queries: usize,
    },
    /// Samples without a label.
    #[error(
        "{num_unlabelled} of the {num_samples} samples to be used of split `{split}` have no label, and this evaluation needs \
         one of each; {side}"
    )]
    Unlabelled {
        /// The split.
        split: String,
        /// Whose samples they are.
        side: Side,
        /// How many.
        num_unlabelled: u64,
        /// Of how many.
        num_samples: u64,
    },
    /// The labels cannot be read.
    #[error("cannot read the labels of split `{split}`")]
    Read {
        /// The split.
        split: String,
        /// The cause.
        #[source]
        source: SourceError,
    },
}

/// What a split is for; its text says how to choose another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// To learn from.
    Train,
    /// To be guessed.
    Test,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "name a labelled split: --train-split NAME of an evaluation, --set eval.train_split=NAME of a run",
            Self::Test => {
                "name a labelled split: --test-split NAME of an evaluation, --set 'eval.test_splits=[\"NAME\"]' of a run"
            }
        })
    }
}

/// Checks that every sample has a label, without a look at images.
pub(super) fn check(source: &dyn Source, split: &str, side: Side) -> Result<(), LabelError> {
    let mut num_unlabelled = 0;
    for group in 0..source.row_groups().len() as u32 {
        let labels = source
            .labels(RowGroupId(group))
            .map_err(|source| LabelError::Read { split: split.to_owned(), source })?;
        num_unlabelled += labels.iter().filter(|&&label| label < 0).count() as u64;
    }
    if num_unlabelled == 0 {
        return Ok(());
    }
    let (split, num_samples) = (split.to_owned(), source.num_samples());
    Err(LabelError::Unlabelled { split, side, num_unlabelled, num_samples })
}

/// Number of classes of two splits, the second with labels of the first; `None` where they are not the same classes.
///
/// Data that is read in place may have numbers for classes, counted up to the largest label of each split. A number
/// means the same class on both sides, so a split may lack the last of them.
pub(super) fn common(bank: &[String], queries: &[String]) -> Option<usize> {
    let are_numbers = |classes: &[String]| {
        (0..).zip(classes).all(|(label, class): (usize, _)| *class == label.to_string())
    };
    let are_common = bank == queries || (are_numbers(bank) && are_numbers(queries));
    (are_common && !queries.is_empty()).then(|| bank.len().max(queries.len()))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use smog_pipeline::sample::SampleId;
    use smog_pipeline::source::{RowGroup, RowGroupInfo};

    use super::*;

    /// Samples that have labels and no images.
    pub(crate) struct Labelled {
        labels: Vec<i64>,
        classes: Vec<String>,
        groups: Vec<RowGroupInfo>,
    }

    /// Classes by these names, and row groups of 3 with these labels.
    pub(crate) fn labelled(classes: &[&str], labels: &[i64]) -> Arc<dyn Source> {
        let groups = (0..).step_by(3).zip(labels.chunks(3));
        let groups = groups.map(|(first, rows)| RowGroupInfo {
            first_sample: SampleId(first),
            rows: rows.len() as u32,
            bytes: 1,
        });
        Arc::new(Labelled {
            groups: groups.collect(),
            classes: classes.iter().map(ToString::to_string).collect(),
            labels: labels.to_vec(),
        })
    }

    impl Source for Labelled {
        fn row_groups(&self) -> &[RowGroupInfo] {
            &self.groups
        }
        fn digest(&self) -> &str {
            "labelled"
        }
        fn classes(&self) -> &[String] {
            &self.classes
        }
        fn max_pixels(&self) -> u64 {
            1
        }
        fn read(&self, _: RowGroupId) -> Result<RowGroup, SourceError> {
            panic!("an image is read before the labels are known to be there")
        }
        fn labels(&self, group: RowGroupId) -> Result<Vec<i64>, SourceError> {
            let info = self.groups[group.0 as usize];
            Ok(self.labels[info.first_sample.0 as usize..][..info.rows as usize].to_vec())
        }
    }

    #[test]
    fn samples_without_a_label_are_counted_and_the_flag_is_named() {
        let source = labelled(&["a", "b"], &[0, 1, 1, -1, 0, 1, -1]);
        let text = check(&*source, "test", Side::Test).unwrap_err().to_string();
        assert!(
            text.starts_with("2 of the 7 samples to be used of split `test` have no label"),
            "{text}"
        );
        assert!(
            text.contains("--test-split NAME") && text.contains("eval.test_splits=["),
            "{text}"
        );
        let text = check(&*source, "wds", Side::Train).unwrap_err().to_string();
        assert!(text.contains("`wds`") && text.contains("--train-split NAME"), "{text}");
        check(&*labelled(&["a", "b"], &[0, 1, 1, 0]), "test", Side::Test).unwrap();
    }

    #[test]
    fn numbers_mean_the_same_class_in_splits_that_lack_the_last_and_names_do_not() {
        let of = |bank: &[&str], queries: &[&str]| {
            let owned =
                |names: &[&str]| -> Vec<String> { names.iter().map(ToString::to_string).collect() };
            common(&owned(bank), &owned(queries))
        };
        assert_eq!(of(&["0", "1", "2"], &["0", "1"]), Some(3));
        assert_eq!(of(&["0", "1"], &["0", "1", "2"]), Some(3));
        assert_eq!(of(&["cat", "dog"], &["cat", "dog"]), Some(2));
        assert_eq!(of(&["cat", "dog"], &["cat"]), None);
        assert_eq!(of(&["1", "0"], &["1"]), None, "names that are other numbers");
        assert_eq!(of(&["0", "1"], &[]), None);
    }
}
