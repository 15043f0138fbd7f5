//! The augmentation kernels: from decoded images in device memory to normalised views in a batch, with the plans of
//! the CPU renderer and its bytes.
//!
//! ```text
//! tasks ──> pack ──> parameters ──copy──> weights ─> lines ─> resample ─> colour ─> blur rows ─> blur columns
//!           integers  pinned              one launch each for all views of the batch; lines and blur only where wanted
//! ```
//!
//! The source is `kernels/augment.cu`. It reaches the device as machine code that nvcc made when this crate was built
//! (`SMOG_NVCC`), or that NVRTC makes when the program starts and [`KernelOptions::cache`] keeps. The same file,
//! compiled as C++, is the [`oracle`], by which everything but the launches is tested without a GPU.
//!
//! Between decoding and normalising everything is a byte or an integer that the CPU renderer has, too, so views are
//! the same on both to the last bit. `docs/KERNELS.md` says what follows from it.

mod cache;
pub mod check;
mod compile;
mod launch;
mod nvrtc;
pub mod oracle;
mod pack;
mod params;
mod task;

pub use compile::{Code, KernelOptions, compile};
pub use launch::{Kernels, Workspace};
pub use task::{Normalize, PixelKind, Surface, ViewTask};
