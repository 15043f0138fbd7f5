use std::collections::HashMap;

use serde::Deserialize;
use tch::{Device, Kind, Tensor, no_grad};

use super::Encoder;
use crate::config::{Arch, EncoderConfig, Stem};
use crate::golden::{self, assert_close, pattern};
use crate::layers::Mode;
use crate::network::{Builder, Network};

#[derive(Deserialize)]
struct Case {
    arch: Arch,
    stem: Stem,
    side: i64,
    num_names: usize,
    names_fnv1a: u32,
    eval: Vec<f64>,
    eval_norm: f64,
    train: Vec<f64>,
    train_norm: f64,
    last_norm: String,
    running_mean: Vec<f64>,
    running_var: Vec<f64>,
    conv1_gradient: Vec<f64>,
    conv1_gradient_norm: f64,
}

#[derive(Deserialize)]
struct Wide {
    arch: Arch,
    width: i64,
    side: i64,
    num_names: usize,
    names_fnv1a: u32,
    eval: Vec<f64>,
    eval_norm: f64,
}

fn config(arch: Arch, stem: Stem, width: i64) -> EncoderConfig {
    EncoderConfig { arch, stem, width, ..EncoderConfig::default() }
}

fn build(arch: Arch, stem: Stem, width: i64, seed: u64) -> Encoder {
    Encoder::new(&mut Builder::online(seed, Device::Cpu), &config(arch, stem, width))
}

/// Names and shapes in their order.
pub(super) fn names_of(network: &Encoder) -> (usize, u32) {
    let state = network.state("");
    let names: String = state
        .iter()
        .map(|(name, tensor)| format!("{name}:{:?}\n", tensor.size()).replace(' ', ""))
        .collect();
    (state.len(), golden::fnv1a(&names))
}

fn first_features(features: &Tensor) -> Tensor {
    features.narrow(1, 0, 8)
}

#[test]
fn features_statistics_and_gradients_are_those_of_torchvision() {
    for case in golden::read::<Vec<Case>>("resnet") {
        let network = build(case.arch, case.stem, 64, 0);
        network.load("", &golden::state(&network, "")).unwrap();
        let images = pattern("images", &[4, 3, case.side, case.side]);
        check(&network, &images, &case, 1e-3);

        let network = build(case.arch, case.stem, 64, 0);
        network.load("", &golden::state(&network, "")).unwrap();
        golden::to_double(&network);
        check(&network, &images.to_kind(Kind::Double), &case, 1e-6);
    }
}

fn check(network: &Encoder, images: &Tensor, case: &Case, tolerance: f64) {
    let what = |part: &str| format!("{} {} {part}", case.arch, case.stem);
    let features = no_grad(|| network.forward(images, Mode::Eval));
    // Running statistics do not magnify rounding.
    let eval_tolerance = tolerance.min(1e-4);
    assert_close(&first_features(&features), &case.eval, eval_tolerance, &what("eval"));
    assert_close(&features.norm(), &[case.eval_norm], eval_tolerance, &what("eval norm"));

    let features = network.forward(images, Mode::Train);
    assert_close(&first_features(&features), &case.train, tolerance, &what("train"));
    assert_close(&features.norm(), &[case.train_norm], tolerance, &what("train norm"));
    let state: HashMap<_, _> = network.state("").into_iter().collect();
    let statistic = |end: &str| &state[&format!("{}{end}", case.last_norm)];
    let mean = statistic("running_mean").narrow(0, 0, 8);
    assert_close(&mean, &case.running_mean, tolerance, &what("running mean"));
    let var = statistic("running_var").narrow(0, 0, 8);
    assert_close(&var, &case.running_var, tolerance, &what("running var"));
    assert_eq!(statistic("num_batches_tracked").int64_value(&[]), 1);

    features.square().mean(None::<Kind>).backward();
    let gradient = network.parameters("")[0].tensor.grad() / case.conv1_gradient_norm;
    let expected: Vec<f64> =
        case.conv1_gradient.iter().map(|value| value / case.conv1_gradient_norm).collect();
    // The gradient has passed all norms twice.
    let tolerance = 10.0 * tolerance;
    assert_close(&gradient, &expected, tolerance, &what("gradient"));
    assert_close(&gradient.norm(), &[1.0], tolerance, &what("gradient norm"));
}

