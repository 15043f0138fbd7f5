//! The renderer on an NVIDIA GPU: nvJPEG, augmentation kernels and the ring of device slots.
//!
//! Nothing of CUDA is linked. The driver, nvJPEG and NVRTC are opened when they are first asked for; where one is
//! missing the answer is an error that names it.

mod error;
pub mod kernels;

pub use error::CudaError;
