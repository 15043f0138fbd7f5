//! Accuracy, counted batch by batch.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Classes from which on top-5 says something.
const TOP5_CLASSES: i64 = 10;

/// Accuracy over a split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Share of samples whose class was named first.
    pub top1: f64,
    /// Share whose class was among the first five; from ten classes on.
    pub top5: Option<f64>,
    /// Samples that were tested.
    pub num_samples: u64,
}

impl Score {
    /// Adds a batch: logits `[B, C]` and labels `[B]`. Until [`Score::finish`] the shares are counts.
    pub fn count(&mut self, logits: &Tensor, labels: &Tensor) {
        let num_classes = logits.size()[1];
        let (_, guesses) = logits.topk(num_classes.min(5), 1, true, true);
        let hits = guesses.eq_tensor(&labels.unsqueeze(1));
        let sum = |hits: Tensor| hits.sum(Kind::Int64).int64_value(&[]) as f64;
        self.top1 += sum(hits.narrow(1, 0, 1));
        if num_classes >= TOP5_CLASSES {
            *self.top5.get_or_insert(0.0) += sum(hits);
        }
        self.num_samples += labels.size()[0] as u64;
    }

    /// The counts as shares.
    #[must_use]
    pub fn finish(self) -> Self {
        let total = self.num_samples.max(1) as f64;
        Self { top1: self.top1 / total, top5: self.top5.map(|hits| hits / total), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_5_counts_from_ten_classes_on() {
        let logits = Tensor::from_slice(&[0.9f32, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0]);
        let logits = logits.view([1, 10]).repeat([4, 1]);
        let mut score = Score::default();
        score.count(&logits.narrow(0, 0, 3), &Tensor::from_slice(&[0i64, 4, 5]));
        score.count(&logits.narrow(0, 0, 1), &Tensor::from_slice(&[9i64]));
        assert_eq!(score.finish(), Score { top1: 0.25, top5: Some(0.5), num_samples: 4 });
        let mut few = Score::default();
        few.count(&logits.narrow(1, 0, 3), &Tensor::from_slice(&[0i64, 1, 2, 0]));
        assert_eq!(few.finish(), Score { top1: 0.5, top5: None, num_samples: 4 });
    }
}
