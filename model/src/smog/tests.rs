use std::collections::HashMap;

use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::{Precision, SmogModel};
use crate::config::{Direction, EncoderConfig, GroupsConfig, ModelConfig};
use crate::error::ModelError;
use crate::golden::{self, assert_close, pattern};
use crate::groups::normalize;
use crate::kmeans::KMeansSettings;
use crate::memory::FeatureMemory;
use crate::network::Network;
use crate::optim::{Optimizer, OptimizerConfig, SgdConfig};

#[derive(Deserialize)]
struct Case {
    direction: Direction,
    momentum_predictor: bool,
    renormalize_groups: bool,
    losses: Vec<f64>,
    groups: Vec<f64>,
    online_running_mean: Vec<f64>,
    momentum_running_mean: Vec<f64>,
    momentum_conv1: Vec<f64>,
}

fn small() -> ModelConfig {
    ModelConfig {
        encoder: EncoderConfig { width: 4, ..EncoderConfig::default() },
        projector_hidden: 16,
        predictor_hidden: 16,
        dim: 8,
        groups: GroupsConfig { count: 12, beta: 0.9, ..GroupsConfig::default() },
        ..ModelConfig::default()
    }
}

fn views(step: u64, sides: &[i64]) -> Vec<Tensor> {
    (0..)
        .zip(sides)
        .map(|(view, &side)| pattern(&format!("step{step} view{view}"), &[8, 3, side, side]))
        .collect()
}

fn state_of(model: &SmogModel) -> HashMap<String, Tensor> {
    model.state().into_iter().map(|(name, tensor)| (name, tensor.copy())).collect()
}

fn sgd(model: &SmogModel) -> Optimizer {
    let config = OptimizerConfig::Sgd(SgdConfig { weight_decay: 1e-3, ..SgdConfig::default() });
    Optimizer::new(&config, model.parameters()).unwrap()
}

/// One whole training step; the loss before it.
fn train_step(
    model: &mut SmogModel,
    optimizer: &mut Optimizer,
    step: u64,
    sides: &[i64],
    lr: f64,
) -> f64 {
    let kind = model.groups.kind();
    let views: Vec<_> = views(step, sides).iter().map(|view| view.to_kind(kind)).collect();
    let output = model.forward(&views, 2, step);
    optimizer.zero_grad(model.parameters());
    model.backward(&output);
    optimizer.step(model.parameters(), lr);
    model.update_groups(&output);
    model.update_momentum(0.9);
    output.loss.double_value(&[])
}

#[test]
fn whole_training_steps_are_those_of_pytorch() {
    for case in golden::read::<Vec<Case>>("training") {
        let config = ModelConfig {
            encoder: EncoderConfig { width: 8, ..EncoderConfig::default() },
            projector_hidden: 24,
            predictor_hidden: 24,
            direction: case.direction,
            momentum_predictor: case.momentum_predictor,
            groups: GroupsConfig { renormalize_groups: case.renormalize_groups, ..small().groups },
            ..small()
        };
        let mut model = SmogModel::new(&config, 0, Device::Cpu).unwrap();
        model.online.load("online.", &golden::state(&model.online, "online.")).unwrap();
        model.copy_to_momentum();
        golden::to_double(&model.online);
        golden::to_double(&model.momentum);
        model.groups = normalize(&pattern("groups", &[12, 8]).to_kind(Kind::Double));

        let mut optimizer = sgd(&model);
        for (step, expected) in (0..).zip(&case.losses) {
            let loss = train_step(&mut model, &mut optimizer, step, &[16, 16, 8], 2e-3);
            let what = format!("{} step {step}", case.direction);
            assert_close(&Tensor::from(loss), &[*expected], 1e-6, &what);
        }
        let state = state_of(&model);
        let first = |name: &str| state[name].contiguous().view(-1).narrow(0, 0, 8);
        let mean = "encoder.layer4.1.bn2.running_mean";
        assert_close(model.groups(), &case.groups, 1e-6, "groups");
        assert_close(&first(&format!("online.{mean}")), &case.online_running_mean, 1e-6, "online");
        let momentum = first(&format!("momentum.{mean}"));
        assert_close(&momentum, &case.momentum_running_mean, 1e-6, "momentum");
        let conv1 = first("momentum.encoder.conv1.weight");
        assert_close(&conv1, &case.momentum_conv1, 1e-6, "momentum conv1");
    }
}

#[test]
fn a_state_carries_everything_that_the_next_steps_need() {
    let config = ModelConfig { momentum_predictor: true, ..small() };
    let mut model = SmogModel::new(&config, 1, Device::Cpu).unwrap();
    let mut optimizer = sgd(&model);
    for step in 0..2 {
        train_step(&mut model, &mut optimizer, step, &[16, 16], 0.05);
    }
    let mut other = SmogModel::new(&config, 2, Device::Cpu).unwrap();
    let mut other_optimizer = sgd(&other);
    other.load_state(&state_of(&model)).unwrap();
    other_optimizer.load_state(&optimizer.state().into_iter().collect()).unwrap();
    for step in 2..4 {
        let loss = train_step(&mut model, &mut optimizer, step, &[16, 16], 0.05);
        assert_eq!(loss, train_step(&mut other, &mut other_optimizer, step, &[16, 16], 0.05));
    }
    assert_eq!(state_of(&model), state_of(&other));
}

