//! Weights of the antialiased triangle filter along one axis, as PIL and torchvision compute them.

/// Which source pixels make each output pixel, and with what weights.
#[derive(Default)]
pub(crate) struct Filter {
    /// First source pixel of each output pixel.
    first: Vec<u32>,
    /// `taps` weights for each output pixel; what is not needed is 0.
    weights: Vec<u16>,
    taps: usize,
    /// One more than the last source pixel that any output pixel reads with a weight above 0.
    end: u32,
    /// Weights of one output pixel before rounding.
    exact: Vec<f64>,
}

/// An axis: the box from `start` over `length` source pixels becomes `outputs` pixels. The filter may read
/// past the box but not past the `limit` source pixels that there are.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    /// Source pixels that there are.
    pub limit: u32,
    /// Left or upper edge of the box.
    pub start: f64,
    /// Length of the box, above 0.
    pub length: f64,
    /// Pixels that it becomes.
    pub outputs: u32,
}

impl Axis {
    /// Source pixels per output pixel.
    fn step(&self) -> f64 {
        self.length / f64::from(self.outputs)
    }

    /// How far the triangle reaches to either side. Where pixels are made smaller it is as much wider.
    fn support(&self) -> f64 {
        self.step().max(1.0)
    }

    /// Weights for each output, a multiple of `unit`.
    pub fn taps(&self, unit: usize) -> usize {
        ((2.0 * self.support()).ceil() as usize).max(1).next_multiple_of(unit)
    }

    /// Position of an output in the source.
    fn centre(&self, output: u32) -> f64 {
        self.start + (f64::from(output) + 0.5) * self.step()
    }

    /// The source pixels that an output may read, first and one more than the last.
    pub fn reach(&self, output: u32) -> (u32, u32) {
        let (centre, support) = (self.centre(output), self.support());
        // A cast cuts off below 0.
        let first = ((centre - support + 0.5) as u32).min(self.limit - 1);
        let end = ((centre + support + 0.5) as u32).clamp(first + 1, self.limit);
        (first, end)
    }
}

impl Filter {
    /// Computes all weights. The weights of a pixel sum to `one`, so even colours stay even; the number of
    /// taps is rounded up to a multiple of `unit`; `mirrored` puts the outputs in reverse order.
    pub(crate) fn set(&mut self, axis: Axis, one: u32, unit: usize, mirrored: bool) {
        let outputs = axis.outputs;
        let slope = 1.0 / axis.support();
        self.taps = axis.taps(unit);
        self.end = 0;
        self.first.clear();
        self.weights.clear();
        self.weights.resize(outputs as usize * self.taps, 0);
        self.exact.resize(self.taps, 0.0);
        for (index, weights) in self.weights.chunks_exact_mut(self.taps).enumerate() {
            let index = if mirrored { outputs - 1 - index as u32 } else { index as u32 };
            let centre = axis.centre(index);
            let (first, end) = axis.reach(index);
            // Rounding of `support` may have made room for one tap too few.
            let used = ((end - first) as usize).min(weights.len());
            let (exact, weights) = (&mut self.exact[..used], &mut weights[..used]);
            for (pixel, exact) in (first..).zip(&mut *exact) {
                *exact = (1.0 - (f64::from(pixel) + 0.5 - centre).abs() * slope).max(0.0);
            }
            round(exact, one, weights);
            self.first.push(first);
            if first + used as u32 > self.end {
                let last = weights.iter().rposition(|&weight| weight > 0);
                self.end = self.end.max(first + last.map_or(0, |last| last + 1) as u32);
            }
        }
    }

    /// Number of outputs.
    pub(crate) fn len(&self) -> usize {
        self.first.len()
    }

    /// Weights for each output.
    pub(crate) fn taps(&self) -> usize {
        self.taps
    }

    /// First source pixel and weights of an output.
    pub(crate) fn output(&self, index: usize) -> (usize, &[u16]) {
        (self.first[index] as usize, &self.weights[index * self.taps..][..self.taps])
    }

    /// First source pixels of all outputs.
    pub(crate) fn firsts(&self) -> &[u32] {
        &self.first
    }

