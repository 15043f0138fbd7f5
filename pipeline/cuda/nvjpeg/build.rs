//! Builds the archive `libnvjpeg.a` that answers to the `-lnvjpeg` of nvjpeg-sys: see `loader.c`. Only where to look for
//! it is told to cargo, since nvjpeg-sys already says that it is to be linked. A part of `build.rs`.

use std::path::PathBuf;

pub(crate) fn build() {
    println!("cargo:rerun-if-changed=nvjpeg/build.rs");
    for name in ["loader.c", "loader.h", "trampolines.c"] {
        println!("cargo:rerun-if-changed=nvjpeg/{name}");
    }
    cc::Build::new()
        .file("nvjpeg/loader.c")
        .file("nvjpeg/trampolines.c")
        .std("c11")
        .warnings_into_errors(true)
        .cargo_metadata(false)
        .compile("nvjpeg");
    let out = std::env::var_os("OUT_DIR").map(PathBuf::from).expect("cargo sets OUT_DIR");
    println!("cargo:rustc-link-search=native={}", out.display());
}
