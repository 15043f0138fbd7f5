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
