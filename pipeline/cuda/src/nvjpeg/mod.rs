//! nvJPEG: opened when it is first asked for, then one handle, a batched decoder for the JPEG engines, and a hybrid
//! decoder per worker.

mod handle;
mod hardware;
mod hybrid;
mod library;
mod status;

pub(crate) use handle::{Backend, Handle, JpegEngines, engines, unless_refused};
pub(crate) use hardware::{Begun, HardwareDecoder, LEAST_SIDE};
pub(crate) use hybrid::HybridDecoder;
pub use library::{Nvjpeg, Version};
