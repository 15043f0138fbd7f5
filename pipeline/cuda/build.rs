//! Builds the C and C++ parts of the crate. None of them needs CUDA.

#[path = "kernels/build.rs"]
mod kernels;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    kernels::build();
}
