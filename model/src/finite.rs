//! Whether a state consists of finite numbers, before it is kept.

use tch::Tensor;

use crate::device::Readback;
use crate::torch;

/// The name of the first tensor that holds something else than finite numbers. Waits for the device, once for all.
///
/// # Panics
/// Where libtorch refuses an operation (see [`guard`](crate::guard())).
pub fn first_not_finite<'a>(
    state: impl IntoIterator<Item = &'a (String, Tensor)>,
) -> Option<&'a str> {
    let floats: Vec<&(String, Tensor)> = state
        .into_iter()
        .filter(|(_, tensor)| tensor.is_floating_point() && tensor.numel() > 0)
        .collect();
    if floats.is_empty() {
        return None;
    }
    let tensors: Vec<&Tensor> = floats.iter().map(|(_, tensor)| tensor).collect();
    let largest = Readback::begin(&torch::largest(&tensors)).read();
    let broken = floats.iter().zip(largest).find(|(_, value)| !value.is_finite());
    broken.map(|((name, _), _)| name.as_str())
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn the_first_tensor_with_an_infinity_or_no_number_is_named() {
        let state = |values: &[f32]| {
            vec![
                ("none".to_owned(), Tensor::zeros([0, 3], (Kind::Float, Device::Cpu))),
                ("count".to_owned(), Tensor::from_slice(&[i64::MAX])),
                ("large".to_owned(), Tensor::from_slice(&[f32::MAX, -f32::MAX]).view([2, 1])),
                ("values".to_owned(), Tensor::from_slice(values)),
                ("later".to_owned(), Tensor::from_slice(&[f32::NAN])),
            ]
        };
        for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            for values in [[bad, 1.0, 2.0], [1.0, 2.0, bad]] {
                assert_eq!(first_not_finite(&state(&values)), Some("values"), "{values:?}");
            }
        }
        let mut state = state(&[1.0, 2.0]);
        assert_eq!(first_not_finite(&state), Some("later"));
        state.pop();
        assert_eq!(first_not_finite(&state), None);
        assert_eq!(first_not_finite(&[]), None);
    }
}
