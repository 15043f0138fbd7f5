//! The backward pass of a step, also where the graph of the online branch is made part by part.
//!
//! A step with many views otherwise keeps what the backward pass needs of all of them at once. With
//! [`Accumulate`] set, the forward pass makes no graph behind projections and predictions. The loss still sees those of
//! all views, so its gradients with respect to them are complete, including the path through the updated groups. Each
//! part is then forwarded once more, with its graph, and given its rows of these gradients: by the chain rule, the sum
//! over parts is the gradient of the whole step.

use tch::{Tensor, no_grad};

use super::{Passed, SmogModel, StepOutput, parts};
use crate::config::Accumulate;
use crate::encoder::DropKey;
use crate::layers::Mode;

/// What the second forward pass repeats.
#[derive(Debug)]
pub(super) struct Again {
    views: Vec<Tensor>,
    keys: Vec<DropKey>,
    projections: Tensor,
    predictions: Tensor,
}

impl SmogModel {
    /// What the online branch makes of the views, and what [`backward`](Self::backward) needs if that has no graph. `keys`
    /// of the views.
    pub(super) fn online_pass(
        &self,
        views: &[&Tensor],
        keys: Vec<DropKey>,
    ) -> (Passed, Option<Again>) {
        let pass = || self.pass(&self.online, views, |first| Mode::Drop(keys[first]));
        if self.config.accumulate == Accumulate::Off {
            return (pass(), None);
        }
        let passed = no_grad(pass);
        let projections = passed.projections.set_requires_grad(true);
        let predictions = passed.predictions.set_requires_grad(true);
        let again = Again {
            views: views.iter().map(|view| view.shallow_clone()).collect(),
            keys,
            projections: projections.shallow_clone(),
            predictions: predictions.shallow_clone(),
        };
        (Passed { features: passed.features, projections, predictions }, Some(again))
    }

