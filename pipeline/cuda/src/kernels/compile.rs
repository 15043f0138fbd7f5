//! From the source to code for a device: out of the cache, or by NVRTC.

use std::path::PathBuf;

use crate::CudaError;
use crate::kernels::cache;
use crate::kernels::nvrtc::Nvrtc;

/// The source and what it includes.
const SOURCE: &str = include_str!("../../kernels/augment.cu");
const HEADERS: [(&str, &str); 3] = [
    ("params.h", include_str!("../../kernels/params.h")),
    ("filter.h", include_str!("../../kernels/filter.h")),
    ("colour.h", include_str!("../../kernels/colour.h")),
];
/// Code that nvcc made when this crate was built: for sm_80, sm_90, and PTX for newer devices.
#[cfg(smog_fatbin)]
pub(crate) const FATBIN: Option<&[u8]> =
    Some(include_bytes!(concat!(env!("OUT_DIR"), "/augment.fatbin")));
#[cfg(not(smog_fatbin))]
pub(crate) const FATBIN: Option<&[u8]> = None;

/// How the kernels reach the device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelOptions {
    /// NVRTC or its folder; without it, what the system finds by the usual names.
    pub nvrtc: Option<PathBuf>,
    /// Folder for compiled kernels; without it they are compiled at every start.
    pub cache: Option<PathBuf>,
}

/// Code for the driver.
#[derive(Clone, Debug)]
pub struct Code {
    /// Machine code, or PTX with a 0 at its end.
    pub bytes: Vec<u8>,
    /// What it is for, for example `sm_90`, or `compute_90` for PTX.
    pub target: String,
    /// The compiler's log: registers and spilled bytes of each kernel. Empty for code out of the cache.
    pub log: String,
    /// It was not compiled now.
    pub cached: bool,
}

/// Code for a device of the architecture `major * 10 + minor`: machine code where NVRTC knows the device, else PTX for
/// the newest architecture before it, which the driver translates.
///
/// # Errors
/// If NVRTC is not there, or does not compile the source, which a device older than any that it knows would be the
/// reason for. A cache that cannot be written is a warning.
pub fn compile(architecture: u32, options: &KernelOptions) -> Result<Code, CudaError> {
    let nvrtc = Nvrtc::open(options.nvrtc.as_deref())?;
    let (target, machine_code) = target(architecture, &nvrtc.architectures()?)?;
    let arguments = [
        format!("--gpu-architecture={target}"),
        "--std=c++17".into(),
        // Multiplications and additions are rounded one by one, as on the CPU.
        "--fmad=false".into(),
        "--ptxas-options=-v".into(),
    ];
    let path =
        options.cache.as_deref().map(|folder| cache::path(folder, &key(&arguments, nvrtc.version)));
    if let Some(bytes) = path.as_deref().and_then(cache::read) {
        return Ok(Code { bytes, target, log: String::new(), cached: true });
    }
    // PTX is made without ptxas.
    let arguments = if machine_code { &arguments[..] } else { &arguments[..3] };
    let output = nvrtc.compile(SOURCE, &HEADERS, arguments, machine_code)?;
    tracing::debug!(target, log = output.log, "kernels compiled");
    if let Some(Err(error)) = path.map(|path| cache::write(&path, &output.code)) {
        tracing::warn!(%error, "compiled kernels are not kept");
    }
    Ok(Code { bytes: output.code, target, log: output.log, cached: false })
}

/// Everything that the code follows from.
fn key(arguments: &[String], version: (i32, i32)) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    add(SOURCE);
    HEADERS.iter().for_each(|(_, text)| add(text));
    arguments.iter().for_each(|argument| add(argument));
    add(&format!("NVRTC {}.{}", version.0, version.1));
    hasher.finalize()
}

/// What to compile for, and whether it is machine code.
fn target(architecture: u32, known: &[u32]) -> Result<(String, bool), CudaError> {
    if known.contains(&architecture) {
        return Ok((format!("sm_{architecture}"), true));
    }
    let before = known.iter().filter(|&&other| other < architecture).max();
    before.map(|before| (format!("compute_{before}"), false)).ok_or_else(|| CudaError::Compile {
        log: format!(
            "NVRTC knows {known:?} and nothing for a device of architecture {architecture}"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_known_gets_machine_code_and_a_newer_one_ptx() {
        let known = [75, 80, 86, 90, 100];
        assert_eq!(target(90, &known), Ok(("sm_90".into(), true)));
        assert_eq!(target(89, &known), Ok(("compute_86".into(), false)));
        assert_eq!(target(130, &known), Ok(("compute_100".into(), false)));
        assert!(target(60, &known).is_err());
    }

    #[test]
    fn the_key_of_the_cache_changes_with_architecture_and_compiler() {
        let arguments = |target: &str| [format!("--gpu-architecture={target}")];
        let key_80 = key(&arguments("sm_80"), (13, 0));
        assert_ne!(key_80, key(&arguments("sm_90"), (13, 0)));
        assert_ne!(key_80, key(&arguments("sm_80"), (13, 1)));
        assert_eq!(key_80, key(&arguments("sm_80"), (13, 0)));
    }
}