#[test]
fn a_state_that_does_not_fit_changes_nothing() {
    let mut model = SmogModel::new(&small(), 1, Device::Cpu).unwrap();
    let before = state_of(&model);
    let mut state = state_of(&SmogModel::new(&small(), 2, Device::Cpu).unwrap());
    state.insert("groups".to_owned(), Tensor::zeros([3, 8], (Kind::Float, Device::Cpu)));
    let error = model.load_state(&state).unwrap_err().to_string();
    assert_eq!(error, r#"tensor "groups": saved with shape [3, 8], this model needs [12, 8]"#);
    state.remove("momentum.projector.0.weight");
    let error = model.load_state(&state).unwrap_err().to_string();
    assert!(error.contains("momentum.projector.0.weight"), "{error}");
    assert_eq!(state_of(&model), before);
}

#[test]
fn only_the_momentum_parameters_follow_and_a_copy_takes_everything() {
    let mut model = SmogModel::new(&small(), 1, Device::Cpu).unwrap();
    model.forward(&views(0, &[16, 16]), 2, 0);
    let before = state_of(&model);
    let name = "encoder.layer1.0.bn1.running_mean";
    assert_eq!(before[&format!("online.{name}")], before[&format!("momentum.{name}")]);
    tch::no_grad(|| {
        let _ = model.parameters()[0].tensor.shallow_clone().fill_(2.0);
    });
    let _ = model.online.encoder.forward(&views(1, &[16])[0], crate::layers::Mode::Train);
    model.update_momentum(0.75);
    let after = state_of(&model);
    let expected = &before["momentum.encoder.conv1.weight"] * 0.75 + 0.5;
    assert!(after["momentum.encoder.conv1.weight"].allclose(&expected, 1e-5, 1e-6, false));
    assert_eq!(after[&format!("momentum.{name}")], before[&format!("momentum.{name}")]);
    assert_ne!(after[&format!("online.{name}")], before[&format!("online.{name}")]);

    model.copy_to_momentum();
    let copied = state_of(&model);
    for (name, tensor) in &copied {
        if let Some(end) = name.strip_prefix("momentum.") {
            assert_eq!(tensor, &copied[&format!("online.{end}")], "{name}");
        }
    }
}

#[test]
fn trained_parameters_get_gradients_and_the_momentum_branch_none() {
    let mut model = SmogModel::new(&small(), 1, Device::Cpu).unwrap();
    model.forward(&views(0, &[16, 16, 8]), 2, 0).loss.backward();
    for parameter in model.parameters() {
        assert!(parameter.tensor.grad().defined(), "{}", parameter.name);
        let norm_or_bias = parameter.tensor.dim() == 1;
        assert_eq!(parameter.decay, !norm_or_bias, "{}", parameter.name);
    }
    assert!(model.momentum_parameters.iter().all(|parameter| !parameter.tensor.requires_grad()));
}

#[test]
fn alternate_swaps_the_views_with_each_step() {
    let config = ModelConfig { direction: Direction::Alternate, ..small() };
    let loss = |step, swap: bool| {
        let mut model = SmogModel::new(&config, 1, Device::Cpu).unwrap();
        let mut both = views(0, &[16, 16]);
        if swap {
            both.swap(0, 1);
        }
        let output = model.forward(&both, 2, step);
        assert_eq!(output.projections.size(), [8, 8]);
        output.loss.double_value(&[])
    };
    assert_eq!(loss(0, false), loss(1, true));
    assert_ne!(loss(0, false), loss(1, false));
}

#[test]
fn a_reset_needs_enough_features_and_starts_the_counts_again() {
    let mut model = SmogModel::new(&small(), 1, Device::Cpu).unwrap();
    let mut memory = FeatureMemory::new(24, 8, Device::Cpu).unwrap();
    let settings = KMeansSettings::default();
    let before = model.groups().copy();
    memory.push(&pattern("few", &[11, 8]));
    let error = model.reset_groups(&memory, &settings, 1, 0).unwrap_err();
    assert!(matches!(error, ModelError::TooFewFeatures { num_features: 11, num_groups: 12 }));
    assert_eq!(model.groups(), &before);

    let output = model.forward(&views(0, &[16, 16]), 2, 0);
    assert_eq!(output.projections.size(), [16, 8]);
    model.update_groups(&output);
    assert_eq!(model.group_counts.sum(Kind::Int64).int64_value(&[]), 16);
    memory.push(&output.projections);
    let report = model.reset_groups(&memory, &settings, 1, 300).unwrap();
    assert_eq!((report.num_features, report.num_clustered), (24, 24));
    assert_eq!(model.group_counts.sum(Kind::Int64).int64_value(&[]), 0);
    assert_ne!(model.groups(), &before);
    let lengths = model.groups().square().sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
    assert!(lengths.allclose(&lengths.ones_like(), 1e-5, 1e-5, false));
}

#[test]
fn encoding_leaves_the_model_as_it_is_and_does_not_depend_on_the_batch() {
    let model = SmogModel::new(&small(), 1, Device::Cpu).unwrap();
    let before = state_of(&model);
    let images = &views(0, &[16])[0];
    let features = model.encode(images);
    let (projections, nearest) = model.encode_groups(images, crate::EncoderBranch::Online);
    assert_eq!(features.size(), [8, 32]);
    assert_eq!((projections.size(), nearest.size()), (vec![8, 8], vec![8]));
    assert!(model.encode(&images.narrow(0, 2, 1)).allclose(
        &features.narrow(0, 2, 1),
        1e-4,
        1e-5,
        false
    ));
    assert!(!features.requires_grad());
    assert_eq!(state_of(&model), before);
}

#[test]
fn thirty_steps_on_four_kinds_of_pictures_lower_the_loss() {
    let mut config = small();
    config.groups.count = 4;
    let mut model = SmogModel::new(&config, 3, Device::Cpu).unwrap();
    let mut optimizer = sgd(&model);
    let kinds = pattern("kinds", &[4, 3, 8, 8]).repeat([4, 1, 1, 1]);
    let mut losses = Vec::new();
    for step in 0..30 {
        let view = |name: &str| &kinds + pattern(&format!("{name}{step}"), &[16, 3, 8, 8]) * 0.3;
        let output = model.forward(&[view("a"), view("b")], 2, step);
        optimizer.zero_grad(model.parameters());
        model.backward(&output);
        optimizer.step(model.parameters(), 0.05);
        model.update_groups(&output);
        model.update_momentum(0.9);
        losses.push(output.loss.double_value(&[]));
    }
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (first, last) = (mean(&losses[..5]), mean(&losses[25..]));
    assert!(last < 0.5 * first, "{first} to {last}");
}

#[test]
fn bf16_changes_little_and_keeps_groups_loss_and_weights_in_f32() {
    let run = |precision| {
        let mut model = SmogModel::new(&small(), 1, Device::Cpu).unwrap();
        model.set_precision(precision);
        let output = model.forward(&views(0, &[16, 16, 8]), 2, 0);
        model.backward(&output);
        model.update_groups(&output);
        for tensor in [&output.loss, &output.projections, model.groups()] {
            assert_eq!(tensor.kind(), Kind::Float);
        }
        let gradients: Vec<_> =
            model.parameters().iter().map(|parameter| parameter.tensor.grad()).collect();
        for gradient in &gradients {
            assert_eq!(gradient.kind(), Kind::Float);
            assert!(bool::try_from(gradient.isfinite().all()).unwrap());
        }
        let state = state_of(&model);
        assert!(state.values().all(|tensor| matches!(tensor.kind(), Kind::Float | Kind::Int64)));
        let all: Vec<_> = gradients.iter().map(|gradient| gradient.reshape([-1])).collect();
        (output.loss.double_value(&[]), Tensor::cat(&all, 0))
    };
    let ((loss, gradient), (bf16_loss, bf16_gradient)) =
        (run(Precision::F32), run(Precision::Bf16));
    assert_ne!(loss, bf16_loss, "bf16 was in use");
    // bf16 has 8 bits: about 0.4 % a product, over twenty layers, of which batch norms over few pictures magnify each;
    // ReLUs and nearest groups that flip do the rest.
    assert!((bf16_loss / loss - 1.0).abs() < 0.05, "{bf16_loss} for {loss}");
    let cosine = gradient.dot(&bf16_gradient) / (gradient.norm() * bf16_gradient.norm());
    assert!(cosine.double_value(&[]) > 0.7, "{}", cosine.double_value(&[]));
}

#[test]
fn convolutions_keep_the_channels_of_a_pixel_together() {
    let mut model = SmogModel::new(&small(), 1, Device::Cpu).unwrap();
    model.forward(&views(0, &[16, 16]), 2, 0).loss.backward();
    for parameter in model.parameters().iter().chain(&model.momentum_parameters) {
        let (tensor, gradient) = (&parameter.tensor, parameter.tensor.grad());
        if tensor.dim() == 4 {
            assert!(tensor.permute([0, 2, 3, 1]).is_contiguous(), "{}", parameter.name);
            // Not turned round by the backward pass either: no gradient is copied before the optimiser.
            if gradient.defined() {
                assert!(gradient.permute([0, 2, 3, 1]).is_contiguous(), "{}", parameter.name);
            }
        }
    }
}
