//! The ring of recent projections that a group reset clusters.

use std::collections::HashMap;

use tch::{Device, Kind, Tensor};

use crate::error::ModelError;
use crate::tensors;

const FEATURES: &str = "features";
const POSITION: &str = "position";

/// The last `capacity` features that were pushed, f32 `[capacity, dim]` on one device.
///
/// Only rows that were pushed count: nothing is filled with random vectors, and a push that meets the end of
/// the ring goes on at its start.
#[derive(Debug)]
pub struct FeatureMemory {
    ring: Tensor,
    capacity: i64,
    dim: i64,
    len: i64,
    next: i64,
}

impl FeatureMemory {
    /// An empty memory.
    ///
    /// # Errors
    /// [`ModelError::Config`] where capacity or dimension is below 1.
    pub fn new(capacity: i64, dim: i64, device: Device) -> Result<Self, ModelError> {
        if capacity < 1 || dim < 1 {
            return Err(ModelError::Config {
                field: "memory",
                reason: format!(
                    "capacity and dimension must be at least 1, got {capacity} and {dim}"
                ),
            });
        }
        let ring = Tensor::zeros([capacity, dim], (Kind::Float, device));
        Ok(Self { ring, capacity, dim, len: 0, next: 0 })
    }

    /// Adds the rows of `[n, dim]`, oldest out first. Of more rows than fit, the last ones stay.
    pub fn push(&mut self, features: &Tensor) {
        let features = features.detach();
        let total = features.size()[0];
        let kept = total.min(self.capacity);
        let mut done = total - kept;
        self.next = (self.next + done) % self.capacity;
        while done < total {
            let run = (total - done).min(self.capacity - self.next);
            self.ring.narrow(0, self.next, run).copy_(&features.narrow(0, done, run));
            done += run;
            self.next = (self.next + run) % self.capacity;
        }
        self.len = (self.len + kept).min(self.capacity);
    }

    /// Number of features held.
    pub fn len(&self) -> i64 {
        self.len
    }

    /// Whether nothing was pushed yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Most features it can hold.
    pub fn capacity(&self) -> i64 {
        self.capacity
    }

    /// The features held, `[len, dim]`, in ring order; shares memory with the ring.
    pub fn features(&self) -> Tensor {
        self.ring.narrow(0, 0, self.len)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.len = 0;
        self.next = 0;
    }

    /// The features held and the ring's position; shares memory with the ring.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        vec![
            (FEATURES.to_owned(), self.features()),
            (POSITION.to_owned(), Tensor::from_slice(&[self.next])),
        ]
    }

    /// Takes over a state, so that later pushes land in the same rows.
    ///
    /// # Errors
    /// A tensor is missing, of another dimension, of more rows than fit, or the position lies outside the ring.
    pub fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<(), ModelError> {
        let features = tensors::find(state, FEATURES)?;
        let size = features.size();
        if size.len() != 2 || size[1] != self.dim || size[0] > self.capacity {
            return Err(ModelError::TensorShape {
                name: FEATURES.to_owned(),
                found: size,
                expected: vec![self.capacity, self.dim],
            });
        }
        let next = tensors::counter(state, POSITION)?;
        let full = size[0] == self.capacity;
        if !(0..self.capacity).contains(&next) || (!full && next != size[0]) {
            return Err(ModelError::TensorValue {
                name: POSITION.to_owned(),
                reason: format!(
                    "position {next} does not fit {} rows of {}",
                    size[0], self.capacity
                ),
            });
        }
        self.ring.narrow(0, 0, size[0]).copy_(features);
        self.len = size[0];
        self.next = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::pattern;

    fn rows(first: i64, count: i64) -> Tensor {
        Tensor::arange_start(first, first + count, (Kind::Float, Device::Cpu)).unsqueeze(1)
    }

    fn held(memory: &FeatureMemory) -> Vec<f32> {
        let mut rows = Vec::<f32>::try_from(memory.features().contiguous().view(-1)).unwrap();
        rows.sort_by(f32::total_cmp);
        rows
    }

    #[test]
    fn a_push_over_the_end_goes_on_at_the_start() {
        let mut memory = FeatureMemory::new(5, 1, Device::Cpu).unwrap();
        assert!(memory.is_empty());
        memory.push(&rows(0, 3));
        assert_eq!(held(&memory), [0., 1., 2.]);
        memory.push(&rows(3, 4));
        assert_eq!(held(&memory), [2., 3., 4., 5., 6.]);
        memory.push(&rows(7, 1));
        assert_eq!((held(&memory), memory.len()), (vec![3., 4., 5., 6., 7.], 5));
        memory.clear();
        assert_eq!(memory.len(), 0);
    }

    #[test]
    fn of_more_rows_than_fit_the_last_stay() {
        let mut memory = FeatureMemory::new(4, 1, Device::Cpu).unwrap();
        memory.push(&rows(0, 1));
        memory.push(&rows(1, 10));
        assert_eq!(held(&memory), [7., 8., 9., 10.]);
        memory.push(&rows(11, 2));
        assert_eq!(held(&memory), [9., 10., 11., 12.]);
    }

    #[test]
    fn whatever_is_pushed_the_newest_rows_are_held() {
        for capacity in 1..7 {
            let mut memory = FeatureMemory::new(capacity, 1, Device::Cpu).unwrap();
            let mut total = 0;
            for count in [0, 1, 3, 2, 8, 1, 7, 5] {
                memory.push(&rows(total, count));
                total += count;
                let first = (total - capacity).max(0);
                let expected: Vec<f32> = (first..total).map(|row| row as f32).collect();
                assert_eq!(held(&memory), expected);
            }
        }
    }

    #[test]
    fn a_saved_memory_goes_on_in_the_same_rows() {
        let mut memory = FeatureMemory::new(5, 2, Device::Cpu).unwrap();
        for step in 0..4 {
            let saved: HashMap<_, _> =
                memory.state().into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
            let mut other = FeatureMemory::new(5, 2, Device::Cpu).unwrap();
            other.load_state(&saved).unwrap();
            let batch = pattern(&format!("batch{step}"), &[2, 2]);
            memory.push(&batch);
            other.push(&batch);
            assert_eq!(memory.state(), other.state());
        }
    }

    #[test]
    fn a_state_that_does_not_fit_is_refused() {
        let mut small = FeatureMemory::new(2, 1, Device::Cpu).unwrap();
        let mut large = FeatureMemory::new(5, 1, Device::Cpu).unwrap();
        large.push(&rows(0, 3));
        let mut state: HashMap<_, _> = large.state().into_iter().collect();
        assert!(matches!(small.load_state(&state), Err(ModelError::TensorShape { .. })));
        state.insert(POSITION.to_owned(), Tensor::from_slice(&[1i64]));
        assert!(matches!(large.load_state(&state), Err(ModelError::TensorValue { .. })));
        state.remove(FEATURES);
        assert!(matches!(large.load_state(&state), Err(ModelError::MissingTensor { .. })));
        assert!(FeatureMemory::new(0, 1, Device::Cpu).is_err());
    }
}
