//! The kernels through NVRTC, which needs neither a GPU nor a driver: machine code for A100 and H100 out of the source
//! that is built in. `scripts/setup nvrtc` fetches it and prints its folder, which `SMOG_TEST_NVRTC` hands over, as
//! `.ci/run` does.
#![expect(clippy::print_stdout, reason = "a skipped test says why; registers are worth seeing")]

use std::path::PathBuf;

use smog_cuda::kernels::{Code, KernelOptions, compile};

const KERNELS: [&str; 6] = [
    "smog_weights",
    "smog_lines",
    "smog_resample",
    "smog_colour",
    "smog_blur_rows",
    "smog_blur_columns",
];

/// The folder of NVRTC, or `None` and a loud word.
fn nvrtc() -> Option<PathBuf> {
    let place = std::env::var_os("SMOG_TEST_NVRTC").map(PathBuf::from);
    if place.is_none() {
        println!("SKIPPED: SMOG_TEST_NVRTC is not set, so the kernels were NOT compiled for a GPU");
        println!("SKIPPED: SMOG_TEST_NVRTC=$(scripts/setup nvrtc) make test; 90 MB to fetch");
    }
    place
}

fn holds(code: &Code, text: &str) -> bool {
    code.bytes.windows(text.len()).any(|bytes| bytes == text.as_bytes())
}

#[test]
fn kernels_compile_for_a100_and_h100_without_spills() {
    let Some(nvrtc) = nvrtc() else { return };
    let options = KernelOptions { nvrtc: Some(nvrtc), cache: None };
    for architecture in [80, 90] {
        let code = compile(architecture, &options).unwrap();
        assert_eq!(code.target, format!("sm_{architecture}"));
        assert!(!code.cached);
        assert_eq!(code.bytes[..4], *b"\x7fELF", "machine code is an ELF file");
        for kernel in KERNELS {
            assert!(holds(&code, kernel), "no {kernel} for sm_{architecture}");
        }
        let lines = || code.log.lines().map(str::trim);
        let used = lines().filter(|line| line.contains("registers"));
        let spills = lines().filter(|line| line.contains("spill stores"));
        assert_eq!((used.clone().count(), spills.clone().count()), (6, 6), "{}", code.log);
        for (line, spills) in used.zip(spills) {
            println!("sm_{architecture}: {line}");
            assert!(spills.contains("0 bytes stack frame, 0 bytes spill stores"), "{spills}");
        }
    }
}

#[test]
fn a_device_newer_than_the_compiler_gets_ptx() {
    let Some(nvrtc) = nvrtc() else { return };
    let options = KernelOptions { nvrtc: Some(nvrtc), cache: None };
    let code = compile(999, &options).unwrap();
    assert!(code.target.starts_with("compute_"), "{}", code.target);
    assert!(holds(&code, ".entry smog_resample"));
    assert_eq!(code.bytes.last(), Some(&0), "the driver wants PTX as a string of C");
    // It is not kept: a newer compiler may know the device.
    let folder = tempfile::tempdir().unwrap();
    let options = KernelOptions { cache: Some(folder.path().into()), ..options };
    compile(999, &options).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn compiled_kernels_come_out_of_the_cache_the_second_time() {
    let Some(nvrtc) = nvrtc() else { return };
    let folder = tempfile::tempdir().unwrap();
    let options = KernelOptions { nvrtc: Some(nvrtc), cache: Some(folder.path().join("kernels")) };
    let first = compile(90, &options).unwrap();
    let second = compile(90, &options).unwrap();
    assert!(!first.cached && second.cached);
    assert!(first.bytes == second.bytes && first.target == second.target);
    // Spoilt files are made anew.
    let file = std::fs::read_dir(folder.path().join("kernels")).unwrap().next().unwrap().unwrap();
    std::fs::write(file.path(), b"not a kernel").unwrap();
    let third = compile(90, &options).unwrap();
    assert!(!third.cached && third.bytes == first.bytes);
}
