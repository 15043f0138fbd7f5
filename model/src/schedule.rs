//! Learning rate and momentum as pure functions of the step, so that a resume needs no scheduler state.

/// The learning rate at `step` (0-based) of `total`: rises in a straight line from `base / warmup` to `base`
/// over the first `warmup` steps, then falls along half a cosine to `last`, which it reaches at `total`.
pub fn warmup_cosine(step: u64, total: u64, warmup: u64, base: f64, last: f64) -> f64 {
    if step < warmup {
        return base * (step + 1) as f64 / warmup as f64;
    }
    let progress = fraction(step - warmup, total.saturating_sub(warmup));
    last + (base - last) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}

/// The learning rate at `step` without decay: warm-up as in [`warmup_cosine`], then `base` for good.
pub fn warmup_constant(step: u64, warmup: u64, base: f64) -> f64 {
    if step < warmup { base * (step + 1) as f64 / warmup as f64 } else { base }
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
        no_warmup: Vec<f64>,
        ema_cosine: Vec<f64>,
    }

    #[test]
    fn values_are_those_of_the_reference() {
        let golden = golden::read::<Golden>("schedules");
        let close = |found: f64, expected: f64| {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}")
        };
        for (row, &step) in golden.steps.iter().enumerate() {
            close(warmup_cosine(step, 100, 10, 0.6, 0.01), golden.warmup_cosine[row]);
            close(warmup_cosine(step, 100, 0, 0.6, 0.0), golden.no_warmup[row]);
            close(ema_cosine(step, 100, 0.99), golden.ema_cosine[row]);
        }
    }

    #[test]
    fn steps_beyond_the_end_and_empty_runs_stay_at_the_last_value() {
        assert!((warmup_cosine(500, 100, 10, 0.6, 0.01) - 0.01).abs() < 1e-12);
        assert!((warmup_cosine(7, 5, 5, 0.6, 0.01) - 0.01).abs() < 1e-12);
        assert!((ema_cosine(500, 100, 0.99) - 1.0).abs() < 1e-12);
        assert!((ema_cosine(0, 0, 0.99) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_constant_rate_warms_up_and_stays() {
        let rates: Vec<f64> =
            [0, 1, 2, 3, 99].iter().map(|&s| warmup_constant(s, 4, 0.8)).collect();
        assert_eq!(rates, [0.2, 0.4, 0.6000000000000001, 0.8, 0.8]);
        assert!((scale_to_batch(0.06, 512, 128) - 0.24).abs() < 1e-12);
    }
}
