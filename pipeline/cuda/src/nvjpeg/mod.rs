//! nvJPEG: opened when it is first asked for, then one handle, a batched decoder for the JPEG engines, and a hybrid
//! decoder per worker.

mod handle;
mod hardware;
mod hybrid;
mod library;
mod status;

pub(crate) use handle::{Backend, Handle, has_no_engines};
pub(crate) use hardware::HardwareDecoder;
pub(crate) use hybrid::HybridDecoder;
pub use library::{Nvjpeg, Version};
