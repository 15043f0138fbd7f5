//! Reading row groups on schedule and handing out their rows.
//!
//! The order of an epoch is known, so nothing here is a cache with hope. One thread walks it ahead and reads
//! row groups in the order of their first use, as far as a byte budget lets it; another walks it to resolve
//! the rows of each batch, hands them to the renderer, and drops a row group behind its last row.
//! Both run on over the end of an epoch.

mod budget;
mod dispatch;
mod reader;
pub mod schedule;

pub use budget::{ByteBudget, Permit};
pub(crate) use dispatch::Dispatcher;
pub use reader::HeldGroup;
pub(crate) use reader::{READ_AHEAD, Reader, held_bytes};
