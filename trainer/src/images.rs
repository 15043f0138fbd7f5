//! From `u8` views in a slot to normalised tensors on the device.

use anyhow::{Context, Result};
use smog_pipeline::batch::HostBatch;
use tch::{Device, Kind, Tensor};

/// Mean of ImageNet's training images per channel, as a share of 255.
pub const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Their standard deviation.
pub const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// What a channel's byte is multiplied with.
pub(crate) fn scale() -> [f32; 3] {
    STD.map(|std| 1.0 / (255.0 * std))
}

/// What is added to it then.
pub(crate) fn shift() -> [f32; 3] {
    std::array::from_fn(|channel| -MEAN[channel] / STD[channel])
}

/// Turns views into f32 NCHW tensors: `(x / 255 - mean) / std` with ImageNet's figures, on the device.
pub struct Normalizer {
    device: Device,
    scale: Tensor,
    shift: Tensor,
}

impl Normalizer {
    /// A normaliser for tensors on `device`.
    ///
    /// # Errors
    /// If nothing can be put on the device.
    pub fn new(device: Device) -> Result<Self> {
        let channels = |values: &[f32]| -> Result<Tensor> {
            Tensor::f_from_slice(values)
                .and_then(|tensor| tensor.f_view([1, 3, 1, 1]))
                .and_then(|tensor| tensor.f_to_device(device))
                .with_context(|| format!("cannot use device {device:?}"))
        };
        Ok(Self { device, scale: channels(&scale())?, shift: channels(&shift())? })
    }

    /// Where tensors are made.
    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// View `view` of a batch as f32 `[B, 3, H, W]`. The bytes are copied: the batch may be dropped
    /// afterwards.
    ///
    /// # Panics
    /// Where libtorch refuses an operation.
    pub fn view(&self, batch: &HostBatch, view: usize) -> Tensor {
        self.normalize(batch.view(view), batch.len(), batch.view_size(view))
    }

    /// `rows` square images of RGB8 pixels, `rows * side * side * 3` bytes, as f32 `[rows, 3, side, side]`.
    pub fn normalize(&self, pixels: &[u8], rows: usize, side: u32) -> Tensor {
        let side = i64::from(side);
        let bytes = Tensor::from_slice(pixels).to_device(self.device);
        self.planes(&bytes.view([rows as i64, side, side, 3]))
    }

    /// The same of bytes `[rows, side, side, 3]` that are on the device. Memory keeps its order, with the channels of a
    /// pixel side by side, as convolutions want it.
    pub(crate) fn planes(&self, bytes: &Tensor) -> Tensor {
        bytes.permute([0, 3, 1, 2]).to_kind(Kind::Float).g_mul_(&self.scale).g_add_(&self.shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_become_planes_with_imagenets_mean_and_deviation() {
        let normalizer = Normalizer::new(Device::Cpu).unwrap();
        let mut pixels = vec![0u8; 2 * 4 * 4 * 3];
        pixels[3 * 5..3 * 5 + 3].copy_from_slice(&[255, 128, 7]);
        let tensor = normalizer.normalize(&pixels, 2, 4);
        assert_eq!(tensor.size(), [2, 3, 4, 4]);
        assert!(tensor.permute([0, 2, 3, 1]).is_contiguous(), "in the order of the bytes");
        for (channel, byte) in [255.0, 128.0, 7.0].into_iter().enumerate() {
            let expected = (byte / 255.0 - f64::from(MEAN[channel])) / f64::from(STD[channel]);
            let found = tensor.double_value(&[0, channel as i64, 1, 1]);
            assert!((found - expected).abs() < 1e-5, "channel {channel}: {found} for {expected}");
            let black = -f64::from(MEAN[channel]) / f64::from(STD[channel]);
            assert!((tensor.double_value(&[1, channel as i64, 1, 1]) - black).abs() < 1e-5);
        }
    }
}
