//! Protocols by name: every number, and where it comes from.

use std::fmt;

use serde::Serialize;

/// How the learning rate falls.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Decay {
    /// Half a cosine to 0, between epochs.
    Cosine,
    /// Half a cosine to 0, from step to step; while it begins, a line from 0 takes its place.
    StepCosine {
        /// Epochs of the line.
        warmup_epochs: u32,
    },
    /// Times `factor` at each of these epochs.
    Steps {
        /// Epochs.
        at: Vec<u32>,
        /// Factor.
        factor: f64,
    },
}

/// How a classifier is trained.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Protocol {
    /// Name in the output.
    pub name: String,
    /// Where its numbers come from.
    pub source: String,
    /// Whether the encoder stays as it is, in evaluation mode.
    pub is_frozen: bool,
    /// Passes over the training samples.
    pub epochs: u32,
    /// Samples per step.
    pub batch_size: u32,
    /// Learning rate of the encoder for a batch of 256; 0 for a frozen one.
    pub encoder_lr_per_256: f64,
    /// Learning rate of the classifier for a batch of 256.
    pub head_lr_per_256: f64,
    /// How both fall.
    pub decay: Decay,
    /// Momentum of SGD.
    pub momentum: f64,
    /// Weight decay, biases and norms included.
    pub weight_decay: f64,
    /// Share of a label that is spread over all classes.
    pub label_smoothing: f64,
    /// Seed of order, augmentation and the classifier's first weights.
    pub seed: u64,
}

impl Protocol {
    /// A linear classifier over the frozen encoder, as SwAV's `eval_linear.py`.
    pub fn swav_linear() -> Self {
        Self {
            name: "swav".to_owned(),
            source: "SwAV eval_linear.py".to_owned(),
            is_frozen: true,
            epochs: 100,
            batch_size: 256,
            encoder_lr_per_256: 0.0,
            head_lr_per_256: 0.3,
            decay: Decay::Cosine,
            momentum: 0.9,
            weight_decay: 1e-6,
            label_smoothing: 0.0,
            seed: 0,
        }
    }

    /// A linear classifier over the frozen encoder, as lightly's benchmarks train it (after SimCLR).
    pub fn lightly_linear() -> Self {
        Self {
            name: "lightly".to_owned(),
            source: "lightly linear_eval.py".to_owned(),
            epochs: 90,
            head_lr_per_256: 0.1,
            decay: Decay::StepCosine { warmup_epochs: 0 },
            weight_decay: 0.0,
            ..Self::swav_linear()
        }
    }

    /// A linear classifier over a frozen Transformer, as MoBY's `moby_linear.py`: its rate of 1 is for a batch of 512.
    pub fn moby_linear() -> Self {
        Self {
            name: "moby".to_owned(),
            source: "MoBY moby_linear.py".to_owned(),
            batch_size: 512,
            head_lr_per_256: 0.5,
            decay: Decay::StepCosine { warmup_epochs: 5 },
            weight_decay: 0.0,
            label_smoothing: 0.1,
            ..Self::swav_linear()
        }
    }

    /// Encoder and classifier together, as SwAV's `eval_semisup.py`: its rates for 1 % of the labels up to there, its
    /// rates for 10 % above.
    pub fn swav_finetune(fraction: f64) -> Self {
        let (encoder, head, of) =
            if fraction <= 0.01 { (0.02, 5.0, "1 %") } else { (0.01, 0.2, "10 %") };
        let is_published = fraction == 0.01 || fraction == 0.1;
        let ours = if is_published { "" } else { ", whose use for this share is ours" };
        Self {
            name: "swav-semisup".to_owned(),
            source: format!("SwAV eval_semisup.py, rates for {of} of the labels{ours}"),
            is_frozen: false,
            epochs: 20,
            batch_size: 256,
            encoder_lr_per_256: encoder,
            head_lr_per_256: head,
            decay: Decay::Steps { at: vec![12, 16], factor: 0.2 },
            momentum: 0.9,
            weight_decay: 0.0,
            label_smoothing: 0.0,
            seed: 0,
        }
    }

    /// Another number of epochs: warm-up and steps of the rate keep their share of the training.
    pub fn set_epochs(&mut self, epochs: u32) {
        let of = u64::from(self.epochs);
        let moved = |at: u32| u64::from(at) * u64::from(epochs);
        match &mut self.decay {
            Decay::Cosine => {}
            Decay::StepCosine { warmup_epochs } => {
                *warmup_epochs = (moved(*warmup_epochs) / of) as u32;
            }
            // Not before their time: a training of one epoch has the whole rate.
            Decay::Steps { at, .. } => {
                at.iter_mut().for_each(|at| *at = moved(*at).div_ceil(of) as u32);
            }
        }
        self.epochs = epochs;
    }

