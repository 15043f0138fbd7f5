//! Builds the C and C++ parts of the crate. None of them needs CUDA.

#[path = "kernels/build.rs"]
mod kernels;
#[path = "nvjpeg/build.rs"]
mod nvjpeg;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    kernels::build();
    nvjpeg::build();
}
