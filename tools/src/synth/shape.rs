//! The outlines, as functions of a point in object space where the object lies within the unit disc.

use super::angle;
use super::class::Shape;

/// Positive inside `shape`, negative outside, roughly the distance to its edge.
pub(super) fn inside(shape: Shape, x: f32, y: f32) -> f32 {
    let radius = (x * x + y * y).sqrt();
    match shape {
        Shape::Disc => 0.92 - radius,
        Shape::Square => 0.78 - x.abs().max(y.abs()),
        Shape::Triangle => {
            // Three half planes whose normals are a third of a turn apart.
            const HALF_ROOT_3: f32 = 0.866_025_4;
            let sides = [y, -0.5 * y + HALF_ROOT_3 * x, -0.5 * y - HALF_ROOT_3 * x];
            0.52 - sides[0].max(sides[1]).max(sides[2])
        }
        Shape::Star => {
            let tip = (angle::of(x, y) * 5.0).fract();
            let between = 2.0 * (tip - 0.5).abs();
            0.46 + 0.54 * between * between - radius
        }
        Shape::Ring => (0.95 - radius).min(radius - 0.42),
        Shape::Cross => {
            let (long, wide) = (x.abs().max(y.abs()), x.abs().min(y.abs()));
            (0.9 - long).min(0.36 - wide)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::class::CLASSES;
    use super::*;

    #[test]
    fn every_outline_fits_the_unit_disc_and_fills_a_fair_part_of_it() {
        for class in CLASSES {
            let mut covered = 0;
            for i in 0..40_000u16 {
                let (x, y) = (f32::from(i % 200) * 0.015 - 1.5, f32::from(i / 200) * 0.015 - 1.5);
                if inside(class.shape, x, y) > 0.0 {
                    covered += 1;
                    assert!(x * x + y * y < 1.3, "{:?} reaches ({x}, {y})", class.shape);
                }
            }
            let share = f64::from(covered) * 0.015 * 0.015 / std::f64::consts::PI;
            assert!((0.25..=0.95).contains(&share), "{:?}: {share}", class.shape);
        }
    }
}
