use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::{cross_entropy, logits};
use crate::config::{Direction, GroupsConfig};
use crate::golden::{self, assert_close, pattern};
use crate::groups::{assign, normalize, update};
use crate::pairing::Pairing;

const VIEWS: usize = 4;
const LARGE: usize = 2;
const BATCH: i64 = 6;
const DIM: i64 = 5;
const GROUPS: i64 = 16;

struct Inputs {
    projections: Tensor,
    predictions: Tensor,
    targets: Tensor,
    groups: Tensor,
}

struct Outputs {
    loss: Tensor,
    assignment: Tensor,
    targets: Tensor,
    counts: Tensor,
    updated: Tensor,
    logits: Tensor,
}

fn evaluate(inputs: &Inputs, pairing: &Pairing, settings: &GroupsConfig) -> Outputs {
    let targets = assign(&inputs.targets, &normalize(&inputs.groups));
    let assignment = assign(&inputs.projections, &normalize(&inputs.groups));
    let updated = update(&inputs.groups, &inputs.projections, &assignment, settings);
    let logits = logits(&inputs.predictions, &updated.groups, settings);
    Outputs {
        loss: cross_entropy(&logits, &targets, pairing),
        assignment,
        targets,
        counts: updated.counts,
        updated: updated.groups,
        logits,
    }
}

fn tensor(values: &[f32]) -> Tensor {
    Tensor::from_slice(values).view([-1, 2])
}

fn integers(tensor: &Tensor) -> Vec<i64> {
    Vec::try_from(tensor).unwrap()
}

#[test]
fn the_worked_example_gives_its_loss_and_gradients() {
    let settings = GroupsConfig { count: 3, ..GroupsConfig::default() };
    let inputs = Inputs {
        projections: tensor(&[0.8, 0.6, 0.6, 0.8, -0.6, 0.8]).set_requires_grad(true),
        predictions: tensor(&[3., 4., 2., 0., 0., 1.]).set_requires_grad(true),
        targets: tensor(&[0.9, 0.1, 0.2, 0.9, -0.9, 0.1]),
        groups: tensor(&[1., 0., 0., 1., -1., 0.]),
    };
    let pairing = Pairing::new(Direction::Alternate, 2, 2, 0);
    let out = evaluate(&inputs, &pairing, &settings);
    assert_eq!(integers(&out.targets), [0, 1, 2]);
    assert_eq!(integers(&out.assignment), [0, 1, 1]);
    assert_close(&out.updated, &[0.998, 0.006, 0., 0.998, -1., 0.], 1e-6, "G'");
    let expected = [6.047987, 8., -6., 9.999819, 0., -10., 0.060119, 10., 0.];
    assert_close(&out.logits, &expected, 1e-6, "logits");
    assert_close(&out.loss, &[7.361580897], 1e-6, "loss");

    out.loss.backward();
    let dz = [-0.652139, 0.489105, 0., -1.656572, 3.333343, 0.];
    assert_close(&inputs.predictions.grad(), &dz, 1e-5, "dL/dz");
    let dv = [0.011326, -0.015102, -0.005072, 0.003804, -0.005072, -0.003804];
    assert_close(&inputs.projections.grad(), &dv, 1e-5, "dL/dv");
}

#[derive(Deserialize)]
struct Case {
    direction: Direction,
    settings: GroupsConfig,
    loss: f64,
    assigned: Vec<i64>,
    targets: Vec<i64>,
    counts: Vec<i64>,
    updated: Vec<f64>,
    dz: Vec<f64>,
    dv: Vec<f64>,
}

fn rows(name: char, views: &[usize], scale: f64) -> Tensor {
    let parts: Vec<_> =
        views.iter().map(|view| pattern(&format!("{name}{view}"), &[BATCH, DIM]) * scale).collect();
    Tensor::cat(&parts, 0)
}

fn golden_inputs(pairing: &Pairing) -> Inputs {
    Inputs {
        projections: rows('v', &pairing.online[..pairing.num_members], 3.0).set_requires_grad(true),
        predictions: rows('z', &pairing.online, 2.0).set_requires_grad(true),
        targets: rows('t', &pairing.targets, 1.0),
        groups: normalize(&pattern("groups", &[GROUPS, DIM])),
    }
}

