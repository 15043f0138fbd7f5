use std::collections::HashMap;

use serde::Deserialize;
use tch::{Device, Kind, no_grad};

use super::tests::names_of;
use super::{DropKey, Encoder};
use crate::config::{Arch, EncoderConfig};
use crate::golden::{self, assert_close, pattern};
use crate::layers::Mode;
use crate::network::{Builder, Network};

#[derive(Deserialize)]
struct Case {
    arch: Arch,
    width: i64,
    patch: i64,
    image_size: i64,
    num_names: usize,
    names_fnv1a: u32,
    views: Vec<View>,
}

#[derive(Deserialize)]
struct View {
    batch: i64,
    side: i64,
    features: Vec<f64>,
    norm: f64,
    gradients: HashMap<String, Gradient>,
}

#[derive(Deserialize)]
struct Gradient {
    first: Vec<f64>,
    norm: f64,
}

fn tiny(arch: Arch) -> EncoderConfig {
    EncoderConfig { arch, width: 8, patch: 4, image_size: 32, ..EncoderConfig::default() }
}

fn build(config: &EncoderConfig) -> Encoder {
    Encoder::new(&mut Builder::online(3, Device::Cpu), config)
}

#[test]
fn features_gradients_and_names_are_those_of_timm_and_torchvision() {
    for case in golden::read::<Vec<Case>>("transformers") {
        let config = EncoderConfig {
            arch: case.arch,
            width: case.width,
            patch: case.patch,
            image_size: case.image_size,
            ..EncoderConfig::default()
        };
        config.validate().unwrap();
        let network = Encoder::new(&mut Builder::momentum(Device::Cpu), &config);
        assert_eq!(names_of(&network), (case.num_names, case.names_fnv1a), "{}", case.arch);
        golden::fill(&network);
        for view in &case.views {
            check(&network, &config, view);
        }
    }
}

fn check(network: &Encoder, config: &EncoderConfig, view: &View) {
    let what = format!("{} width {} at {}", config.arch, config.width, view.side);
    let parameters = network.parameters("");
    for parameter in &parameters {
        let _ = parameter.tensor.shallow_clone().set_requires_grad(true);
        parameter.tensor.shallow_clone().zero_grad();
    }
    let images = pattern("images", &[view.batch, 3, view.side, view.side]);
    let features = network.forward(&images, Mode::Eval);
    assert_eq!(features.size(), [view.batch, config.feature_dim()]);
    assert_close(&features.narrow(1, 0, 16), &view.features, 1e-4, &what);
    assert_close(&features.norm(), &[view.norm], 1e-4, &what);
    assert_eq!(no_grad(|| network.forward(&images, Mode::Train)), features.detach(), "{what}");

    (&features * pattern("direction", &features.size())).sum(Kind::Float).backward();
    for (name, expected) in &view.gradients {
        let parameter = parameters.iter().find(|parameter| parameter.name == *name).unwrap();
        let found = parameter.tensor.grad() / expected.norm;
        let first: Vec<f64> = expected.first.iter().map(|value| value / expected.norm).collect();
        assert_close(&found, &first, 1e-4, &format!("{what} {name}"));
        assert_close(&found.norm(), &[1.0], 1e-4, &format!("{what} {name}"));
    }
}

#[test]
fn initial_weights_have_the_spread_of_timm_and_torchvision() {
    for arch in [Arch::VitSmall, Arch::SwinT] {
        let config = EncoderConfig { width: 32, ..tiny(arch) };
        for (name, tensor) in build(&config).state("") {
            if name.ends_with("relative_position_index") {
                continue;
            }
            let size = tensor.size();
            let spread = || tensor.std(false).double_value(&[]);
            let expected = match size.len() {
                1 if name.contains("patch_embed") || name.contains("features.0.0") => continue,
                1 if name.ends_with("weight") => {
                    assert_eq!(tensor, tensor.ones_like(), "{name}");
                    continue;
                }
                1 => {
                    assert_eq!(tensor, tensor.zeros_like(), "{name}");
                    continue;
                }
                // Uniform within 1 / sqrt(inputs): PyTorch's default for a convolution.
                4 => 1.0 / ((size[1] * size[2] * size[3]) as f64 * 3.0).sqrt(),
                3 if name == "cls_token" => 1e-6,
                _ => 0.02,
            };
            assert!(
                (spread() / expected - 1.0).abs() < 0.15,
                "{name}: {} for {expected}",
                spread()
            );
        }
    }
}

#[test]
fn norms_biases_and_positions_do_not_decay() {
    for arch in [Arch::VitSmall, Arch::SwinT] {
        for parameter in build(&tiny(arch)).parameters("") {
            let name = &parameter.name;
            let spared = parameter.tensor.dim() == 1
                || ["cls_token", "pos_embed", "relative_position_bias_table"]
                    .iter()
                    .any(|end| name.ends_with(end));
            assert_eq!(parameter.decay, !spared, "{name}");
        }
    }
}

#[test]
fn drop_path_changes_training_of_the_keyed_pass_and_nothing_else() {
    for arch in [Arch::VitSmall, Arch::SwinT] {
        let network = |drop_path| build(&EncoderConfig { drop_path, ..tiny(arch) });
        let (without, with) = (network(0.0), network(0.5));
        let images = pattern("images", &[8, 3, 32, 32]);
        let key = DropKey { seed: 1, step: 5, view: 0 };
        let pass = |network: &Encoder, mode| no_grad(|| network.forward(&images, mode));
        let plain = pass(&without, Mode::Train);
        assert_eq!(pass(&without, Mode::Drop(key)), plain, "{arch}: rate 0 is none");
        assert_eq!(pass(&with, Mode::Train), plain, "{arch}");
        assert_eq!(pass(&with, Mode::Eval), plain, "{arch}");
        let dropped = pass(&with, Mode::Drop(key));
        assert_ne!(dropped, plain, "{arch}");
        tch::manual_seed(9);
        assert_eq!(pass(&with, Mode::Drop(key)), dropped, "{arch}");
        assert_ne!(pass(&with, Mode::Drop(DropKey { step: 6, ..key })), dropped, "{arch}");
    }
}
