//! Protocols by name: every number, and where it comes from.

use std::fmt;

use serde::Serialize;

/// How the learning rate falls. It changes between epochs, as in SwAV's scripts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Decay {
    /// Half a cosine to 0.
    Cosine,
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
            seed: 0,
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
            seed: 0,
        }
    }

    /// Another number of epochs: the steps of the rate keep their share of the training.
    pub fn set_epochs(&mut self, epochs: u32) {
        if let Decay::Steps { at, .. } = &mut self.decay {
            for at in at {
                let moved = u64::from(*at) * u64::from(epochs) / u64::from(self.epochs);
                *at = moved as u32;
            }
        }
        self.epochs = epochs;
    }

    /// Factor of the learning rates in `epoch`.
    pub fn rate(&self, epoch: u64) -> f64 {
        match &self.decay {
            Decay::Cosine => {
                smog_model::schedule::warmup_cosine(epoch, self.epochs.into(), 0, 1.0, 0.0)
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
            Decay::Steps { at, factor } => write!(f, ", times {factor} at epochs {at:?}")?,
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
        assert_eq!((linear.rate(0), linear.rates()), (1.0, (0.0, 0.3)));
        assert!((linear.rate(50) - 0.5).abs() < 1e-12 && linear.rate(99) > 0.0);
        let tuned = Protocol { batch_size: 64, ..Protocol::swav_finetune(0.01) };
        assert_eq!(tuned.rates(), (0.005, 1.25));
        let rates = [0, 11, 12, 15, 16, 19].map(|epoch| tuned.rate(epoch));
        assert_eq!(rates, [1.0, 1.0, 0.2, 0.2, 0.2f64.powi(2), 0.2f64.powi(2)]);
        let mut longer = tuned;
        longer.set_epochs(60);
        let rates = [35, 36, 47, 48, 59].map(|epoch| longer.rate(epoch));
        assert_eq!(rates, [1.0, 0.2, 0.2, 0.2f64.powi(2), 0.2f64.powi(2)]);
        assert!(Protocol::swav_finetune(1.0).to_string().contains("ours"));
        assert!(!Protocol::swav_finetune(0.1).to_string().contains("ours"));
    }
}
