//! libtorch's CUDA half, opened when the program runs.
//!
//! The program is linked to libtorch's CPU half alone, so it starts on every machine. `libtorch_cuda.so` registers
//! its kernels when it is loaded, and must be loaded before anything asks libtorch about CUDA: what asked earlier is
//! answered by the CPU build's stand-ins for the rest of the process ("without ATen_cuda library"). So [`load`] comes
//! first in `main`, and this module is the only one that asks (`clippy.toml` forbids tch's own questions).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LAZY};
use tch::{Device, Kind, TchError, Tensor};

use crate::error::first_line;

const LIBRARY: &str = "libtorch_cuda.so";
/// The half that is linked; the other one usually lies beside it.
const CPU_LIBRARY: &str = "libtorch_cpu.so";

// SAFETY: this is the definition of device.cpp, which build.rs compiles.
unsafe extern "C" {
    fn smog_torch_versions(compiled: *mut i32, loaded: *mut i32);
}

/// Why there is no CUDA here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// The library could not be opened under any of its names.
    #[error("no libtorch_cuda.so: {}", list(attempts))]
    Library {
        /// Name or path, and what the system's loader said of it.
        attempts: Vec<(String, String)>,
    },
    /// The library is there, and finds no driver or no device.
    #[error("{} was loaded, and libtorch says: {message}", library.display())]
    Device {
        /// The library.
        library: PathBuf,
        /// First line of libtorch's message.
        message: String,
    },
}

/// The libtorch that is loaded is of another release than the one this program was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this program was made for libtorch {}, and the system's loader found {} (LD_LIBRARY_PATH comes before the \
     program's own path); libtorch's C++ interface differs from release to release",
    dotted(*expected), dotted(*found)
)]
pub struct VersionError {
    /// That of the headers.
    pub expected: [i32; 3],
    /// That of the library.
    pub found: [i32; 3],
}

fn list(attempts: &[(String, String)]) -> String {
    let mut text = String::new();
    for (number, (name, problem)) in attempts.iter().enumerate() {
        let separator = if number == 0 { "" } else { "; " };
        // The loader's message mostly begins with the name of what it did not find.
        let _ = match problem.starts_with(name.as_str()) {
            true => write!(text, "{separator}{problem}"),
            false => write!(text, "{separator}{name}: {problem}"),
        };
    }
    text
}

fn dotted([major, minor, patch]: [i32; 3]) -> String {
    format!("{major}.{minor}.{patch}")
}

/// The release of libtorch that is loaded, as `2.11.0`.
///
/// # Errors
/// Where it is not the one that this crate was compiled against.
pub fn torch_version() -> Result<String, VersionError> {
    let (mut expected, mut found) = ([0; 3], [0; 3]);
    // SAFETY: both have room for the three numbers that are written.
    unsafe { smog_torch_versions(expected.as_mut_ptr(), found.as_mut_ptr()) };
    if expected[..2] == found[..2] {
        Ok(dotted(found))
    } else {
        Err(VersionError { expected, found })
    }
}

static LOADED: OnceLock<Result<PathBuf, CudaError>> = OnceLock::new();

/// Opens libtorch's CUDA half, once; later calls give the first one's result. `given` is a file or a folder to take
/// it from; otherwise the system's loader looks for it, and then the folder of the CPU half.
///
/// # Errors
/// [`CudaError::Library`] where it cannot be opened, with the loader's words: they name a library of NVIDIA's where
/// that is what is missing.
pub fn load(given: Option<&Path>) -> &'static Result<PathBuf, CudaError> {
    LOADED.get_or_init(|| {
        let mut attempts = Vec::new();
        for path in candidates(given) {
            match open(&path) {
                Ok(()) => return Ok(mapped(LIBRARY).unwrap_or(path)),
                Err(problem) => attempts.push((path.display().to_string(), problem)),
            }
        }
        Err(CudaError::Library { attempts })
    })
}