    /// Weights of all outputs.
    pub(crate) fn weights(&self) -> &[u16] {
        &self.weights
    }

    /// The source pixels that are read with a weight above 0: first, and one more than the last.
    pub(crate) fn span(&self) -> (usize, usize) {
        let ends = [self.first.first(), self.first.last()];
        let start = ends.into_iter().flatten().min().copied().unwrap_or(0);
        (start as usize, self.end as usize)
    }

    /// Counts source pixels from `origin` on.
    pub(crate) fn rebase(&mut self, origin: usize) {
        self.first.iter_mut().for_each(|first| *first -= origin as u32);
        self.end -= origin as u32;
    }
}

/// `exact`, scaled to sum to `one` and rounded. What rounding leaves over goes to the largest weight.
fn round(exact: &[f64], one: u32, weights: &mut [u16]) {
    let sum: f64 = exact.iter().sum();
    let scale = f64::from(one) / if sum > 0.0 { sum } else { 1.0 };
    let mut left = i64::from(one);
    let (mut largest, mut peak) = (0, 0.0);
    for (index, (weight, &exact)) in weights.iter_mut().zip(exact).enumerate() {
        // Without `round`, which is a call of a function where the processor may be old.
        *weight = (exact * scale + 0.5).min(65_535.0) as u16;
        left -= i64::from(*weight);
        if exact > peak {
            (largest, peak) = (index, exact);
        }
    }
    let weight = &mut weights[largest];
    *weight = (i64::from(*weight) + left).clamp(0, 65_535) as u16;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(axis: Axis, mirrored: bool) -> Filter {
        let mut filter = Filter::default();
        filter.set(axis, 16_384, 2, mirrored);
        filter
    }

    #[test]
    fn weights_sum_to_one_and_stay_inside_the_source() {
        for (limit, start, length, outputs) in [
            (10, 0.0, 10.0, 10),
            (10, 0.0, 10.0, 3),
            (10, 0.0, 10.0, 31),
            (1, 0.0, 1.0, 8),
            (500, 3.7, 400.25, 224),
            (500, 499.0, 0.001, 8),
            (5000, 0.0, 5000.0, 8),
        ] {
            let filter = filter(Axis { limit, start, length, outputs }, false);
            for index in 0..filter.len() {
                let (first, weights) = filter.output(index);
                let sum: u32 = weights.iter().map(|&weight| u32::from(weight)).sum();
                assert_eq!(sum, 16_384, "{limit} {start} {length} {outputs}, output {index}");
                let used = weights.iter().rposition(|&weight| weight > 0).unwrap();
                assert!(first + used < limit as usize);
            }
            let (start, end) = filter.span();
            assert!(start < end && end <= limit as usize);
        }
    }

    /// PIL 12: `Image.new("F", (7, 1))` with one pixel set to 1, `resize((3, 1), Image.BILINEAR)`.
    #[test]
    fn weights_are_those_of_pil() {
        let filter = filter(Axis { limit: 7, start: 0.0, length: 7.0, outputs: 3 }, false);
        let expected: [&[f64]; 3] = [
            &[0.357_142_9, 0.428_571_4, 0.214_285_7],
            &[0.058_823_5, 0.235_294_1, 0.411_764_7, 0.235_294_1, 0.058_823_5],
            &[0.214_285_7, 0.428_571_4, 0.357_142_9],
        ];
        for (index, expected) in expected.into_iter().enumerate() {
            let (_, weights) = filter.output(index);
            let found = weights.iter().map(|&weight| f64::from(weight) / 16_384.0);
            let found: Vec<f64> = found.filter(|&weight| weight > 0.0).collect();
            assert_eq!(found.len(), expected.len(), "output {index}: {found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-4, "output {index}: {found} {expected}");
            }
        }
    }

    #[test]
    fn a_mirrored_filter_has_the_same_outputs_in_reverse() {
        let axis = Axis { limit: 100, start: 0.0, length: 100.0, outputs: 33 };
        let (plain, mirrored) = (filter(axis, false), filter(axis, true));
        for index in 0..33 {
            assert_eq!(plain.output(index), mirrored.output(32 - index));
        }
    }
}
