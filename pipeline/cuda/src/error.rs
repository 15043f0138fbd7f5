//! What can go wrong between us and CUDA. Every text names what was asked for and how to go on.

use smog_pipeline::runtime::{FailureCause, StageExit};

/// A failure of the driver, a library, the kernels or their options.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// There is no CUDA driver on this machine.
    #[error("no CUDA driver: {problem}; install NVIDIA's driver, or go on with renderer = \"cpu\"")]
    DriverMissing {
        /// What was tried and what the loader said.
        problem: String,
    },
    /// A library cannot be opened or lacks a function.
    #[error("{library} not found (tried {tried}): {problem}; go on with renderer = \"cpu\"")]
    LibraryMissing {
        /// The library that was wanted, for example `libnvjpeg.so.13`.
        library: String,
        /// The names that were tried, in order.
        tried: String,
        /// What the loader said of the last one.
        problem: String,
    },
    /// A call of the driver failed.
    #[error("CUDA driver: {what} failed with {name} ({code})")]
    Driver {
        /// What was being done.
        what: &'static str,
        /// The `CUresult`.
        code: u32,
        /// Its name, for example `CUDA_ERROR_OUT_OF_MEMORY`.
        name: String,
    },
    /// A call of nvJPEG failed.
    #[error("nvJPEG: {what} failed with {name} ({status})")]
    Nvjpeg {
        /// What was being done.
        what: &'static str,
        /// The `nvjpegStatus_t`.
        status: u32,
        /// Its name, for example `NVJPEG_STATUS_BAD_JPEG`.
        name: &'static str,
    },
    /// The kernels cannot be compiled.
    #[error("the kernels do not compile: {log}")]
    Compile {
        /// The compiler's log.
        log: String,
    },
    /// A file of the kernel cache, or a compiled one given by the user, cannot be read or written.
    #[error("cannot {what} {path}: {problem}")]
    File {
        /// `read`, `write`.
        what: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        problem: String,
    },
    /// An option is out of range, or does not fit the others.
    #[error("{key} = {value}, expected {expected}")]
    Options {
        /// Name of the option.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        expected: String,
    },
}

impl CudaError {
    /// As the reason why a stage of the stream ends.
    pub(crate) fn into_exit(self) -> StageExit {
        StageExit::Failed(FailureCause::Other(self.to_string()))
    }

    /// Whether the machine lacks something, so that `renderer = "auto"` goes on with the CPU. Everything else is a
    /// failure that must not pass for a machine without a GPU.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::DriverMissing { .. } | Self::LibraryMissing { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_lets_auto_go_on_with_the_cpu() {
        let missing = CudaError::LibraryMissing {
            library: "libnvjpeg.so.13".into(),
            tried: "libnvjpeg.so.13, libnvjpeg.so".into(),
            problem: "no such file".into(),
        };
        assert!(missing.is_missing());
        assert_eq!(
            missing.to_string(),
            "libnvjpeg.so.13 not found (tried libnvjpeg.so.13, libnvjpeg.so): no such file; go on with renderer = \
             \"cpu\""
        );
        let broken = CudaError::Driver {
            what: "cuMemAlloc",
            code: 2,
            name: "CUDA_ERROR_OUT_OF_MEMORY".into(),
        };
        assert!(!broken.is_missing());
    }
}