fn candidates(given: Option<&Path>) -> Vec<PathBuf> {
    match given {
        Some(folder) if folder.is_dir() => vec![folder.join(LIBRARY)],
        Some(file) => vec![file.to_owned()],
        None => {
            let beside = mapped(CPU_LIBRARY)
                .and_then(|path| Some(path.parent()?.join(LIBRARY)))
                .filter(|path| path.is_file());
            [Some(PathBuf::from(LIBRARY)), beside].into_iter().flatten().collect()
        }
    }
}

fn open(path: &Path) -> Result<(), String> {
    // SAFETY: opening a library runs its initialisers. Those of libtorch_cuda register kernels, which is what they are
    // for; that it belongs to the libtorch that is loaded is up to who installed both. Lazy, since kernels that are
    // never called may need symbols of libraries that are not there; global, since libtorch finds itself by symbol.
    match unsafe { Library::open(Some(path), RTLD_LAZY | RTLD_GLOBAL) } {
        Ok(library) => {
            // Never closed: what it registered stays.
            std::mem::forget(library);
            Ok(())
        }
        Err(error) => Err(innermost(&error)),
    }
}

/// The loader's own words, without the wrapper's.
fn innermost(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}

/// Where a library of this name was loaded from.
fn mapped(name: &str) -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines()
        .filter_map(|line| line.find('/').map(|at| Path::new(&line[at..])))
        .find(|path| path.file_name().is_some_and(|found| found == name))
        .map(Path::to_owned)
}

/// CUDA device `number`, tried by putting a number on it.
///
/// # Errors
/// [`CudaError::Library`] where libtorch's CUDA half is not there, [`CudaError::Device`] where it finds no driver or no
/// such device.
pub fn device(number: usize) -> Result<Device, CudaError> {
    let library = load(None).as_ref().map_err(Clone::clone)?;
    let device = Device::Cuda(number);
    match Tensor::f_zeros([1], (Kind::Float, device)) {
        Ok(_) => Ok(device),
        Err(error) => {
            let text = match &error {
                TchError::Torch(text) => text.clone(),
                other => other.to_string(),
            };
            Err(CudaError::Device {
                library: library.clone(),
                message: first_line(&text).to_owned(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_that_is_loaded_is_the_one_compiled_against() {
        assert_eq!(torch_version().unwrap(), "2.11.0");
        let other = VersionError { expected: [2, 11, 0], found: [2, 12, 1] }.to_string();
        assert!(other.contains("made for libtorch 2.11.0") && other.contains("2.12.1"), "{other}");
    }

    #[test]
    fn the_linked_half_is_found_among_the_loaded_libraries() {
        let path = mapped(CPU_LIBRARY).unwrap();
        assert!(path.is_file(), "{}", path.display());
        assert_eq!(mapped("libno-such-library.so"), None);
    }

    #[test]
    fn what_cannot_be_opened_is_told_in_the_loaders_words() {
        let problem = open(Path::new("libno-such-library.so")).unwrap_err();
        assert!(problem.contains("libno-such-library.so: cannot open shared object"), "{problem}");
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(candidates(Some(folder.path())), [folder.path().join(LIBRARY)]);
        let file = folder.path().join(LIBRARY);
        std::fs::write(&file, "no library").unwrap();
        assert_eq!(candidates(Some(&file)), [file.as_path()]);
        let problem = open(&file).unwrap_err();
        assert!(problem.contains("too short") || problem.contains("invalid ELF"), "{problem}");
    }

    #[test]
    fn every_attempt_is_named_once() {
        let attempts = vec![
            ("a.so".to_owned(), "a.so: cannot open".to_owned()),
            ("/b/a.so".to_owned(), "libcudnn.so.9: cannot open".to_owned()),
        ];
        let text = CudaError::Library { attempts }.to_string();
        assert_eq!(
            text,
            "no libtorch_cuda.so: a.so: cannot open; /b/a.so: libcudnn.so.9: cannot open"
        );
    }
}
