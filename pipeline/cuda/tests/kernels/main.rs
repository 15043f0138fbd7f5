//! The kernels without a GPU: their source compiled as C++, against the CPU renderer and against PIL and torchvision.
#![expect(clippy::print_stdout, reason = "differences that are found are worth seeing")]

mod golden;
mod plans;
mod support;
