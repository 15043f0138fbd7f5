//! Behaviour of the batch stream, from its properties to its faults.

mod backpressure;
mod bad_samples;
mod determinism;
mod endings;
mod faults;
mod memory;
mod metrics;
mod peak;
mod resume;
mod soak;
