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
/// How it is compiled, whatever for. Multiplications and additions are rounded one by one, as on the CPU.
const ARGUMENTS: [&str; 2] = ["--std=c++17", "--fmad=false"];
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

/// Code for a device of the architecture `major * 10 + minor`: machine code out of the cache or of NVRTC where that knows
/// the device, else PTX for the newest architecture before it, which the driver translates. Machine code that is in the
/// cache needs no NVRTC.
///
/// # Errors
/// If NVRTC is needed and is not there, or does not compile the source, which a device older than any that it knows
/// would be the reason for. A cache that cannot be written is a warning.
pub fn compile(architecture: u32, options: &KernelOptions) -> Result<Code, CudaError> {
    let machine = format!("sm_{architecture}");
    let path = options.cache.as_deref().map(|folder| cache::path(folder, &key(&machine)));
    if let Some(bytes) = path.as_deref().and_then(cache::read) {
        return Ok(Code { bytes, target: machine, log: String::new(), cached: true });
    }
    let nvrtc = Nvrtc::open(options.nvrtc.as_deref())?;
    let (target, machine_code) = target(architecture, &nvrtc.architectures()?)?;
    let mut arguments = vec![format!("--gpu-architecture={target}")];
    arguments.extend(ARGUMENTS.map(String::from));
    if machine_code {
        // PTX is made without ptxas.
        arguments.push("--ptxas-options=-v".into());
    }
    let output = nvrtc.compile(SOURCE, &HEADERS, &arguments, machine_code)?;
    tracing::debug!(target, log = output.log, "kernels compiled");
    // PTX is not kept: the next NVRTC may know the device.
    if let Some(path) = path.filter(|_| machine_code)
        && let Err(error) = cache::write(&path, &output.code)
    {
        tracing::warn!(%error, "compiled kernels are not kept");
    }
    Ok(Code { bytes: output.code, target, log: output.log, cached: false })
}

/// Everything that machine code follows from but NVRTC's version, which only NVRTC can say: that of another does the same.
/// Where a driver refuses what another machine's NVRTC left there, it is compiled anew.
fn key(target: &str) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    add(SOURCE);
    HEADERS.iter().for_each(|(_, text)| add(text));
    ARGUMENTS.iter().for_each(|argument| add(argument));
    add(target);
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
    fn machine_code_that_is_kept_needs_no_compiler() {
        let folder = tempfile::tempdir().unwrap();
        let options = KernelOptions {
            nvrtc: Some("/nowhere/libnvrtc.so.13".into()),
            cache: Some(folder.path().into()),
        };
        assert!(compile(90, &options).unwrap_err().is_missing());
        cache::write(&cache::path(folder.path(), &key("sm_90")), b"code").unwrap();
        let code = compile(90, &options).unwrap();
        assert_eq!((&code.bytes[..], &code.target[..], code.cached), (&b"code"[..], "sm_90", true));
        // That of one architecture is nothing for another.
        assert!(compile(80, &options).unwrap_err().is_missing());
        assert!(compile(90, &KernelOptions { cache: None, ..options }).is_err());
    }
}