#[test]
fn names_and_shapes_are_those_of_torchvision_in_its_order() {
    for case in golden::read::<Vec<Case>>("resnet") {
        let network = build(case.arch, case.stem, 64, 0);
        assert_eq!(names_of(&network), (case.num_names, case.names_fnv1a), "{}", case.arch);
    }
}

/// `width` is every channel count times a factor, as SwAV's RN50-w2 and -w4 and not as torchvision's wide networks.
fn check_wide(is_wanted: fn(&Wide) -> bool) {
    let cases = golden::read::<Vec<Wide>>("resnet_wide");
    for case in cases.iter().filter(|case| is_wanted(case)) {
        // Weights that are not drawn: drawing would take most of the time.
        let mut builder = Builder::momentum(Device::Cpu);
        let network = Encoder::new(&mut builder, &config(case.arch, Stem::Imagenet, case.width));
        assert_eq!(names_of(&network), (case.num_names, case.names_fnv1a));
        golden::fill(&network);
        let images = pattern("images", &[1, 3, case.side, case.side]);
        let features = no_grad(|| network.forward(&images, Mode::Eval));
        let what = format!("{} width {}", case.arch, case.width);
        assert_close(&features, &case.eval, 1e-4, &what);
        assert_close(&features.norm(), &[case.eval_norm], 1e-4, &what);
    }
}

#[test]
fn features_of_deep_and_wide_networks_are_those_of_torchvision_s_with_all_widths_scaled() {
    check_wide(|case| case.arch != Arch::Resnet50 || case.width == 128);
}

#[test]
#[ignore = "375 million weights, 2 GB of memory and many seconds: make soak"]
fn features_of_resnet50_of_four_times_the_width_are_those_of_torchvision_s() {
    check_wide(|case| case.arch == Arch::Resnet50 && case.width == 256);
}

#[test]
fn a_seed_gives_the_same_weights_again_and_leaves_the_global_generator_alone() {
    let draw = |seed| build(Arch::Resnet18, Stem::Cifar, 4, seed).state("");
    tch::manual_seed(1);
    let first = draw(5);
    let after = Tensor::rand([3], (Kind::Float, Device::Cpu));
    tch::manual_seed(1);
    assert_eq!(Tensor::rand([3], (Kind::Float, Device::Cpu)), after);
    assert_eq!(first, draw(5));
    assert_ne!(first[0], draw(6)[0]);
}

#[test]
fn initial_weights_have_torchvision_s_spread() {
    for (name, tensor) in build(Arch::Resnet50, Stem::Imagenet, 16, 3).state("") {
        let size = tensor.size();
        if size.len() == 4 {
            let expected = (2.0 / (size[0] * size[2] * size[3]) as f64).sqrt();
            let found = tensor.std(true).double_value(&[]);
            assert!((found / expected - 1.0).abs() < 0.1, "{name}: {found} against {expected}");
        } else if name.ends_with("weight") || name.ends_with("running_var") {
            assert_eq!(tensor, tensor.ones_like(), "{name}");
        } else {
            assert_eq!(tensor, tensor.zeros_like(), "{name}");
        }
    }
}

#[test]
fn width_scales_the_features_of_every_network() {
    for arch in [Arch::Resnet18, Arch::Resnet34, Arch::Resnet50, Arch::Resnet101] {
        let config = config(arch, Stem::Cifar, 4);
        let network = build(arch, Stem::Cifar, 4, 0);
        let images = pattern("images", &[2, 3, 16, 16]);
        let features = no_grad(|| network.forward(&images, Mode::Eval));
        assert_eq!(features.size(), [2, config.feature_dim()], "{arch}");
    }
}
