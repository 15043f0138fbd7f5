//! Random numbers for weights, groups and k-means: ChaCha8 keyed by (seed, domain, key).
//!
//! The scheme and the domain numbers are those of the pipeline's `draw.rs`; this crate does not depend on the
//! pipeline, hence the second copy of these few lines. libtorch's own generator is never used: it cannot be
//! saved, so nothing drawn from it could be resumed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tch::Tensor;

/// What a stream is used for; the number is part of the key.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Domain {
    /// Start of a k-means: key (low and high half of the step).
    KMeans = 5,
    /// First value of the groups.
    Groups = 6,
    /// Initial weights of a network: key (parameter number).
    Weights = 9,
    /// Drop path: key (low and high half of the step, first view of the pass, residual branch).
    DropPath = 10,
}

/// A keyed stream of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Draw(ChaCha8Rng);

impl Draw {
    pub(crate) fn new(seed: u64, domain: Domain, key: [u32; 5]) -> Self {
        let mut bytes = [0u8; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..12].copy_from_slice(&(domain as u32).to_le_bytes());
        for (chunk, word) in bytes[12..].chunks_exact_mut(4).zip(key) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(bytes))
    }

    /// Uniform in `[0, 1)` with 53 random bits.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform integer in `0..bound`, by Lemire's multiply-shift with rejection.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let threshold = bound.wrapping_neg() % bound.max(1);
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(bound);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// `count` distinct numbers of `0..bound` in ascending order (Floyd's method), so that a gather by them
    /// walks memory forwards.
    pub(crate) fn distinct(&mut self, count: u64, bound: u64) -> Vec<i64> {
        let mut chosen = std::collections::BTreeSet::new();
        for last in bound - count.min(bound)..bound {
            let candidate = self.below(last + 1);
            if !chosen.insert(candidate) {
                chosen.insert(last);
            }
        }
        chosen.into_iter().map(|index| index as i64).collect()
    }

    /// A tensor on the host of standard normals times `std`; Box-Muller, both of each pair.
    pub(crate) fn normal(&mut self, shape: &[i64], std: f64) -> Tensor {
        let count = shape.iter().product::<i64>() as usize;
        let mut values = Vec::with_capacity(count + 1);
        while values.len() < count {
            let radius = std * (-2.0 * (1.0 - self.unit()).ln()).sqrt();
            let (sin, cos) = (std::f64::consts::TAU * self.unit()).sin_cos();
            values.push((radius * cos) as f32);
            values.push((radius * sin) as f32);
        }
        Tensor::from_slice(&values[..count]).view(shape)
    }

    /// A tensor on the host, uniform in `[-bound, bound)`.
    pub(crate) fn uniform(&mut self, shape: &[i64], bound: f64) -> Tensor {
        let count = shape.iter().product::<i64>() as usize;
        let values: Vec<f32> =
            (0..count).map(|_| (bound * (2.0 * self.unit() - 1.0)) as f32).collect();
        Tensor::from_slice(&values).view(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    #[test]
    fn the_same_key_draws_the_same_numbers_and_another_key_does_not() {
        let draw = |key| Draw::new(7, Domain::Weights, [key, 0, 0, 0, 0]).normal(&[3, 5], 1.0);
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn normals_have_the_wanted_mean_and_spread() {
        let values = Draw::new(1, Domain::Groups, [0; 5]).normal(&[100_001], 0.5);
        assert!(values.mean(Kind::Double).double_value(&[]).abs() < 0.01);
        assert!((values.std(true).double_value(&[]) - 0.5).abs() < 0.01);
    }

    #[test]
    fn distinct_numbers_are_distinct_ascending_and_within_bounds() {
        let mut draw = Draw::new(3, Domain::KMeans, [0; 5]);
        for (count, bound) in [(0, 10), (1, 1), (10, 10), (50, 60), (20, 100_000)] {
            let numbers = draw.distinct(count, bound);
            assert_eq!(numbers.len() as u64, count);
            assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(numbers.iter().all(|&number| (0..bound as i64).contains(&number)));
        }
    }
}
