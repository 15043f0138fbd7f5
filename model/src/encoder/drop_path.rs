//! Drop path (stochastic depth): in training, what a residual branch adds is left out for some pictures of the batch, and
//! scaled up for the others, so that its expectation stays.
//!
//! timm and torchvision draw from the global generator. Here a draw is keyed by what it is for, so a resumed run leaves
//! out the same branches of the same pictures.

use tch::{Device, Tensor};

use crate::device::upload;
use crate::draw::{Domain, Draw};
use crate::layers::Mode;

/// What the draws of one pass are keyed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DropKey {
    pub(crate) seed: u64,
    pub(crate) step: u64,
    /// The first view of those that pass the network as one batch.
    pub(crate) view: u32,
}

/// The draws of one pass through a network of residual branches, two in each block.
pub(crate) struct DropPath {
    /// `[2 * blocks, B]`: 0 where a branch is left out, else 1 / (share kept). None where nothing is dropped.
    scales: Option<Tensor>,
}

impl DropPath {
    /// `rate` is that of the last block; it rises in a straight line from 0 in the first one.
    pub(crate) fn new(
        rate: f64,
        num_blocks: usize,
        batch: i64,
        mode: Mode,
        device: Device,
    ) -> Self {
        let scales = match mode {
            Mode::Drop(key) | Mode::Again(key) if rate > 0.0 => {
                Some(scales(rate, num_blocks, batch as usize, key))
            }
            _ => None,
        };
        // All of them in one copy, and one that does not make the host wait for the device.
        Self { scales: scales.map(|scales| upload(&scales, device)) }
    }

    /// `x` and what residual branch number `number` gives for it, `[B, ...]`.
    pub(crate) fn add(&self, x: &Tensor, number: usize, branch: Tensor) -> Tensor {
        let Some(scales) = &self.scales else { return x + branch };
        let mut shape = vec![1; x.dim()];
        shape[0] = -1;
        x + branch * scales.get(number as i64).view(shape.as_slice()).to_kind(x.kind())
    }
}

fn scales(rate: f64, num_blocks: usize, batch: usize, key: DropKey) -> Tensor {
    let mut values = Vec::with_capacity(2 * num_blocks * batch);
    for number in 0..2 * num_blocks {
        let keep = 1.0 - rate * (number / 2) as f64 / (num_blocks - 1).max(1) as f64;
        let words = [key.step as u32, (key.step >> 32) as u32, key.view, number as u32, 0];
        let mut draw = Draw::new(key.seed, Domain::DropPath, words);
        let scale = (1.0 / keep) as f32;
        values.extend((0..batch).map(|_| if draw.unit() < keep { scale } else { 0.0 }));
    }
    Tensor::from_slice(&values).view([2 * num_blocks as i64, batch as i64])
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    const KEY: DropKey = DropKey { seed: 3, step: 70, view: 0 };

    #[test]
    fn the_share_left_out_rises_with_depth_and_the_expectation_stays() {
        let scales = scales(0.4, 5, 20_000, KEY);
        for number in 0..10 {
            let row = scales.get(number);
            let rate = 0.1 * (number / 2) as f64;
            let dropped = row.eq(0.0).to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
            assert!((dropped - rate).abs() < 0.015, "branch {number}: {dropped} for {rate}");
            let kept = row.max().double_value(&[]);
            assert!((kept * (1.0 - rate) - 1.0).abs() < 1e-6, "branch {number}: {kept}");
            let mean = row.mean(Kind::Double).double_value(&[]);
            assert!((mean - 1.0).abs() < 0.03, "branch {number}: mean {mean}");
        }
    }

    #[test]
    fn every_part_of_the_key_matters_and_the_same_key_draws_the_same() {
        let draw = |key| scales(0.5, 3, 64, key);
        assert_eq!(draw(KEY), draw(KEY));
        assert_ne!(draw(KEY), draw(DropKey { seed: 4, ..KEY }));
        assert_ne!(draw(KEY), draw(DropKey { step: 71, ..KEY }));
        assert_ne!(draw(KEY), draw(DropKey { step: KEY.step + (1 << 32), ..KEY }));
        assert_ne!(draw(KEY), draw(DropKey { view: 2, ..KEY }));
        let last = draw(KEY);
        assert_ne!(last.get(4), last.get(5), "both branches of a block are drawn");
    }

    #[test]
    fn a_picture_keeps_or_loses_the_whole_branch() {
        let x = Tensor::ones([64, 2, 3], (Kind::Float, Device::Cpu));
        let drop = DropPath::new(0.5, 2, 64, Mode::Drop(KEY), Device::Cpu);
        let added = drop.add(&x, 3, &x * 10.0) - &x;
        let added = added.view([64, 6]);
        assert_eq!(added.amin([1].as_slice(), false), added.amax([1].as_slice(), false));
        let values: Vec<f32> = added.select(1, 0).try_into().unwrap();
        assert!(values.contains(&0.0) && values.contains(&20.0), "{values:?}");
        for mode in [Mode::Train, Mode::Eval] {
            let none = DropPath::new(0.5, 2, 64, mode, Device::Cpu);
            assert_eq!(none.add(&x, 3, &x * 10.0), &x * 11.0);
        }
        let none = DropPath::new(0.0, 2, 64, Mode::Drop(KEY), Device::Cpu);
        assert_eq!(none.add(&x, 3, &x * 10.0), &x * 11.0);
    }
}
