//! Compiles `torch/*.cpp` against the same libtorch as torch-sys, which has checked its version.

use std::path::PathBuf;

#[expect(clippy::disallowed_methods, reason = "a build script is told by its environment")]
fn main() {
    println!("cargo:rerun-if-changed=torch");
    for name in ["LIBTORCH", "LIBTORCH_INCLUDE", "LIBTORCH_CXX11_ABI"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    // As torch-sys looks for it.
    let root = ["LIBTORCH_INCLUDE", "LIBTORCH"].into_iter().find_map(std::env::var_os);
    let root = root.map_or_else(|| PathBuf::from("/usr"), PathBuf::from);
    let include = root.join("include");
    let abi = std::env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    cc::Build::new()
        .cpp(true)
        .pic(true)
        .warnings(false)
        .include(include.join("torch/csrc/api/include"))
        .include(include)
        .flag("-std=c++17")
        .flag(format!("-D_GLIBCXX_USE_CXX11_ABI={abi}"))
        .files(["torch/shim.cpp", "torch/device.cpp"])
        .compile("smog_torch");
}
