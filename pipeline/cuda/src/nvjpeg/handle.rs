//! Handles of nvJPEG: one for the JPEG engines, one for the hybrid decoders.

use std::ptr;

use nvjpeg_sys as sys;

use super::status::check;
use super::{Nvjpeg, Version};
use crate::CudaError;
use crate::driver::Gpu;

/// Chroma upsampling by interpolation, as libjpeg-turbo does it; newer than the bindings.
const UPSAMPLING_WITH_INTERPOLATION: u32 = 1 << 5;
/// Major and minor version of nvJPEG from which on it is known to do that. An older one may take the flag and do nothing.
const INTERPOLATES_FROM: (i32, i32) = (12, 1);
/// What is said where no handle can be made.
const MAKE_HANDLE: &str =
    "nvjpegCreateEx, which needs a GPU and a driver at least as new as this library,";
/// Architecture of H100 and H200, which have seven JPEG engines.
const HOPPER: (i32, i32) = (9, 0);
/// Why engines that are there may not be seen: nvJPEG reaches them through the driver's library for video.
const CONTAINERS: &str = "hybrid decoders take their images. Where the GPU has engines (A100, H100), a container needs \
     NVIDIA_DRIVER_CAPABILITIES=compute,utility,video (libnvcuvid.so.1)";
/// Device memory that a decoder takes with its first image, or more in steps of it, so that most later ones fit.
const DEVICE_PADDING_BYTES: usize = 16 << 20;

/// The parts of nvJPEG that there are handles for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// JPEG engines.
    Hardware,
    /// Decoders that are made one by one.
    Default,
}

/// A handle; it may be used from several threads at once. It is never destroyed: nvJPEG is known to crash where it is
/// torn down as the process ends, and there are two of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle {
    raw: sys::nvjpegHandle_t,
    interpolates: bool,
}

// SAFETY: nvJPEG's manual allows a handle in any thread; what is made of it is not shared.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    /// The same for pinned memory, of each decoder.
    const PINNED_BYTES: usize = 8 << 20;

    /// Pinned memory that a hybrid decoder comes to take, where no image has more than `max_pixels` pixels. It is not
    /// documented what it stages there; counted are the coefficients of 4:2:0, two bytes for each of 1.5 per pixel.
    pub(crate) fn pinned_bytes(max_pixels: u64) -> u64 {
        (3 * max_pixels).max(1).next_multiple_of(Self::PINNED_BYTES as u64)
    }

    /// Makes one on the device of `gpu`. Where the library does not know the interpolating upsampling it is left out,
    /// with a warning, since subsampled colour then differs from that of the CPU renderer.
    pub(crate) fn new(library: &Nvjpeg, gpu: &Gpu, backend: Backend) -> Result<Self, CudaError> {
        gpu.bind()?;
        Self::on_current_device(library, backend)
    }

    /// The same on the device that the calling thread has, the first one if it has none.
    pub(super) fn on_current_device(library: &Nvjpeg, backend: Backend) -> Result<Self, CudaError> {
        let kind = match backend {
            Backend::Hardware => sys::nvjpegBackend_t_NVJPEG_BACKEND_HARDWARE,
            Backend::Default => sys::nvjpegBackend_t_NVJPEG_BACKEND_DEFAULT,
        };
        let create = |flags| {
            let mut raw = ptr::null_mut();
            // SAFETY: no allocators are given, which means its own; the handle is written to a valid place.
            let status = unsafe {
                sys::nvjpegCreateEx(kind, ptr::null_mut(), ptr::null_mut(), flags, &raw mut raw)
            };
            (status, raw)
        };
        let wanted = flags(library.version());
        let (mut status, mut raw) = create(wanted);
        let interpolates = wanted == UPSAMPLING_WITH_INTERPOLATION
            && status == sys::nvjpegStatus_t_NVJPEG_STATUS_SUCCESS;
        let unknown = [
            sys::nvjpegStatus_t_NVJPEG_STATUS_INVALID_PARAMETER,
            sys::nvjpegStatus_t_NVJPEG_STATUS_IMPLEMENTATION_NOT_SUPPORTED,
        ];
        if wanted != sys::NVJPEG_FLAGS_DEFAULT && unknown.contains(&status) {
            (status, raw) = create(sys::NVJPEG_FLAGS_DEFAULT);
        }
        check(MAKE_HANDLE, status)?;
        if !interpolates {
            tracing::warn!(
                ?backend,
                "this nvJPEG does not interpolate subsampled colour; views differ slightly from those of the CPU"
            );
        }
        let handle = Self { raw, interpolates };
        if backend == Backend::Hardware {
            // Their memory is allocated beforehand, for whole batches; padding might count for each image of one.
            return Ok(handle);
        }
        // SAFETY: the handle was just made.
        check("nvjpegSetDeviceMemoryPadding", unsafe {
            sys::nvjpegSetDeviceMemoryPadding(DEVICE_PADDING_BYTES, raw)
        })?;
        // SAFETY: as above.
        check("nvjpegSetPinnedMemoryPadding", unsafe {
            sys::nvjpegSetPinnedMemoryPadding(Self::PINNED_BYTES, raw)
        })?;
        Ok(handle)
    }

    /// Destroys a handle of which nothing was made.
    pub(super) fn destroy(self) -> Result<(), CudaError> {
        // SAFETY: the handle is not used after this: the caller made nothing of it, and there is no other copy.
        check("nvjpegDestroy", unsafe { sys::nvjpegDestroy(self.raw) })
    }

    pub(crate) fn raw(&self) -> sys::nvjpegHandle_t {
        self.raw
    }

    /// Whether subsampled colour is interpolated as on the CPU.
    pub(crate) fn interpolates(&self) -> bool {
        self.interpolates
    }

    /// JPEG engines of the device and decoder cores in each; none where the device has none.
    pub(crate) fn engines(&self) -> Result<(u32, u32), CudaError> {
        let (mut engines, mut cores) = (0, 0);
        // SAFETY: two integers are written to valid places.
        check("nvjpegGetHardwareDecoderInfo", unsafe {
            sys::nvjpegGetHardwareDecoderInfo(self.raw, &raw mut engines, &raw mut cores)
        })?;
        Ok((engines, cores))
    }
}

