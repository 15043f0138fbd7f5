//! Builds the oracle, and the kernels themselves where `SMOG_NVCC` names nvcc. A part of `build.rs`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// All files of the kernels.
const FILES: [&str; 5] = ["augment.cu", "colour.h", "filter.h", "params.h", "oracle.cpp"];

pub(crate) fn build() {
    println!("cargo:rerun-if-changed=kernels/build.rs");
    for name in FILES {
        println!("cargo:rerun-if-changed=kernels/{name}");
    }
    cc::Build::new()
        .cpp(true)
        .file("kernels/oracle.cpp")
        .std("c++17")
        .opt_level(2)
        // No fused multiplication and addition: results are those of Rust, and of --fmad=false on the device.
        .flag("-ffp-contract=off")
        // The place of a value holds whole numbers first and the value later.
        .flag("-fno-strict-aliasing")
        .flag("-fno-exceptions")
        .extra_warnings(true)
        .warnings_into_errors(true)
        // It uses nothing of the C++ library.
        .cpp_link_stdlib(None)
        .compile("smog_oracle");

    println!("cargo:rustc-check-cfg=cfg(smog_fatbin)");
    println!("cargo:rerun-if-env-changed=SMOG_NVCC");
    let compiler = std::env::var_os("SMOG_NVCC").filter(|name| !name.is_empty());
    if let Some(compiler) = compiler {
        let out = std::env::var_os("OUT_DIR").map(PathBuf::from).expect("cargo sets OUT_DIR");
        fatbin(Path::new(&compiler), &out.join("augment.fatbin"));
        println!("cargo:rustc-cfg=smog_fatbin");
    }
}

/// Machine code for A100 and H100, and PTX for what comes later.
fn fatbin(compiler: &Path, out: &Path) {
    let status = Command::new(compiler)
        .args(["-fatbin", "-std=c++17", "--fmad=false", "-Werror=all-warnings"])
        .args(["-gencode=arch=compute_80,code=sm_80", "-gencode=arch=compute_90,code=sm_90"])
        .args(["-gencode=arch=compute_80,code=compute_80", "kernels/augment.cu", "-o"])
        .arg(out)
        .status()
        .unwrap_or_else(|error| panic!("SMOG_NVCC = {}: {error}", compiler.display()));
    assert!(status.success(), "SMOG_NVCC = {}: {status}, its message is above", compiler.display());
}
