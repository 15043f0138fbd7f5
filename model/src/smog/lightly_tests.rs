//! Twenty steps, two of them with a reset, beside lightly's own modules (`tests/golden/lightly_steps.py`).

use std::collections::HashMap;

use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::SmogModel;
use crate::config::{EncoderConfig, GroupsConfig, ModelConfig};
use crate::draw::{Domain, Draw};
use crate::golden::{self, assert_close, pattern};
use crate::groups::{lengths, normalize};
use crate::kmeans::{self, KMeansSettings};
use crate::memory::FeatureMemory;
use crate::network::Network;
use crate::optim::{Optimizer, OptimizerConfig};

const BATCH: i64 = 16;
const DIM: i64 = 8;
const GROUPS: i64 = 12;
/// The memory holds f32 on both sides, and centroids made from it feed all later steps.
const TOLERANCE: f64 = 1e-5;

#[derive(Deserialize)]
struct Run {
    settings: Settings,
    parameters: Vec<String>,
    reset_every: i64,
    steps: Vec<Step>,
}

/// What the preset `lightly-compat` must agree with: a test of the trainer holds the two side by side.
#[derive(Deserialize)]
struct Settings {
    model: ModelConfig,
    optimizer: OptimizerConfig,
    schedule: Schedule,
    reset: Reset,
}

/// That nothing else of a schedule is at work, the trainer's test says.
#[derive(Deserialize)]
struct Schedule {
    lr_per_256: f64,
    momentum_start: f64,
}

#[derive(Deserialize)]
struct Reset {
    copy_to_momentum: bool,
    kmeans: KMeansSettings,
}

#[derive(Deserialize)]
struct Step {
    inertia: Option<f64>,
    loss: f64,
    targets: Vec<i64>,
    group_norms: Vec<f64>,
    groups: Vec<f64>,
    gradient_norms: Vec<f64>,
    gradients: HashMap<String, Vec<f64>>,
}

/// The run's model with a small network.
fn model(settings: &ModelConfig) -> SmogModel {
    let config = ModelConfig {
        encoder: EncoderConfig { width: 8, ..EncoderConfig::default() },
        projector_hidden: 24,
        predictor_hidden: 24,
        dim: DIM,
        groups: GroupsConfig { count: GROUPS, ..settings.groups },
        ..settings.clone()
    };
    let mut model = SmogModel::new(&config, 0, Device::Cpu).unwrap();
    model.online.load("online.", &golden::state(&model.online, "online.")).unwrap();
    model.copy_to_momentum();
    golden::to_double(&model.online);
    golden::to_double(&model.momentum);
    model.groups = normalize(&pattern("groups", &[GROUPS, DIM]).to_kind(Kind::Double));
    model
}

/// lightly's reset from the centroids that the script gives to scikit-learn: every n-th remembered feature.
fn reset(model: &mut SmogModel, memory: &FeatureMemory, settings: &Reset) -> f64 {
    let features = memory.features().to_kind(Kind::Double);
    let stride = memory.len() / GROUPS;
    let start = features.slice(0, 0, GROUPS * stride, stride);
    let mut draw = Draw::new(0, Domain::KMeans, [0; 5]);
    let (centroids, report) = kmeans::lloyd(&features, start, &settings.kmeans, &mut draw);
    assert_eq!(report.num_reseeded, 0, "the two libraries fill empty clusters differently");
    model.groups = normalize(&centroids);
    if settings.copy_to_momentum {
        model.copy_to_momentum();
    }
    report.inertia
}

#[test]
fn twenty_steps_are_those_of_lightly_s_own_modules() {
    let run = golden::read::<Run>("lightly_steps");
    let settings = &run.settings;
    let mut model = model(&settings.model);
    let names: Vec<_> = model.parameters().iter().map(|parameter| &*parameter.name).collect();
    assert_eq!(names, run.parameters);
    let mut optimizer = Optimizer::new(&settings.optimizer, model.parameters()).unwrap();
    let mut memory = FeatureMemory::new(run.reset_every * BATCH, DIM, Device::Cpu).unwrap();
    let mut inertia = None;
    assert_eq!(run.steps.len(), 20);
    for (number, step) in (0..).zip(&run.steps) {
        let what = |of: &str| format!("step {number}, {of}");
        match (inertia, step.inertia) {
            (Some(found), Some(expected)) => {
                assert_close(&Tensor::from(found), &[expected], TOLERANCE, &what("inertia"));
            }
            (found, expected) => assert_eq!(found, expected),
        }
        let view = |view| {
            pattern(&format!("step{number} view{view}"), &[BATCH, 3, 16, 16]).to_kind(Kind::Double)
        };
        let output = model.forward(&[view(0), view(1)], 2, number);
        optimizer.zero_grad(model.parameters());
        model.backward(&output);

        assert_close(&output.loss, &[step.loss], TOLERANCE, &what("loss"));
        let targets = Vec::<i64>::try_from(&output.group_stats.targets).unwrap();
        assert_eq!(targets, step.targets, "{}", what("targets"));
        let updated = &output.group_stats.updated;
        assert_close(&lengths(updated), &step.group_norms, TOLERANCE, &what("group norms"));
        assert_eq!(step.groups.len() as i64, GROUPS * DIM);
        assert_close(updated, &step.groups, TOLERANCE, &what("groups"));
        for (parameter, norm) in model.parameters().iter().zip(&step.gradient_norms) {
            let gradient = parameter.tensor.grad();
            let what = what(&parameter.name);
            assert_close(&gradient.norm(), &[*norm], TOLERANCE, &what);
            if let Some(values) = step.gradients.get(&parameter.name) {
                assert_close(&gradient, values, TOLERANCE, &what);
            }
        }

        optimizer.step(model.parameters(), settings.schedule.lr_per_256);
        model.update_groups(&output);
        memory.push(&output.projections);
        // lightly resets or averages at the start of the next step, which is the same place.
        inertia = None;
        if (number as i64 + 1) % run.reset_every == 0 {
            inertia = Some(reset(&mut model, &memory, &settings.reset));
        } else {
            model.update_momentum(settings.schedule.momentum_start);
        }
    }
}