/// What a handle is made with.
fn flags(version: Version) -> u32 {
    if (version.major, version.minor) >= INTERPOLATES_FROM {
        UPSAMPLING_WITH_INTERPOLATION
    } else {
        sys::NVJPEG_FLAGS_DEFAULT
    }
}

/// The JPEG engines of a device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JpegEngines {
    pub(crate) handle: Handle,
    /// How many there are.
    pub(crate) count: u32,
    /// Decoder cores in each.
    pub(crate) cores: u32,
}

/// The JPEG engines, where there are any to use.
///
/// # Errors
/// What [`unless_refused`] leaves of them.
pub(crate) fn engines(library: &Nvjpeg, gpu: &Gpu) -> Result<Option<JpegEngines>, CudaError> {
    let Some(handle) = unless_refused(Handle::new(library, gpu, Backend::Hardware))? else {
        return Ok(None);
    };
    let Some((count, cores)) = unless_refused(handle.engines())? else { return Ok(None) };
    if count * cores > 0 {
        return Ok(Some(JpegEngines { handle, count, cores }));
    }
    // A handle for no engines would decode in batches all the same, in software.
    if gpu.compute_capability()? == HOPPER {
        tracing::warn!("nvJPEG counts no JPEG engines on a GPU that has some; {CONTAINERS}");
    }
    Ok(None)
}

/// What was made for the JPEG engines, or nothing and a warning where nvJPEG refuses: the hybrid decoders do without
/// them. A lack of memory stays an error, and so does what the driver says: the rest would fail of it, too.
pub(crate) fn unless_refused<T>(made: Result<T, CudaError>) -> Result<Option<T>, CudaError> {
    const NO_MEMORY: u32 = sys::nvjpegStatus_t_NVJPEG_STATUS_ALLOCATOR_FAILURE;
    match made {
        Ok(made) => Ok(Some(made)),
        Err(error @ CudaError::Nvjpeg { status, .. }) if status != NO_MEMORY => {
            tracing::warn!("the JPEG engines are not used: {error}; {CONTAINERS}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nvjpeg::status;

    #[test]
    fn a_decoder_grows_with_the_largest_image_in_steps() {
        let of = |megabytes: u64| Handle::pinned_bytes(megabytes * 1_000_000) >> 20;
        assert_eq!([0, 1, 2, 3, 12, 100].map(of), [8, 8, 8, 16, 40, 288]);
    }

    #[test]
    fn colour_is_interpolated_by_versions_that_are_known_to_do_it() {
        let of = |major, minor| flags(Version { major, minor, patch: 0 });
        for (major, minor) in [(11, 9), (12, 0)] {
            assert_eq!(of(major, minor), sys::NVJPEG_FLAGS_DEFAULT, "{major}.{minor}");
        }
        for (major, minor) in [(12, 1), (12, 4), (13, 0)] {
            assert_eq!(of(major, minor), UPSAMPLING_WITH_INTERPOLATION, "{major}.{minor}");
        }
    }

    #[test]
    fn engines_that_are_refused_are_done_without_but_not_a_lack_of_memory() {
        let failed = |status| status::check("nvjpegCreateEx", status).map(|()| 7);
        assert_eq!(unless_refused(failed(0)), Ok(Some(7)));
        // No engines, no library of the video decoders, an old driver, and what nobody expects.
        for status in [1, 2, 6, 7, 8, 9] {
            assert_eq!(unless_refused(failed(status)), Ok(None), "{status}");
        }
        let error = unless_refused(failed(5)).expect_err("there is no memory");
        assert!(error.to_string().contains("ALLOCATOR_FAILURE"), "{error}");
        let lost = CudaError::Driver {
            what: "cuStreamCreate",
            code: 719,
            name: "CUDA_ERROR_LAUNCH_FAILED".into(),
        };
        assert_eq!(unless_refused::<u32>(Err(lost.clone())), Err(lost));
    }
}
