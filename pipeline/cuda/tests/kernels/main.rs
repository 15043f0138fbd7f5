//! The kernels without a GPU: their source compiled as C++, against the CPU renderer and against PIL and torchvision.

mod golden;
mod plans;
mod support;