    /// Factor of the learning rates at `step`.
    pub fn rate(&self, step: u64, steps_per_epoch: u64) -> f64 {
        let epoch = step / steps_per_epoch;
        let cosine = |at, end| smog_model::schedule::warmup_cosine(at, end, 0, 1.0, 0.0);
        match &self.decay {
            Decay::Cosine => cosine(epoch, self.epochs.into()),
            Decay::StepCosine { warmup_epochs } => {
                let warmup = u64::from(*warmup_epochs) * steps_per_epoch;
                match step < warmup {
                    true => step as f64 / warmup as f64,
                    false => cosine(step, u64::from(self.epochs) * steps_per_epoch),
                }
            }
            Decay::Steps { at, factor } => {
                let passed = at.iter().filter(|&&at| u64::from(at) <= epoch).count();
                factor.powi(passed as i32)
            }
        }
    }

    /// Learning rate of the encoder and of the classifier for this batch, before they fall.
    pub fn rates(&self) -> (f64, f64) {
        let scale = |rate| smog_model::schedule::scale_to_batch(rate, self.batch_size.into(), 256);
        (scale(self.encoder_lr_per_256), scale(self.head_lr_per_256))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (encoder, head) = self.rates();
        write!(f, "{} ({}): ", self.name, self.source)?;
        if self.is_frozen {
            write!(f, "frozen encoder, SGD with momentum {}, lr {head}", self.momentum)?;
        } else {
            write!(
                f,
                "all weights, SGD with momentum {}, lr {encoder} for the encoder and {head} for the classifier",
                self.momentum
            )?;
        }
        match &self.decay {
            Decay::Cosine => f.write_str(", half a cosine to 0")?,
            Decay::StepCosine { warmup_epochs: 0 } => {
                f.write_str(", half a cosine to 0 from step to step")?;
            }
            Decay::StepCosine { warmup_epochs } => write!(
                f,
                ", {warmup_epochs} epochs of warm-up, half a cosine to 0 from step to step"
            )?,
            Decay::Steps { at, factor } => write!(f, ", times {factor} at epochs {at:?}")?,
        }
        if self.label_smoothing > 0.0 {
            write!(f, ", label smoothing {}", self.label_smoothing)?;
        }
        write!(
            f,
            ", weight decay {}, {} epochs of batches of {}; random resized crop and flip, tested on the centre crop; \
             the last epoch counts",
            self.weight_decay, self.epochs, self.batch_size
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_fall_between_epochs_as_the_scripts_say() {
        let linear = Protocol::swav_linear();
        assert_eq!((linear.rate(6, 7), linear.rates()), (1.0, (0.0, 0.3)));
        assert!((linear.rate(350, 7) - 0.5).abs() < 1e-12 && linear.rate(699, 7) > 0.0);
        let tuned = Protocol { batch_size: 64, ..Protocol::swav_finetune(0.01) };
        assert_eq!(tuned.rates(), (0.005, 1.25));
        let rates = [0, 11, 12, 15, 16, 19].map(|epoch| tuned.rate(7 * epoch + 6, 7));
        assert_eq!(rates, [1.0, 1.0, 0.2, 0.2, 0.2f64.powi(2), 0.2f64.powi(2)]);
        for (epochs, expected) in [
            (1, vec![1.0]),
            (2, vec![1.0; 2]),
            (3, vec![1.0, 1.0, 0.2]),
            (5, vec![1.0, 1.0, 1.0, 0.2, 0.04]),
        ] {
            let mut shorter = tuned.clone();
            shorter.set_epochs(epochs);
            for (epoch, expected) in (0..).zip(expected) {
                assert!((shorter.rate(7 * epoch, 7) - expected).abs() < 1e-12, "{epochs} {epoch}");
            }
        }
        let mut longer = tuned;
        longer.set_epochs(60);
        let rates = [35, 36, 47, 48, 59].map(|epoch| longer.rate(7 * epoch, 7));
        assert_eq!(rates, [1.0, 0.2, 0.2, 0.2f64.powi(2), 0.2f64.powi(2)]);
        let moby = Protocol::moby_linear();
        assert_eq!(moby.rates(), (0.0, 1.0));
        let rates = [0, 7, 35, 350].map(|step| moby.rate(step, 7));
        // The cosine is taken of the whole training, so the line ends where it has begun to fall.
        let behind = 0.5 * (1.0 + (std::f64::consts::PI * 0.05).cos());
        for (found, expected) in rates.into_iter().zip([0.0, 0.2, behind, 0.5]) {
            assert!((found - expected).abs() < 1e-12, "{rates:?}");
        }
        let lightly = Protocol::lightly_linear();
        assert_eq!((lightly.rates(), lightly.rate(0, 7)), ((0.0, 0.1), 1.0));
        assert!((lightly.rate(315, 7) - 0.5).abs() < 1e-12);
        assert!(Protocol::swav_finetune(1.0).to_string().contains("ours"));
        assert!(!Protocol::swav_finetune(0.1).to_string().contains("ours"));
    }
}
