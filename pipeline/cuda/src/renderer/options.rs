//! Options of the renderer on a GPU.

use std::fmt;
use std::path::PathBuf;

use crate::CudaError;
use crate::kernels::{KernelOptions, Normalize, PixelKind};
use crate::nvjpeg::Version;
use crate::route::Unchecked;

/// How a GPU renders.
#[derive(Clone, Debug)]
pub struct CudaOptions {
    /// The device, as `cuda:N`.
    pub device: u32,
    /// What the values of a view are.
    pub kind: PixelKind,
    /// From 0..255 to the values of a view.
    pub normalize: Normalize,
    /// Threads that decode what the JPEG engines do not.
    pub workers: u32,
    /// Images that nobody has decoded before.
    pub unchecked: Unchecked,
    /// Use the JPEG engines where there are any.
    pub hardware: bool,
    /// Device memory for decoded images: those being decoded, and those whose kernels have not run yet.
    pub surface_bytes: u64,
    /// Pinned memory for the encoded images of one batch of the engines; there are two.
    pub staging_bytes: usize,
    /// Images in a batch of the engines; 0 takes four per core of theirs.
    pub max_batch_images: u32,
    /// Views whose kernels are enqueued at once.
    pub max_views: u32,
    /// Side of the largest view.
    pub max_side: u32,
    /// Files, or folders with a `libnvjpeg*.so*`, to try where CUDA's own names are not found.
    pub nvjpeg_paths: Vec<PathBuf>,
    /// Compiling and caching the kernels.
    pub kernels: KernelOptions,
}

/// What was found on the device, for the run's start-up lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CudaFacts {
    /// Version of nvJPEG.
    pub nvjpeg: Version,
    /// JPEG engines that are used; 0 without.
    pub num_engines: u32,
    /// Decoder cores in each.
    pub num_cores_per_engine: u32,
    /// Images in a batch of theirs.
    pub max_batch_images: u32,
    /// Whether subsampled colour is interpolated as on the processor.
    pub interpolates: bool,
}

impl fmt::Display for CudaFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nvJPEG {}", self.nvjpeg)?;
        match self.num_engines {
            0 => f.write_str(" without JPEG engines")?,
            engines => write!(
                f,
                ", {engines} JPEG engines of {} cores, {} images at once",
                self.num_cores_per_engine, self.max_batch_images
            )?,
        }
        if !self.interpolates {
            f.write_str("; it does not interpolate subsampled colour, so views differ from those of the processor")?;
        }
        Ok(())
    }
}

impl CudaOptions {
    /// A gibibyte of surfaces: some 1900 photographs of 500 x 375 pixels.
    pub const DEFAULT_SURFACE_BYTES: u64 = 1 << 30;
    /// Some 250 photographs of ImageNet's size.
    pub const DEFAULT_STAGING_BYTES: usize = 32 << 20;
    /// Six views of 64 samples.
    pub const DEFAULT_MAX_VIEWS: u32 = 384;

    /// The options with everything but the given at its default.
    pub fn new(device: u32, kind: PixelKind, normalize: Normalize, workers: u32) -> Self {
        Self {
            device,
            kind,
            normalize,
            workers,
            unchecked: Unchecked::default(),
            hardware: true,
            surface_bytes: Self::DEFAULT_SURFACE_BYTES,
            staging_bytes: Self::DEFAULT_STAGING_BYTES,
            max_batch_images: 0,
            max_views: Self::DEFAULT_MAX_VIEWS,
            max_side: 224,
            nvjpeg_paths: Vec::new(),
            kernels: KernelOptions::default(),
        }
    }

    /// The same for views of these sides: the largest fits, and so do all views of a sample.
    #[must_use]
    pub fn for_views(self, sides: &[u32]) -> Self {
        let max_side = sides.iter().copied().max().unwrap_or(self.max_side);
        Self { max_side, max_views: self.max_views.max(sides.len() as u32), ..self }
    }

    /// Checks the options by themselves. `max_pixels` is the limit on images.
    pub(super) fn validate(&self, max_pixels: u64) -> Result<(), CudaError> {
        let check = |key, value: u64, fits: bool, expected: String| {
            let error = || CudaError::Options { key, value: value.to_string(), expected };
            if fits { Ok(()) } else { Err(error()) }
        };
        let largest = 3 * max_pixels;
        check(
            "surface_bytes",
            self.surface_bytes,
            self.surface_bytes >= largest,
            format!(
                "at least {largest}: 3 bytes for each of the {max_pixels} pixels that an image may have"
            ),
        )?;
        check("workers", self.workers.into(), self.workers > 0, "at least 1".into())?;
        check(
            "staging_bytes",
            self.staging_bytes as u64,
            self.staging_bytes >= 1 << 20,
            "at least 1 MiB".into(),
        )?;
        check(
            "max_batch_images",
            self.max_batch_images.into(),
            self.max_batch_images <= 4096,
            "at most 4096, or 0 to follow the engines".into(),
        )?;
        check("max_views", self.max_views.into(), self.max_views > 0, "at least 1".into())?;
        check(
            "max_side",
            self.max_side.into(),
            (1..=4096).contains(&self.max_side),
            "1 to 4096 pixels".into(),
        )
    }
}
