//! The renderer on an NVIDIA GPU: nvJPEG, augmentation kernels and the ring of device slots.
//!
//! Nothing of CUDA is linked. The driver, nvJPEG and NVRTC are opened when they are first asked for; where one is
//! missing the answer is an error that names it.

pub mod check;
pub mod driver;
mod error;
pub mod kernels;
pub mod nvjpeg;
mod renderer;
mod ring;
mod route;
mod surfaces;

pub use error::CudaError;
pub use renderer::{
    AUGMENT_THREAD, CudaFacts, CudaOptions, CudaRenderer, ENGINES_THREAD, RouteCounts,
};
pub use ring::{DeviceBatch, DeviceRing, DeviceView};
pub use route::{CpuReason, Route, Router, Unchecked};
