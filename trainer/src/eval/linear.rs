//! The quick linear probe: logistic regression over cached features, several learning rates at once.
//!
//! Features of the centre crops are standardised by the mean and deviation of the training split. One classifier for
//! each rate is trained by SGD; the rate is chosen on a fixed tenth of the training split, then a classifier with
//! that rate is trained on all of it. The test split is looked at once.

use anyhow::{Result, ensure};
use smog_pipeline::draw::{Domain, Draw};
use tch::{Device, Kind, Tensor, no_grad};

use super::features::{Features, Interrupted};
use super::holdout;
use super::supervised::Score;
use crate::signals::StopRequest;

/// Learning rates that are tried, for a batch of 256.
pub const RATES: [f64; 6] = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0];
const MOMENTUM: f64 = 0.9;

/// Settings of the probe.
#[derive(Clone, Copy, Debug)]
pub struct Quick {
    /// Passes over the training features.
    pub epochs: u32,
    /// Samples per step.
    pub batch_size: u32,
    /// Seed of the order.
    pub seed: u64,
}

/// The chosen rate, and how well it did.
#[derive(Clone, Copy, Debug)]
pub struct QuickResult {
    /// Learning rate for a batch of 256.
    pub lr_per_256: f64,
    /// Share of the held-out tenth that it got right.
    pub validation_top1: f64,
    /// On the test split.
    pub score: Score,
}

/// Trains and tests on `device`. Takes the features, which may be many gigabytes, and standardises them in place.
///
/// # Errors
/// If a sample has no label, libtorch refuses an operation, or with [`Interrupted`].
pub fn quick(
    train: Features,
    test: Features,
    num_classes: i64,
    settings: Quick,
    device: Device,
    stop: &StopRequest,
) -> Result<QuickResult> {
    for (what, labels) in [("training", &train.labels), ("test", &test.labels)] {
        ensure!(
            labels.iter().all(|label| (0..num_classes).contains(label)),
            "a sample of the {what} split has no label"
        );
    }
    smog_model::guard(|| -> Result<QuickResult> {
        let mut features = train.features.to_device(device);
        let mean = features.mean_dim([0i64].as_slice(), true, Kind::Float);
        let std = features.std_dim([0i64].as_slice(), false, true).clamp_min(1e-6);
        features -= &mean;
        features /= &std;
        let labels = Tensor::from_slice(&train.labels).to_device(device);
        let (fit, held) = holdout::split(train.labels.len());
        ensure!(!fit.is_empty(), "the training split has too few samples");
        let learnt = |rows| Learnt { features: &features, labels: &labels, rows };
        let heads = Heads::train(learnt(&fit), num_classes, &RATES, settings, stop)?;
        let held = Tensor::from_slice(&held).to_device(device);
        let (held, held_labels) = (features.index_select(0, &held), labels.index_select(0, &held));
        let found: Vec<f64> = (0..RATES.len())
            .map(|number| heads.score(number as i64, &held, &held_labels).top1)
            .collect();
        // The lowest of equally good rates.
        let best =
            (0..RATES.len()).fold(0, |best, at| if found[at] > found[best] { at } else { best });
        let rate = RATES[best];
        let all: Vec<i64> = (0..train.labels.len() as i64).collect();
        let head = Heads::train(learnt(&all), num_classes, &[rate], settings, stop)?;
        let asked = (test.features.to_device(device) - &mean) / &std;
        let score = head.score(0, &asked, &Tensor::from_slice(&test.labels).to_device(device));
        Ok(QuickResult { lr_per_256: rate, validation_top1: found[best], score })
    })?
}

/// Samples to learn: rows of features `[n, F]` and labels (i64 `[n]`).
struct Learnt<'a> {
    features: &'a Tensor,
    labels: &'a Tensor,
    rows: &'a [i64],
}

/// Classifiers side by side: weights `[R, F, C]`, biases `[R, 1, C]`.
struct Heads {
    weight: Tensor,
    bias: Tensor,
}

