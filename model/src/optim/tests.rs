use std::collections::HashMap;

use serde::Deserialize;
use tch::{Kind, Tensor};

use super::{AdamWConfig, LarsConfig, Optimizer, OptimizerConfig, SgdConfig};
use crate::golden::{self, assert_close, pattern};
use crate::parameter::Parameter;

const SHAPES: [(&str, &[i64]); 3] =
    [("a.weight", &[4, 3]), ("b.weight", &[2, 3]), ("b.bias", &[3])];

type Trace = Vec<HashMap<String, Vec<f64>>>;

#[derive(Deserialize)]
struct Golden {
    rates: Vec<f64>,
    clipped: Clipped,
    sgd: Trace,
    adamw: Trace,
    lars: Trace,
}

/// Gradients after `torch.nn.utils.clip_grad_norm_`.
#[derive(Deserialize)]
struct Clipped {
    most: f64,
    norm: f64,
    gradients: HashMap<String, Vec<f64>>,
}

fn parameters() -> Vec<Parameter> {
    SHAPES
        .iter()
        .map(|&(name, shape)| {
            let scale = if name == "b.weight" { 0.0 } else { 1.0 };
            let tensor = (pattern(name, shape) * scale).set_requires_grad(true);
            Parameter { name: name.to_owned(), tensor, decay: name.ends_with("weight") }
        })
        .collect()
}

fn step(optimizer: &mut Optimizer, parameters: &[Parameter], number: usize, rate: f64) {
    optimizer.zero_grad(parameters);
    for parameter in parameters {
        let name = format!("{} gradient {number}", parameter.name);
        let gradient = pattern(&name, &parameter.tensor.size()) * 0.3;
        (&parameter.tensor * gradient).sum(Kind::Float).backward();
    }
    optimizer.step(parameters, rate);
}

fn configs() -> [OptimizerConfig; 3] {
    [
        OptimizerConfig::Sgd(SgdConfig { weight_decay: 0.01, ..SgdConfig::default() }),
        OptimizerConfig::AdamW(AdamWConfig {
            betas: [0.8, 0.95],
            eps: 1e-6,
            weight_decay: 0.1,
            ..AdamWConfig::default()
        }),
        OptimizerConfig::Lars(LarsConfig {
            momentum: 0.9,
            weight_decay: 0.01,
            trust_coefficient: 0.02,
            ..LarsConfig::default()
        }),
    ]
}

#[test]
fn eight_steps_are_those_of_the_reference() {
    let golden = golden::read::<Golden>("optimizers");
    for (config, trace) in configs().iter().zip([golden.sgd, golden.adamw, golden.lars]) {
        let parameters = parameters();
        let mut optimizer = Optimizer::new(config, &parameters).unwrap();
        for (number, (&rate, expected)) in golden.rates.iter().zip(&trace).enumerate() {
            step(&mut optimizer, &parameters, number, rate);
            for parameter in &parameters {
                let what = format!("{config:?} {} step {number}", parameter.name);
                assert_close(&parameter.tensor, &expected[&parameter.name], 2e-6, &what);
            }
        }
    }
}

/// Zero is within the range of the setting; libtorch's fused step wants no buffers then.
#[test]
fn without_momentum_a_step_is_one_along_the_gradient() {
    let sgd = SgdConfig { momentum: 0.0, weight_decay: 0.0, ..SgdConfig::default() };
    let parameters = parameters();
    let mut optimizer = Optimizer::new(&OptimizerConfig::Sgd(sgd), &parameters).unwrap();
    for number in 0..2 {
        let expected: Vec<Tensor> = (parameters.iter())
            .map(|one| {
                let name = format!("{} gradient {number}", one.name);
                one.tensor.detach() - pattern(&name, &one.tensor.size()) * (0.3 * 0.5)
            })
            .collect();
        step(&mut optimizer, &parameters, number, 0.5);
        for (one, expected) in parameters.iter().zip(expected) {
            assert!(one.tensor.detach().allclose(&expected, 1e-5, 1e-6, false), "{}", one.name);
        }
    }

    let lars = LarsConfig { momentum: 0.0, ..LarsConfig::default() };
    let parameters = self::parameters();
    let before = parameters[0].tensor.detach().copy();
    let mut optimizer = Optimizer::new(&OptimizerConfig::Lars(lars), &parameters).unwrap();
    step(&mut optimizer, &parameters, 0, 1.0);
    let moved: Tensor = parameters[0].tensor.detach() - &before;
    let share = (moved.norm() / before.norm()).double_value(&[]);
    // Such is the rule: as long as the weights times the coefficient, but for the decay.
    assert!((share / LarsConfig::default().trust_coefficient - 1.0).abs() < 1e-2, "{share}");
}

#[test]
fn a_saved_optimizer_goes_on_as_if_it_had_not_stopped() {
    for config in configs() {
        let own = parameters();
        let mut optimizer = Optimizer::new(&config, &own).unwrap();
        for number in 0..3 {
            step(&mut optimizer, &own, number, 0.1);
        }
        let resumed = parameters();
        for (from, to) in own.iter().zip(&resumed) {
            tch::no_grad(|| to.tensor.shallow_clone().copy_(&from.tensor));
        }
        let mut other = Optimizer::new(&config, &resumed).unwrap();
        let saved: HashMap<_, _> =
            optimizer.state().into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
        other.load_state(&saved).unwrap();
        for number in 3..5 {
            step(&mut optimizer, &own, number, 0.1);
            step(&mut other, &resumed, number, 0.1);
        }
        assert!(own.iter().zip(&resumed).all(|(a, b)| a.tensor == b.tensor), "{config:?}");
        assert_eq!(optimizer.state(), other.state());
    }
}

