//! Random numbers with a name and a key.
//!
//! Every stream of random numbers is ChaCha8 whose 256-bit key *is* the tuple (seed, domain, a, b, c, d):
//! no generator state is carried from one draw to the next, so any draw can be made again from its key
//! alone. `rand`'s `StdRng` may change with the crate, so it is not used; the conversions to floats and
//! ranges are written out here for the same reason and are covered by golden values.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream of random numbers is used for. The number is part of the key: never reuse or renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Domain {
    /// Shuffle of rows while shards are written.
    Shard = 1,
    /// Order of row groups within an epoch: key (epoch).
    GroupOrder = 2,
    /// Shift of each row within the shuffle window: key (epoch, row group).
    RowShift = 3,
    /// Augmentation: key (epoch, sample, view, attempt).
    View = 4,
    /// Start of a k-means: key (step).
    KMeans = 5,
    /// First value of the groups.
    Groups = 6,
    /// Synthetic images: key (class, image).
    Synthetic = 7,
    /// Choice of samples to show or evaluate.
    Selection = 8,
    /// Initial weights of a network: key (parameter number).
    Weights = 9,
}

/// A keyed stream of random numbers.
#[derive(Clone, Debug)]
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// The stream for this key. `key` holds up to five numbers, unused ones are 0.
    pub fn new(seed: u64, domain: Domain, key: [u32; 5]) -> Self {
        let mut bytes = [0u8; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..12].copy_from_slice(&(domain as u32).to_le_bytes());
        for (chunk, word) in bytes[12..].chunks_exact_mut(4).zip(key) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(bytes))
    }

    /// The next 32 bits.
    pub fn bits32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// The next 64 bits.
    pub fn bits64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `[0, 1)` with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in `[low, high)`; `low` where the range is empty.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True with probability `p`. Always draws, so that a changed probability moves no later draw.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Uniform integer in `0..bound` (Lemire's multiply-shift with rejection). `bound` 0 gives 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        if bound == 0 {
            return 0;
        }
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u64::from(self.bits32()) * u64::from(bound);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// Standard normal (Box-Muller, one of the pair).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Fisher-Yates shuffle.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u32 + 1) as usize;
            items.swap(last, other);
        }
    }
}
