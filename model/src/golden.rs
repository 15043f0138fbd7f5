//! Golden values for tests: the JSON files of `tests/golden` and the numbers that both sides compute from a name.

use std::collections::HashMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use tch::{Kind, Tensor};

use crate::network::{Leaf, Network};

/// Reads `tests/golden/<name>.json`.
pub(crate) fn read<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/golden/{name}.json"));
    let text = std::fs::read_to_string(&path).expect("tests/golden is part of the repository");
    serde_json::from_str(&text).unwrap()
}

pub(crate) fn fnv1a(text: &str) -> u32 {
    text.bytes()
        .fold(0x811C_9DC5, |value, byte| (value ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// `pattern` of `pattern.py`.
pub(crate) fn pattern(name: &str, shape: &[i64]) -> Tensor {
    // Tests run side by side: one thread of libtorch for each is the quickest for all of them.
    tch::set_num_threads(1);
    let seed = fnv1a(name);
    let values: Vec<f32> = (0..shape.iter().product::<i64>() as u32)
        .map(|counter| {
            let mut x = counter.wrapping_mul(0x9E37_79B1).wrapping_add(seed);
            x = (x ^ (x >> 16)).wrapping_mul(0x85EB_CA6B);
            x = (x ^ (x >> 13)).wrapping_mul(0xC2B2_AE35);
            x ^= x >> 16;
            (f64::from(x) / f64::from(1u32 << 31) - 1.0) as f32
        })
        .collect();
    Tensor::from_slice(&values).view(shape)
}

/// `weights` of `pattern.py`.
pub(crate) fn weights(name: &str, shape: &[i64]) -> Tensor {
    let values = pattern(name, shape).to_kind(Kind::Double);
    let values = if name.ends_with("running_var") {
        values * 0.5 + 1.0
    } else if name.ends_with("running_mean") {
        values * 0.1
    } else if shape.len() == 4 {
        values * (6.0 / (shape[0] * shape[2] * shape[3]) as f64).sqrt()
    } else if shape.len() == 2 {
        values / (shape[1] as f64).sqrt()
    } else if name.ends_with("weight") {
        values * 0.2 + 1.0
    } else {
        values * 0.2
    };
    values.to_kind(Kind::Float)
}

/// Turns a network into double precision, so that a comparison is one of the arithmetic and not of its rounding, which
/// batch norms over few values magnify.
pub(crate) fn to_double(network: &dyn Network) {
    network.walk("", &mut |_, leaf| {
        if let Leaf::Parameter { tensor, .. } | Leaf::Buffer(tensor) = leaf
            && tensor.is_floating_point()
        {
            tensor.shallow_clone().set_data(&tensor.detach().to_kind(Kind::Double));
        }
    });
}

/// Every tensor of a network from its name; integers as they are.
pub(crate) fn state(network: &dyn Network, prefix: &str) -> HashMap<String, Tensor> {
    network
        .state(prefix)
        .into_iter()
        .map(|(name, tensor)| {
            let value = match tensor.kind() {
                Kind::Int64 => tensor,
                _ => weights(&name, &tensor.size()),
            };
            (name, value)
        })
        .collect()
}

/// Fills every tensor of a network from its name, one by one: of a large network there is no second copy.
pub(crate) fn fill(network: &dyn Network) {
    network.walk("", &mut |name, leaf| {
        if let Leaf::Parameter { tensor, .. } | Leaf::Buffer(tensor) = leaf
            && tensor.is_floating_point()
        {
            tch::no_grad(|| tensor.shallow_clone().copy_(&weights(&name, &tensor.size())));
        }
    });
}

/// Asserts that the first values of `found`, in row order, are `expected`, within `tolerance` of the larger of 1 and
/// their size.
#[track_caller]
pub(crate) fn assert_close(found: &Tensor, expected: &[f64], tolerance: f64, what: &str) {
    let found =
        Vec::<f64>::try_from(found.detach().to_kind(Kind::Double).contiguous().view(-1)).unwrap();
    assert!(found.len() >= expected.len(), "{what}: {} values", found.len());
    for (number, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs() / expected.abs().max(1.0);
        assert!(error <= tolerance, "{what}[{number}]: {found} is not {expected}");
    }
}
