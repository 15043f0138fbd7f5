//! Batches: a ring of preallocated slots whose rows the workers fill and whose leases the trainer holds.
//!
//! There are as many slots as batches may be in flight, and step `k` uses slot `k % num_slots`. Holding a
//! slot is the right to have a batch in flight, so the ring bounds memory, keeps the order without a
//! reorder buffer, and stops the pipeline when the trainer is slow. A slot goes round in four states, each
//! of them a value that exists once:
//!
//! ```text
//!    free ──> filling ──> rows (one lease each) ──> ready ──> HostBatch
//!     ^     dispatcher          workers          last row      trainer │
//!     └──────────────────────────── drop ──────────────────────────────┘
//! ```

mod host;
#[cfg(feature = "loom")]
pub mod model;
mod ring;
mod rows;
mod slot;
mod sync;

pub use host::HostBatch;
pub(crate) use ring::{FillSide, ReadySide, ring};
pub use rows::{RowLease, RowParts, ViewsOfRow};
pub use slot::{BatchShape, DeviceSlot, HeapMemory, SlotBlock, SlotMemory};
