//! The real library behind the trampolines of `nvjpeg/loader.c`.

use std::ffi::{CStr, CString, c_char, c_int};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nvjpeg_sys as sys;

use super::handle::{Backend, Handle};
use super::status::check;
use crate::CudaError;

/// Enough for what the loader keeps of names and reasons.
const REPORT_BYTES: usize = 2048;
/// The name that an installation of CUDA 13 has.
const LIBRARY: &str = "libnvjpeg.so.13";

unsafe extern "C" {
    /// 1 if the library is there.
    safe fn smog_nvjpeg_load() -> c_int;
    fn smog_nvjpeg_offer(path: *const c_char) -> c_int;
    fn smog_nvjpeg_report(
        tried: *mut c_char,
        tried_room: usize,
        problem: *mut c_char,
        problem_room: usize,
    );
}

/// Version of nvJPEG.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Also CUDA's.
    pub major: i32,
    /// Minor.
    pub minor: i32,
    /// Patch.
    pub patch: i32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The library was found: it can be called.
#[derive(Clone, Copy, Debug)]
pub struct Nvjpeg {
    version: Version,
}

impl Nvjpeg {
    /// Opens nvJPEG unless it is open already. The file that the environment variable `SMOG_NVJPEG` names is the only
    /// one that is tried where it is set; else the names of CUDA's installation, newest first, then `also`: files, or
    /// folders with a `libnvjpeg*.so*`, as Python's torchvision brings one in `torchvision.libs`.
    ///
    /// # Errors
    /// If none can be opened, with the names that were tried and what the loader said.
    pub fn load(also: &[PathBuf]) -> Result<Self, CudaError> {
        for path in also.iter().flat_map(|path| candidates(path)) {
            if let Ok(path) = CString::new(path.as_os_str().as_bytes()) {
                // SAFETY: the text ends with a 0, and the loader copies it.
                unsafe { smog_nvjpeg_offer(path.as_ptr()) };
            }
        }
        if smog_nvjpeg_load() == 0 {
            let (tried, problem) = report();
            return Err(CudaError::LibraryMissing { library: LIBRARY.into(), tried, problem });
        }
        let part = |kind| {
            let mut value = 0;
            // SAFETY: the function writes one integer, to which it gets a valid pointer.
            let status = unsafe { sys::nvjpegGetProperty(kind, &raw mut value) };
            check("nvjpegGetProperty", status).map(|()| value)
        };
        let version = Version {
            major: part(sys::libraryPropertyType_t_MAJOR_VERSION)?,
            minor: part(sys::libraryPropertyType_t_MINOR_VERSION)?,
            patch: part(sys::libraryPropertyType_t_PATCH_LEVEL)?,
        };
        Ok(Self { version })
    }

    /// Whether it works with the driver and the first GPU of this machine.
    ///
    /// # Errors
    /// What nvJPEG says; without a driver, that it could not execute.
    pub fn check_device(&self) -> Result<(), CudaError> {
        Handle::on_current_device(self, Backend::Default)?.destroy()
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }
}

/// The file itself, or the libraries in a folder, in the order of their names.
fn candidates(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = path.read_dir() else { return vec![path.to_owned()] };
    let is_library = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        name.is_some_and(|name| name.starts_with("libnvjpeg") && name.contains(".so"))
    };
    let mut found: Vec<_> =
        entries.flatten().map(|entry| entry.path()).filter(is_library).collect();
    found.sort();
    found
}

/// What was tried, and what the loader said.
fn report() -> (String, String) {
    let (mut tried, mut problem) = ([0u8; REPORT_BYTES], [0u8; REPORT_BYTES]);
    // SAFETY: the loader writes at most the room that it is told, with a 0 at the end.
    unsafe {
        smog_nvjpeg_report(
            tried.as_mut_ptr().cast(),
            tried.len(),
            problem.as_mut_ptr().cast(),
            problem.len(),
        );
    }
    let text = |bytes: &[u8]| {
        CStr::from_bytes_until_nul(bytes)
            .map(|text| text.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    (text(&tried), text(&problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_offers_its_libraries_and_a_file_itself() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["libnvjpeg.36e11081.so.13", "libnvjpeg.so.12", "libpng.so", "libnvjpeg.a"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let found: Vec<_> = candidates(dir.path())
            .into_iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(found, ["libnvjpeg.36e11081.so.13", "libnvjpeg.so.12"]);
        assert_eq!(candidates(Path::new("/nowhere/x.so")), [PathBuf::from("/nowhere/x.so")]);
    }
}