impl Heads {
    /// Trains on these rows. Begins at zero; the problem is convex, so the start decides nothing.
    fn train(
        Learnt { features, labels, rows }: Learnt<'_>,
        num_classes: i64,
        rates: &[f64],
        settings: Quick,
        stop: &StopRequest,
    ) -> Result<Self> {
        let (num_samples, dim) = (rows.len() as i64, features.size()[1]);
        let batch = i64::from(settings.batch_size).min(num_samples);
        let options = (Kind::Float, features.device());
        let count = rates.len() as i64;
        let mut heads = Self {
            weight: Tensor::zeros([count, dim, num_classes], options),
            bias: Tensor::zeros([count, 1, num_classes], options),
        };
        let mut direction = (heads.weight.zeros_like(), heads.bias.zeros_like());
        let rates = Tensor::from_slice(rates).to_kind(Kind::Float).view([-1, 1, 1])
            * (batch as f64 / 256.0);
        let rates = rates.to_device(features.device());
        let per_epoch = num_samples / batch;
        let total = (per_epoch * i64::from(settings.epochs)) as u64;
        let mut step = 0;
        for epoch in 0..settings.epochs {
            if stop.is_requested() {
                return Err(Interrupted::default().into());
            }
            let mut order = rows.to_vec();
            Draw::new(settings.seed, Domain::Selection, [2, epoch, 0, 0, 0]).shuffle(&mut order);
            // One copy to the device for all steps of the epoch.
            let order = Tensor::from_slice(&order).to_device(features.device());
            for number in 0..per_epoch {
                let rows = order.narrow(0, number * batch, batch);
                let gradient = heads
                    .gradient(&features.index_select(0, &rows), &labels.index_select(0, &rows));
                let lr = &rates * smog_model::schedule::warmup_cosine(step, total, 0, 1.0, 0.0);
                direction.0 = direction.0 * MOMENTUM + gradient.0;
                direction.1 = direction.1 * MOMENTUM + gradient.1;
                heads.weight -= &direction.0 * &lr;
                heads.bias -= &direction.1 * &lr;
                step += 1;
            }
        }
        Ok(heads)
    }

    /// Gradient of the mean cross entropy of each classifier: `x^T (softmax - onehot) / B`.
    fn gradient(&self, features: &Tensor, labels: &Tensor) -> (Tensor, Tensor) {
        no_grad(|| {
            let (batch, num_classes) = (features.size()[0], self.bias.size()[2]);
            let logits = features.matmul(&self.weight) + &self.bias;
            let error = logits.softmax(-1, Kind::Float) - labels.one_hot(num_classes);
            let error = error / batch as f64;
            (
                features.tr().matmul(&error),
                error.sum_dim_intlist([1i64].as_slice(), true, Kind::Float),
            )
        })
    }

    fn score(&self, number: i64, features: &Tensor, labels: &Tensor) -> Score {
        let mut score = Score::default();
        let (weight, bias) = (self.weight.get(number), self.bias.get(number));
        for (features, labels) in features.split(4096, 0).iter().zip(labels.split(4096, 0)) {
            score.count(&(features.matmul(&weight) + &bias), &labels);
        }
        score.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(count: i64, seed: f64) -> (Tensor, Tensor) {
        let labels = Tensor::arange(count, (Kind::Int64, Device::Cpu)).remainder(4);
        let noise = (Tensor::arange(count * 6, (Kind::Float, Device::Cpu)) * 12.9898 + seed).sin();
        let classes = (Tensor::arange(24, (Kind::Float, Device::Cpu)) * 3.7).cos().view([4, 6]);
        (classes.index_select(0, &labels) * 0.7 + noise.view([count, 6]), labels)
    }

    #[test]
    fn the_gradient_is_that_of_autograd_for_each_classifier() {
        let (features, labels) = data(20, 1.0);
        let weight = (Tensor::arange(48, (Kind::Float, Device::Cpu)) * 0.9).sin().view([2, 6, 4]);
        let bias = (Tensor::arange(8, (Kind::Float, Device::Cpu)) * 0.3).cos().view([2, 1, 4]);
        let heads = Heads { weight, bias };
        let (weights, biases) = heads.gradient(&features, &labels);
        for number in 0..2 {
            let weight = heads.weight.get(number).copy().set_requires_grad(true);
            let bias = heads.bias.get(number).copy().set_requires_grad(true);
            let logits = features.matmul(&weight) + &bias;
            logits.cross_entropy_for_logits(&labels).backward();
            for (found, expected) in
                [(weights.get(number), weight.grad()), (biases.get(number), bias.grad())]
            {
                let difference = (found - expected).abs().max().double_value(&[]);
                assert!(difference < 1e-6, "{difference}");
            }
        }
    }

    #[test]
    fn a_separable_problem_is_learnt_and_an_interrupt_is_heard() {
        let of = |count, seed| {
            let (features, labels) = data(count, seed);
            Features { features, labels: Vec::try_from(labels).unwrap(), num_left_out: 0 }
        };
        let settings = Quick { epochs: 30, batch_size: 32, seed: 0 };
        let probe =
            |stop: &StopRequest| quick(of(400, 1.0), of(80, 2.0), 4, settings, Device::Cpu, stop);
        let result = probe(&StopRequest::default()).unwrap();
        assert!(result.score.top1 > 0.5, "{result:?}");
        assert_eq!(result.score.num_samples, 80);
        assert_eq!(result.score.top5, None, "fewer than ten classes");
        let again = probe(&StopRequest::default()).unwrap();
        assert_eq!(again.score, result.score);
        let stop = StopRequest::default();
        stop.request();
        assert!(probe(&stop).unwrap_err().is::<Interrupted>());
    }
}