    /// Adds the gradients of the loss to those of the parameters. Call it once, before the weights change.
    ///
    /// # Panics
    /// Where libtorch refuses an operation (see [`guard`](crate::guard())).
    pub fn backward(&self, output: &StepOutput) {
        output.loss.backward();
        let Some(again) = &output.again else { return };
        let views: Vec<&Tensor> = again.views.iter().collect();
        let (mut first, mut row) = (0, 0);
        for length in parts(&views, self.config.accumulate) {
            let key = again.keys[first];
            let part = &views[first..first + length];
            let Passed { projections, predictions, .. } =
                self.pass(&self.online, part, |_| Mode::Again(key));
            let rows = predictions.size()[0];
            let product = |x: &Tensor, leaf: &Tensor| {
                // Projections that the groups do not pass a gradient to have none.
                let gradient = leaf.grad();
                let gradient = gradient.defined().then(|| gradient.narrow(0, row, rows));
                gradient.map(|gradient| (x * gradient).sum(x.kind()))
            };
            [(&projections, &again.projections), (&predictions, &again.predictions)]
                .into_iter()
                .filter_map(|(x, leaf)| product(x, leaf))
                .reduce(|a, b| a + b)
                .expect("the loss depends on the predictions")
                .backward();
            first += length;
            row += rows;
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::config::{Arch, Direction, EncoderConfig, GroupsConfig, ModelConfig};
    use crate::golden::{pattern, to_double};
    use crate::smog::Precision;

    const SIDES: [i64; 4] = [16, 16, 8, 8];

    fn config() -> ModelConfig {
        ModelConfig {
            encoder: EncoderConfig { width: 4, ..EncoderConfig::default() },
            projector_hidden: 16,
            predictor_hidden: 16,
            dim: 8,
            groups: GroupsConfig { count: 12, beta: 0.5, ..GroupsConfig::default() },
            ..ModelConfig::default()
        }
    }

    /// Gradients and all that a checkpoint holds, after forward and backward pass.
    fn run(
        config: &ModelConfig,
        accumulate: Accumulate,
        precision: Precision,
        sides: &[i64],
    ) -> [Vec<Tensor>; 2] {
        let config = ModelConfig { accumulate, ..config.clone() };
        let mut model = SmogModel::new(&config, 1, Device::Cpu).unwrap();
        model.set_precision(precision);
        let mut kind = Kind::Float;
        if precision == Precision::F32 {
            kind = Kind::Double;
            to_double(&model.online);
            to_double(&model.momentum);
            model.groups = model.groups.to_kind(kind);
        }
        let views: Vec<_> = (0..)
            .zip(sides)
            .map(|(view, side)| {
                pattern(&format!("view{view}"), &[8, 3, *side, *side]).to_kind(kind)
            })
            .collect();
        let output = model.forward(&views, 2, 5);
        model.backward(&output);
        model.update_groups(&output);
        let gradients =
            model.parameters().iter().map(|parameter| parameter.tensor.grad()).collect();
        [gradients, model.state().into_iter().map(|(_, tensor)| tensor.copy()).collect()]
    }

    fn assert_same(found: &[Vec<Tensor>; 2], expected: &[Vec<Tensor>; 2], tolerance: f64) {
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            let difference = (found - expected).abs().max().double_value(&[]);
            let largest = expected.abs().max().double_value(&[]);
            assert!(difference <= tolerance * largest.max(1e-6), "{difference} beside {largest}");
        }
    }

    #[test]
    fn parts_of_one_resolution_give_the_gradients_and_statistics_of_the_whole_step() {
        let through = |grad_through_groups, direction| {
            let groups = GroupsConfig { grad_through_groups, ..config().groups };
            ModelConfig { groups, direction, ..config() }
        };
        let dropping = ModelConfig {
            encoder: EncoderConfig {
                arch: Arch::VitSmall,
                width: 64,
                patch: 4,
                image_size: 16,
                drop_path: 0.5,
                ..EncoderConfig::default()
            },
            ..config()
        };
        for config in [
            through(true, Direction::Both),
            through(false, Direction::Both),
            through(true, Direction::Alternate),
            dropping,
        ] {
            let whole = run(&config, Accumulate::Off, Precision::F32, &SIDES);
            let parts = run(&config, Accumulate::Resolution, Precision::F32, &SIDES);
            assert_same(&parts, &whole, 1e-9);
        }
    }

    #[test]
    fn views_of_different_sizes_are_the_same_one_by_one_and_equal_ones_have_statistics_of_their_own()
     {
        let off = |sides: &[i64]| run(&config(), Accumulate::Off, Precision::F32, sides);
        let view = |sides: &[i64]| run(&config(), Accumulate::View, Precision::F32, sides);
        assert_same(&view(&[16, 12, 8]), &off(&[16, 12, 8]), 1e-9);
        let (found, expected) = (view(&SIDES), off(&SIDES));
        assert!(found[0].iter().zip(&expected[0]).any(|(a, b)| !a.allclose(b, 1e-3, 1e-6, false)));
    }

    /// In bf16 both round, in another order: they may differ by less than bf16 itself differs from the exact gradient.
    #[test]
    fn bf16_part_by_part_differs_by_less_than_its_rounding() {
        let gradients = |accumulate, precision| {
            let [gradients, _] = run(&config(), accumulate, precision, &SIDES);
            let all: Vec<_> = gradients.iter().map(|tensor| tensor.reshape(-1)).collect();
            Tensor::cat(&all, 0).to_kind(Kind::Double)
        };
        let exact = gradients(Accumulate::Off, Precision::F32);
        let whole = gradients(Accumulate::Off, Precision::Bf16);
        let parts = gradients(Accumulate::Resolution, Precision::Bf16);
        let error = |a: &Tensor, b: &Tensor| ((a - b).norm() / exact.norm()).double_value(&[]);
        let (rounding, difference) = (error(&whole, &exact), error(&parts, &whole));
        assert!(difference < 0.5 * rounding, "{difference} beside {rounding}");
    }
}
