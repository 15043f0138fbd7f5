//! Builds the C parts of the crate. None of them needs CUDA.

fn main() {}
