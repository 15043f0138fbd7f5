//! NVRTC, CUDA's run-time compiler: opened when it is asked for, with the few functions that are needed.
//!
//! cudarc has it too, but ends the program where the library is missing, and cannot be told where it lies. What NVRTC
//! itself opens, its built-ins, lies beside it and is opened first: its own search knows only the system's folders.

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::{Path, PathBuf};
use std::ptr;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

use crate::CudaError;

/// Names by which NVRTC is looked for, newest first.
const NAMES: [&str; 3] = ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"];
/// What the name of the built-ins begins with; a version follows.
const BUILTINS: &str = "libnvrtc-builtins.so.";

type Program = *mut std::ffi::c_void;

/// The opened library.
pub(crate) struct Nvrtc {
    opened: Library,
    /// Major and minor version.
    pub(crate) version: (i32, i32),
}

/// What was compiled.
pub(crate) struct Output {
    pub(crate) code: Vec<u8>,
    pub(crate) log: String,
}

impl Nvrtc {
    /// Opens `place`, the library or its folder; else looks where the system looks.
    pub(crate) fn open(place: Option<&Path>) -> Result<Self, CudaError> {
        let candidates: Vec<PathBuf> = match place {
            Some(folder) if folder.is_dir() => NAMES.map(|name| folder.join(name)).into(),
            Some(file) => vec![file.to_owned()],
            None => NAMES.map(PathBuf::from).into(),
        };
        let mut problem = String::new();
        for candidate in &candidates {
            if let Some(folder) = candidate.parent().filter(|folder| folder.is_dir()) {
                open_builtins(folder);
            }
            // SAFETY: opening NVRTC runs its initialisers, which touch nothing of ours.
            match unsafe { Library::open(Some(candidate), RTLD_NOW) } {
                Ok(library) => return Self::with(library),
                Err(error) => problem = error.to_string(),
            }
        }
        let tried: Vec<_> = candidates.iter().map(|path| path.display().to_string()).collect();
        Err(missing(tried.join(", "), problem))
    }

    fn with(library: Library) -> Result<Self, CudaError> {
        type Version = unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int;
        let mut nvrtc = Self { opened: library, version: (0, 0) };
        let (mut major, mut minor) = (0, 0);
        let version = nvrtc.function::<Version>(c"nvrtcVersion")?;
        // SAFETY: two numbers are written.
        nvrtc.check("nvrtcVersion", unsafe { version(&mut major, &mut minor) })?;
        nvrtc.version = (major, minor);
        Ok(nvrtc)
    }

    /// A function by name. `F` is its type as nvrtc.h has it.
    fn function<F: Copy>(&self, name: &CStr) -> Result<F, CudaError> {
        // SAFETY: the callers give the types of nvrtc.h, and call while `self.opened` is open.
        let symbol = unsafe { self.opened.get::<F>(name.to_bytes_with_nul()) };
        symbol.map(|symbol| *symbol).map_err(|error| {
            let name = name.to_string_lossy().into_owned();
            missing(format!("function {name}"), error.to_string())
        })
    }

    fn check(&self, what: &str, code: c_int) -> Result<(), CudaError> {
        if code == 0 {
            return Ok(());
        }
        type ErrorString = unsafe extern "C" fn(c_int) -> *const c_char;
        let name = self.function::<ErrorString>(c"nvrtcGetErrorString").map_or_else(
            |_| String::from("unknown"),
            // SAFETY: it gives a string that lives as long as the library, for every number.
            |text| unsafe { CStr::from_ptr(text(code)) }.to_string_lossy().into_owned(),
        );
        Err(CudaError::Compile { log: format!("{what} failed with {name} ({code})") })
    }

    /// Architectures that it makes code for, as 80 for sm_80.
    pub(crate) fn architectures(&self) -> Result<Vec<u32>, CudaError> {
        type Fill = unsafe extern "C" fn(*mut c_int) -> c_int;
        let (count, fill) = (
            self.function::<Fill>(c"nvrtcGetNumSupportedArchs")?,
            self.function::<Fill>(c"nvrtcGetSupportedArchs")?,
        );
        let mut num = 0;
        // SAFETY: one number is written.
        self.check("nvrtcGetNumSupportedArchs", unsafe { count(&mut num) })?;
        let mut architectures = vec![0; usize::try_from(num).unwrap_or(0)];
        // SAFETY: as many numbers are written as the call before said.
        self.check("nvrtcGetSupportedArchs", unsafe { fill(architectures.as_mut_ptr()) })?;
        Ok(architectures.into_iter().filter_map(|number| u32::try_from(number).ok()).collect())
    }

