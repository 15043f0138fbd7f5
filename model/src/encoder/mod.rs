//! Backbones: pictures in, pooled features out.

mod block;
mod resnet;
#[cfg(test)]
mod tests;

pub(crate) use resnet::ResNet;