#[test]
fn a_state_of_another_network_is_refused() {
    let parameters = parameters();
    let mut optimizer = Optimizer::new(&OptimizerConfig::default(), &parameters).unwrap();
    let other = Optimizer::new(&OptimizerConfig::default(), &parameters[..2]).unwrap();
    let error = optimizer.load_state(&other.state().into_iter().collect()).unwrap_err();
    assert!(error.to_string().contains("momentum.b.bias"), "{error}");
}

#[test]
fn a_gradient_that_is_too_long_is_clipped_as_by_pytorch_and_its_length_is_known() {
    let golden = golden::read::<Golden>("optimizers").clipped;
    let moved = |clip_grad_norm| {
        let parameters = parameters();
        let config = SgdConfig { weight_decay: 0.0, clip_grad_norm, ..SgdConfig::default() };
        let mut optimizer = Optimizer::new(&OptimizerConfig::Sgd(config), &parameters).unwrap();
        let before: Vec<Tensor> = parameters.iter().map(|one| one.tensor.detach().copy()).collect();
        step(&mut optimizer, &parameters, 0, 1.0);
        let norm = optimizer.gradient_norm(&parameters).double_value(&[]);
        assert!((norm / golden.norm - 1.0).abs() < 1e-5, "{norm} for {}", golden.norm);
        let steps = parameters.iter().zip(before).map(|(one, before)| before - &one.tensor);
        (parameters.iter().map(|one| one.name.clone()).zip(steps)).collect::<Vec<_>>()
    };
    for (name, step) in moved(golden.most) {
        assert_close(&step, &golden.gradients[&name], 1e-5, &name);
    }
    // A limit above the length changes nothing.
    let (free, wide) = (moved(0.0), moved(golden.norm * 2.0));
    assert!(free.iter().zip(&wide).all(|(a, b)| a.1 == b.1));
}

#[test]
fn biases_and_norms_are_decayed_where_that_is_asked_for() {
    let bias = |decay_norms_and_biases| {
        let parameters = parameters();
        let config = AdamWConfig { decay_norms_and_biases, ..AdamWConfig::default() };
        let mut optimizer = Optimizer::new(&OptimizerConfig::AdamW(config), &parameters).unwrap();
        step(&mut optimizer, &parameters, 0, 0.1);
        parameters[2].tensor.detach()
    };
    let start = parameters()[2].tensor.detach();
    let difference: Tensor = bias(false) - bias(true);
    let expected = start * (0.1 * AdamWConfig::default().weight_decay);
    assert!(difference.allclose(&expected, 1e-4, 1e-6, false), "{difference} for {expected}");
}

#[test]
fn gradients_in_another_memory_order_than_their_weights_give_the_same_step() {
    let stepped = |permuted: bool| {
        let shape = [4, 3, 2, 2];
        let order = |x: Tensor| if permuted { crate::network::channels_last(&x) } else { x };
        let tensor = order(pattern("weight", &shape)).set_requires_grad(true);
        let parameters = [Parameter { name: "a".to_owned(), tensor, decay: true }];
        let mut optimizer = Optimizer::new(&OptimizerConfig::default(), &parameters).unwrap();
        // A gradient in plain order, whatever the weights have.
        (&parameters[0].tensor * pattern("gradient", &shape)).sum(Kind::Float).backward();
        optimizer.step(&parameters, 0.1);
        parameters[0].tensor.detach()
    };
    assert!(stepped(true).allclose(&stepped(false), 1e-6, 1e-7, false));
}

#[test]
fn a_parameter_without_gradient_stays() {
    for config in configs() {
        let parameters = parameters();
        let before = parameters[0].tensor.copy();
        Optimizer::new(&config, &parameters).unwrap().step(&parameters, 0.1);
        assert_eq!(parameters[0].tensor, before);
    }
}

#[test]
fn settings_are_read_by_kind_and_checked() {
    let read = serde_json::from_str::<OptimizerConfig>;
    let lars = read(r#"{"kind": "lars", "weight_decay": 1e-4}"#).unwrap();
    let expected = LarsConfig { weight_decay: 1e-4, ..LarsConfig::default() };
    assert_eq!(lars, OptimizerConfig::Lars(expected));
    assert!(read(r#"{"kind": "adamw"}"#).is_ok());
    let error = read(r#"{"kind": "sgd", "betas": [0.9, 0.9]}"#).unwrap_err().to_string();
    assert!(error.contains("betas"), "{error}");
    for wrong in [
        r#"{"kind": "sgd", "momentum": 1.0}"#,
        r#"{"kind": "sgd", "weight_decay": -0.1}"#,
        r#"{"kind": "adamw", "betas": [0.9, 1.5]}"#,
        r#"{"kind": "lars", "trust_coefficient": 0.0}"#,
        r#"{"kind": "sgd", "clip_grad_norm": -1.0}"#,
    ] {
        assert!(read(wrong).unwrap().validate().is_err(), "{wrong}");
    }
}
