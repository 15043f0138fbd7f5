//! Sine, cosine and arc tangent in turns, from plain multiplications and additions.
//!
//! The platform's own functions may differ in the last bit between C libraries and processors, and the
//! pictures are promised to be the same everywhere. The error of these (below 0.002) is invisible.

/// Sine of `turns` (1.0 is the full circle).
pub(super) fn sin(turns: f32) -> f32 {
    // Parabola through the zeros and the extremes, then one correction towards the sine.
    let x = turns - (turns + 0.5).floor();
    let parabola = 8.0 * x * (1.0 - 2.0 * x.abs());
    parabola * (0.775 + 0.225 * parabola.abs())
}

/// Cosine of `turns`.
pub(super) fn cos(turns: f32) -> f32 {
    sin(turns + 0.25)
}

/// The angle of the point (x, y) in turns, in `[0, 1)`; 0 at the origin.
pub(super) fn of(x: f32, y: f32) -> f32 {
    let (near, far) = if x.abs() > y.abs() { (y.abs(), x.abs()) } else { (x.abs(), y.abs()) };
    if far == 0.0 {
        return 0.0;
    }
    let ratio = near / far;
    let eighth = ratio * (0.125 + 0.0435 * (1.0 - ratio));
    let quarter = if x.abs() > y.abs() { eighth } else { 0.25 - eighth };
    let half = if x < 0.0 { 0.5 - quarter } else { quarter };
    let turn = if y < 0.0 { 1.0 - half } else { half };
    turn - turn.floor()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_approximations_stay_close_to_the_true_functions() {
        for step in -4000..4000i16 {
            let turns = f32::from(step) / 1000.0;
            let (sine, cosine) = (turns * std::f32::consts::TAU).sin_cos();
            assert!((sin(turns) - sine).abs() < 2e-3, "sin {turns}");
            assert!((cos(turns) - cosine).abs() < 2e-3, "cos {turns}");
            let found = of(3.0 * cosine, 3.0 * sine);
            let distance = (found - turns.rem_euclid(1.0)).abs();
            assert!(distance.min(1.0 - distance) < 2e-3, "of {turns}: {found}");
        }
        assert_eq!(of(0.0, 0.0), 0.0);
    }
}
