//! Learning rate and momentum as pure functions of the step, so that a resume needs no scheduler state.

/// How the learning rate begins.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Warmup {
    /// Steps of a rise in a straight line.
    pub steps: u64,
    /// Rate of the first step; the last one has the full rate, as in SwAV. With 0, which would waste a step, the first one has
    /// an equal share of the full rate instead.
    pub start: f64,
}

impl Warmup {
    /// The rate of a step of the warm-up that leads to `base`; `None` after it.
    fn rate(self, step: u64, base: f64) -> Option<f64> {
        if step >= self.steps {
            return None;
        }
        if self.start > 0.0 {
            let progress = fraction(step, self.steps - 1);
            // Of a single step it is the first, not the last.
            let progress = if self.steps == 1 { 0.0 } else { progress };
            return Some(self.start + (base - self.start) * progress);
        }
        Some(base * (step + 1) as f64 / self.steps as f64)
    }

    /// The learning rate at `step` (0-based) of `total`: after the warm-up it falls from `base` along half a cosine to `last`,
    /// which it reaches at `total`.
    pub fn cosine(self, step: u64, total: u64, base: f64, last: f64) -> f64 {
        if let Some(rate) = self.rate(step, base) {
            return rate;
        }
        let progress = fraction(step - self.steps, total.saturating_sub(self.steps));
        last + (base - last) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
    }

    /// The learning rate at `step` without decay: after the warm-up `base` for good.
    pub fn constant(self, step: u64, base: f64) -> f64 {
        self.rate(step, base).unwrap_or(base)
    }
}

/// [`Warmup::cosine`] that begins with `base / warmup`.
pub fn warmup_cosine(step: u64, total: u64, warmup: u64, base: f64, last: f64) -> f64 {
    Warmup { steps: warmup, start: 0.0 }.cosine(step, total, base, last)
}

/// The share of the old momentum weights that the update of `step` keeps: `start` at step 0, rising along half
/// a cosine to 1 at `total` (BYOL's rule).
pub fn ema_cosine(step: u64, total: u64, start: f64) -> f64 {
    1.0 - (1.0 - start) * 0.5 * (1.0 + (std::f64::consts::PI * fraction(step, total)).cos())
}

/// The learning rate for a batch of `batch_size`, given the one for a batch of `reference`.
pub fn scale_to_batch(base: f64, batch_size: u64, reference: u64) -> f64 {
    base * batch_size as f64 / reference as f64
}

fn fraction(step: u64, total: u64) -> f64 {
    if total == 0 { 1.0 } else { (step as f64 / total as f64).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[derive(serde::Deserialize)]
    struct Golden {
        steps: Vec<u64>,
        warmup_cosine: Vec<f64>,
        warmup_from: Vec<f64>,
        no_warmup: Vec<f64>,
        ema_cosine: Vec<f64>,
    }

    fn warmup(steps: u64, start: f64) -> Warmup {
        Warmup { steps, start }
    }

    #[test]
    fn values_are_those_of_the_reference() {
        let golden = golden::read::<Golden>("schedules");
        let close = |found: f64, expected: f64| {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}")
        };
        for (row, &step) in golden.steps.iter().enumerate() {
            close(warmup_cosine(step, 100, 10, 0.6, 0.01), golden.warmup_cosine[row]);
            close(warmup(10, 0.3).cosine(step, 100, 4.8, 0.0048), golden.warmup_from[row]);
            close(warmup_cosine(step, 100, 0, 0.6, 0.0), golden.no_warmup[row]);
            close(ema_cosine(step, 100, 0.99), golden.ema_cosine[row]);
        }
    }

    #[test]
    fn steps_beyond_the_end_and_empty_runs_stay_at_the_last_value() {
        assert!((warmup(10, 0.1).cosine(500, 100, 0.6, 0.01) - 0.01).abs() < 1e-12);
        assert!((warmup_cosine(7, 5, 5, 0.6, 0.01) - 0.01).abs() < 1e-12);
        assert!((ema_cosine(500, 100, 0.99) - 1.0).abs() < 1e-12);
        assert!((ema_cosine(0, 0, 0.99) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_constant_rate_warms_up_and_stays() {
        let rates: Vec<f64> =
            [0, 1, 2, 3, 99].iter().map(|&s| warmup(4, 0.0).constant(s, 0.8)).collect();
        assert_eq!(rates, [0.2, 0.4, 0.6000000000000001, 0.8, 0.8]);
        let rates = [0, 1, 2, 3].map(|step| warmup(3, 0.2).constant(step, 0.8));
        assert_eq!(rates, [0.2, 0.5, 0.8, 0.8]);
        assert_eq!([0, 1].map(|step| warmup(1, 0.2).constant(step, 0.8)), [0.2, 0.8]);
        assert!((scale_to_batch(0.06, 512, 128) - 0.24).abs() < 1e-12);
    }
}
