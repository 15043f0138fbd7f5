//! The CUDA driver: context, streams, events and the two kinds of memory, with errors of this crate.
//!
//! The context is the device's primary one, which libtorch uses, too, so that addresses, streams and events mean the
//! same to both. Nothing here is called per image: memory and events are made once and go round.

mod event;
mod memory;

use std::sync::Arc;

use cudarc::driver::result::DriverError;
use cudarc::driver::{CudaContext, CudaStream, result, sys};

pub use event::Event;
pub use memory::{DeviceMemory, PinnedMemory};

use crate::CudaError;

/// Errors of the driver that mean that there is no GPU to talk to: a library that is only a stub, and no device.
const NOTHING_THERE: [sys::CUresult; 2] =
    [sys::CUresult::CUDA_ERROR_STUB_LIBRARY, sys::CUresult::CUDA_ERROR_NO_DEVICE];

/// What to do about it, where that is known.
fn advice(code: sys::CUresult) -> &'static str {
    if code == sys::CUresult::CUDA_ERROR_STUB_LIBRARY {
        return ": a toolkit's stub (libcuda.so in a folder `stubs`) comes first in LD_LIBRARY_PATH; take that folder off";
    }
    ""
}

/// An opened device.
#[derive(Clone, Debug)]
pub struct Gpu {
    context: Arc<CudaContext>,
}

impl Gpu {
    /// Opens the driver and retains the primary context of device `ordinal`.
    ///
    /// # Errors
    /// [`CudaError::DriverMissing`] where there is no driver or no device at all, [`CudaError::Options`] where there are
    /// fewer devices, and what the driver says of anything else.
    pub fn open(ordinal: u32) -> Result<Self, CudaError> {
        // SAFETY: the function only tries to open the library, and closes it again; the driver's initialisers may run.
        if !unsafe { sys::is_culib_present() } {
            let problem = "libcuda.so.1 cannot be opened".to_owned();
            return Err(CudaError::DriverMissing { problem });
        }
        result::init().map_err(|error| match error {
            DriverError(code) if NOTHING_THERE.contains(&code) => CudaError::DriverMissing {
                problem: format!(
                    "the driver's library is there, and says {}{}",
                    name_of(error),
                    advice(code)
                ),
            },
            error => failed("cuInit")(error),
        })?;
        let count = result::device::get_count().map_err(failed("cuDeviceGetCount"))?;
        if i64::from(ordinal) >= i64::from(count) {
            return Err(CudaError::Options {
                key: "device",
                value: format!("cuda:{ordinal}"),
                expected: format!("below cuda:{count}: so many devices are visible"),
            });
        }
        let context =
            CudaContext::new(ordinal as usize).map_err(failed("cuDevicePrimaryCtxRetain"))?;
        // SAFETY: streams are ordered by our own events alone, and memory is freed only after the context was waited
        // for, so nothing relies on the events that cudarc would record by itself.
        unsafe { context.disable_event_tracking() };
        Ok(Self { context })
    }

    /// Where the device sits on the PCI bus, as `0000:3B:00.0`. CUDA numbers the fastest device first and NVML goes by the
    /// bus, so a number means different devices to them; this does not.
    ///
    /// # Errors
    /// What the driver says.
    pub fn bus(&self) -> Result<String, CudaError> {
        let mut text = [0u8; 32];
        // SAFETY: the driver is open, and writes at most as many bytes as it is told, with a zero at their end.
        unsafe {
            let (start, length) = (text.as_mut_ptr().cast(), text.len() as std::ffi::c_int);
            sys::cuDeviceGetPCIBusId(start, length, self.context.cu_device()).result()
        }
        .map_err(failed("cuDeviceGetPCIBusId"))?;
        let text = std::ffi::CStr::from_bytes_until_nul(&text).unwrap_or_default();
        Ok(text.to_string_lossy().into_owned())
    }

    /// The context, for those who call the driver themselves.
    pub fn context(&self) -> &Arc<CudaContext> {
        &self.context
    }

    /// Its architecture: (9, 0) for H100.
    ///
    /// # Errors
    /// What the driver says.
    pub fn compute_capability(&self) -> Result<(i32, i32), CudaError> {
        self.context.compute_capability().map_err(failed("cuDeviceGetAttribute"))
    }

    /// A stream that does not wait for the default one, of the highest priority that there is: the work of the data
    /// path is short, and the trainer waits for it.
    ///
    /// # Errors
    /// What the driver says.
    pub fn stream(&self) -> Result<Arc<CudaStream>, CudaError> {
        self.bind()?;
        let (_, highest) =
            result::stream::get_priority_range().map_err(failed("cuCtxGetStreamPriorityRange"))?;
        self.context.new_stream_with_priority(highest).map_err(failed("cuStreamCreateWithPriority"))
    }

    /// Makes the context that of the calling thread, as every thread has to that calls the driver or nvJPEG.
    ///
    /// # Errors
    /// What the driver says.
    pub fn bind(&self) -> Result<(), CudaError> {
        self.context.bind_to_thread().map_err(failed("cuCtxSetCurrent"))
    }
}

/// Turns an error of the driver into ours: `map_err(failed("cuMemAlloc"))`.
pub(crate) fn failed(what: &'static str) -> impl FnOnce(DriverError) -> CudaError {
    move |error| CudaError::Driver { what, code: error.0 as u32, name: name_of(error) }
}

fn name_of(error: DriverError) -> String {
    match error.error_name() {
        Ok(name) => name.to_string_lossy().into_owned(),
        Err(_) => "an error without a name".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_driver_is_told_from_a_broken_one() {
        match Gpu::open(0) {
            Ok(_) => println!("SKIPPED: this machine has a GPU, so its absence was NOT tried"),
            Err(error) => {
                assert!(error.is_missing(), "{error}");
                let text = error.to_string();
                assert!(text.starts_with("no CUDA driver: libcuda.so.1"), "{text}");
                assert!(text.ends_with("go on with renderer = \"cpu\""), "{text}");
            }
        }
    }
}