    /// Compiles `source`, which may include `headers` (name, text), to machine code or to PTX.
    pub(crate) fn compile(
        &self,
        source: &str,
        headers: &[(&str, &str)],
        options: &[String],
        machine_code: bool,
    ) -> Result<Output, CudaError> {
        type Create = unsafe extern "C" fn(
            *mut Program,
            *const c_char,
            *const c_char,
            c_int,
            *const *const c_char,
            *const *const c_char,
        ) -> c_int;
        type Compile = unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int;
        let create = self.function::<Create>(c"nvrtcCreateProgram")?;
        let compile = self.function::<Compile>(c"nvrtcCompileProgram")?;

        let source = text(source)?;
        let (names, texts): (Vec<_>, Vec<_>) = headers.iter().copied().unzip();
        let names = names.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
        let texts = texts.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
        let options = options.iter().map(|option| text(option)).collect::<Result<Vec<_>, _>>()?;
        let pointers = |texts: &[CString]| texts.iter().map(|t| t.as_ptr()).collect::<Vec<_>>();
        let (name_pointers, text_pointers) = (pointers(&names), pointers(&texts));
        let option_pointers = pointers(&options);

        let mut program = ptr::null_mut();
        // SAFETY: all strings end with 0 and live until the end of this function; there are as many names as texts.
        let code = unsafe {
            create(
                &mut program,
                source.as_ptr(),
                c"augment.cu".as_ptr(),
                names.len() as c_int,
                text_pointers.as_ptr(),
                name_pointers.as_ptr(),
            )
        };
        self.check("nvrtcCreateProgram", code)?;
        let program = Destroyed { nvrtc: self, program };
        // SAFETY: the program was made above; options as its strings.
        let code =
            unsafe { compile(program.program, options.len() as c_int, option_pointers.as_ptr()) };
        let log = self.read(&program, [c"nvrtcGetProgramLogSize", c"nvrtcGetProgramLog"])?;
        let log = String::from_utf8_lossy(&log).trim_end_matches('\0').trim().to_owned();
        self.check("nvrtcCompileProgram", code).map_err(|error| match (error, &log) {
            (CudaError::Compile { log: failure }, log) if !log.is_empty() => {
                CudaError::Compile { log: format!("{failure}: {log}") }
            }
            (error, _) => error,
        })?;
        let calls = match machine_code {
            true => [c"nvrtcGetCUBINSize", c"nvrtcGetCUBIN"],
            false => [c"nvrtcGetPTXSize", c"nvrtcGetPTX"],
        };
        Ok(Output { code: self.read(&program, calls)?, log })
    }

    /// Bytes that a program has, by the functions for their number and for themselves.
    fn read(
        &self,
        program: &Destroyed<'_>,
        [size_of, read]: [&CStr; 2],
    ) -> Result<Vec<u8>, CudaError> {
        type Size = unsafe extern "C" fn(Program, *mut usize) -> c_int;
        type Read = unsafe extern "C" fn(Program, *mut c_char) -> c_int;
        let mut size = 0;
        let get = self.function::<Size>(size_of)?;
        // SAFETY: the program lives; one number is written.
        let code = unsafe { get(program.program, &mut size) };
        self.check(&size_of.to_string_lossy(), code)?;
        let mut bytes = vec![0u8; size];
        let get = self.function::<Read>(read)?;
        // SAFETY: as many bytes are written as the call before said.
        let code = unsafe { get(program.program, bytes.as_mut_ptr().cast()) };
        self.check(&read.to_string_lossy(), code)?;
        Ok(bytes)
    }
}

/// A program that is destroyed at the end of its scope.
struct Destroyed<'a> {
    nvrtc: &'a Nvrtc,
    program: Program,
}

impl Drop for Destroyed<'_> {
    fn drop(&mut self) {
        type Destroy = unsafe extern "C" fn(*mut Program) -> c_int;
        if let Ok(destroy) = self.nvrtc.function::<Destroy>(c"nvrtcDestroyProgram") {
            // SAFETY: the program was made by this library and is destroyed once.
            unsafe { destroy(&mut self.program) };
        }
    }
}

/// Opens the built-ins in `folder` for good, so that NVRTC finds them by name. Where that fails NVRTC's own message
/// comes later.
fn open_builtins(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(BUILTINS)) {
        // SAFETY: it holds data and functions for NVRTC, and nothing runs when it is opened.
        match unsafe { Library::open(Some(entry.path()), RTLD_NOW | RTLD_GLOBAL) } {
            Ok(library) => std::mem::forget(library),
            Err(error) => tracing::debug!(%error, path = %entry.path().display(), "not opened"),
        }
    }
}

fn text(text: &str) -> Result<CString, CudaError> {
    CString::new(text).map_err(|error| CudaError::Compile { log: error.to_string() })
}

fn missing(tried: String, problem: String) -> CudaError {
    CudaError::LibraryMissing { library: "NVRTC (libnvrtc.so.13)".into(), tried, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_an_error_that_says_what_was_tried() {
        let error = Nvrtc::open(Some(Path::new("/nowhere/libnvrtc.so.13"))).map(|_| ());
        let error = error.expect_err("there is no such file");
        assert!(error.is_missing());
        assert!(error.to_string().contains("/nowhere/libnvrtc.so.13"), "{error}");
    }

    #[test]
    fn a_library_that_is_something_else_is_named_missing_too() {
        let error = Nvrtc::open(Some(Path::new("libc.so.6"))).map(|_| ());
        let error = error.expect_err("libc has no nvrtcVersion");
        assert!(error.is_missing());
        assert!(error.to_string().contains("nvrtcVersion"), "{error}");
    }
}
