//! Batches: a ring of preallocated slots whose rows the workers fill and whose leases the trainer holds.

mod host;

pub use host::HostBatch;