#[test]
fn loss_and_gradients_are_those_of_a_loop_over_pairs_pictures_and_groups() {
    let cases = golden::read::<Vec<Case>>("groups");
    assert_eq!(cases.len(), 8);
    for case in cases {
        let settings = GroupsConfig { count: GROUPS, ..case.settings };
        let pairing = Pairing::new(case.direction, VIEWS, LARGE, 0);
        let inputs = golden_inputs(&pairing);
        let out = evaluate(&inputs, &pairing, &settings);
        let what = format!("{} {settings:?}", case.direction);
        assert_eq!(integers(&out.assignment), case.assigned, "{what}");
        assert_eq!(integers(&out.targets), case.targets, "{what}");
        assert_eq!(integers(&out.counts), case.counts, "{what}");
        assert!(case.counts.contains(&0), "one group without members belongs to the test");
        assert_close(&out.updated, &case.updated, 1e-6, &what);
        assert_close(&out.loss, &[case.loss], 1e-6, &what);
        out.loss.backward();
        assert_close(&inputs.predictions.grad(), &case.dz, 1e-6, &what);
        let dv = inputs.projections.grad();
        if settings.grad_through_groups {
            assert_close(&dv, &case.dv, 1e-6, &what);
        } else {
            assert!(!dv.defined(), "{what}");
        }
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let settings = GroupsConfig { count: GROUPS, beta: 0.5, ..GroupsConfig::default() };
    let pairing = Pairing::new(Direction::Both, VIEWS, LARGE, 0);
    let double = |tensor: &Tensor| tensor.detach().to_kind(Kind::Double);
    let base = golden_inputs(&pairing);
    let inputs = Inputs {
        projections: double(&base.projections).set_requires_grad(true),
        predictions: double(&base.predictions).set_requires_grad(true),
        targets: double(&base.targets),
        groups: double(&base.groups),
    };
    evaluate(&inputs, &pairing, &settings).loss.backward();
    let loss = |projections: &Tensor, predictions: &Tensor| {
        let moved = Inputs {
            projections: projections.shallow_clone(),
            predictions: predictions.shallow_clone(),
            targets: inputs.targets.shallow_clone(),
            groups: inputs.groups.shallow_clone(),
        };
        evaluate(&moved, &pairing, &settings).loss.double_value(&[])
    };
    for (number, leaf) in [&inputs.projections, &inputs.predictions].into_iter().enumerate() {
        let direction = double(&pattern("direction", &leaf.size()));
        let step = 1e-3;
        let at = |sign: f64| {
            let moved = leaf.detach() + &direction * (sign * step);
            match number {
                0 => loss(&moved, &inputs.predictions.detach()),
                _ => loss(&inputs.projections.detach(), &moved),
            }
        };
        let measured = (at(1.0) - at(-1.0)) / (2.0 * step);
        let computed = (leaf.grad() * direction).sum(Kind::Double).double_value(&[]);
        assert!(computed.abs() > 1e-3, "the direction must matter");
        assert!((measured / computed - 1.0).abs() < 1e-3, "{measured} against {computed}");
    }
}

#[test]
fn a_prediction_or_group_of_zeros_gives_a_finite_loss_and_gradient() {
    let settings = GroupsConfig { count: 2, ..GroupsConfig::default() };
    let zeros = || Tensor::zeros([2, 2], (Kind::Float, Device::Cpu));
    let inputs = Inputs {
        projections: zeros().set_requires_grad(true),
        predictions: zeros().set_requires_grad(true),
        targets: zeros(),
        groups: zeros(),
    };
    let out = evaluate(&inputs, &Pairing::new(Direction::Alternate, 2, 2, 0), &settings);
    assert_close(&out.loss, &[2f64.ln()], 1e-6, "ln K");
    out.loss.backward();
    for leaf in [&inputs.projections, &inputs.predictions] {
        assert_eq!(leaf.grad().isfinite().all().int64_value(&[]), 1);
    }
}
