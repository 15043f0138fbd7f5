//! The model: online branch, momentum branch and groups.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, no_grad};

use crate::backbone::load_pretrained;
use crate::branch::Branch;
use crate::config::{Accumulate, ModelConfig};
use crate::encoder::DropKey;
use crate::error::ModelError;
use crate::guard::guard;
use crate::kmeans::{self, KMeansSettings, ResetReport};
use crate::layers::Mode;
use crate::memory::FeatureMemory;
use crate::network::{Builder, Network, average_parameters};
use crate::pairing::{Pairing, runs};
use crate::parameter::Parameter;
use crate::stats::GroupStats;
use crate::torch::Autocast;
use crate::{groups, loss, tensors};

mod accumulate;

const ONLINE: &str = "online.";
const MOMENTUM: &str = "momentum.";
const GROUPS: &str = "groups";
const GROUP_COUNTS: &str = "group_counts";

/// In what the networks of a step compute. Weights, moments, groups, loss and k-means are f32 in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// Convolutions and products in bfloat16, the rest as PyTorch's autocast has it.
    Bf16,
}

/// Online branch, momentum branch and groups.
///
/// One step is: [`forward`](Self::forward), [`backward`](Self::backward), optimiser step by the caller,
/// [`update_groups`](Self::update_groups), [`update_momentum`](Self::update_momentum).
#[derive(Debug)]
pub struct SmogModel {
    config: ModelConfig,
    seed: u64,
    device: Device,
    precision: Precision,
    online: Branch,
    momentum: Branch,
    parameters: Vec<Parameter>,
    momentum_parameters: Vec<Parameter>,
    groups: Tensor,
    group_counts: Tensor,
}

/// Which of the two encoders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncoderBranch {
    /// The trained one.
    #[default]
    Online,
    /// Its moving average.
    Momentum,
}

impl EncoderBranch {
    /// What the names of its tensors begin with in [`SmogModel::state`].
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Online => "online.encoder.",
            Self::Momentum => "momentum.encoder.",
        }
    }
}

/// What one forward pass gives.
#[derive(Debug)]
pub struct StepOutput {
    /// The loss, a scalar with a graph behind it: see [`SmogModel::backward`].
    pub loss: Tensor,
    /// Figures about the groups, computed when read.
    pub group_stats: GroupStats,
    /// Detached online projections of the large views, `[n * B, dim]`, not normalised: what the memory takes.
    pub projections: Tensor,
    again: Option<accumulate::Again>,
}

impl SmogModel {
    /// Weights drawn from `seed` (on the host: the same on every device), the momentum branch a copy of the online
    /// one, groups random directions.
    ///
    /// # Errors
    /// [`ModelError::Config`]; [`ModelError::Torch`] where the device cannot be used.
    pub fn new(config: &ModelConfig, seed: u64, device: Device) -> Result<Self, ModelError> {
        config.validate()?;
        guard(|| {
            let online = Branch::new(&mut Builder::online(seed, device), config, true);
            let momentum =
                Branch::new(&mut Builder::momentum(device), config, config.momentum_predictor);
            let first = groups::first(&config.groups, config.dim, seed);
            let parameters = online.parameters("");
            let momentum_parameters = momentum.parameters("");
            let mut model = Self {
                config: config.clone(),
                seed,
                device,
                precision: Precision::F32,
                online,
                momentum,
                parameters,
                momentum_parameters,
                groups: first.to_device(device),
                group_counts: Tensor::zeros([config.groups.count], (Kind::Int64, device)),
            };
            model.copy_to_momentum();
            model
        })
    }

    /// One pass over the views of a batch: each f32 NCHW `[B, 3, H, W]`, normalised, the `num_large` large ones
    /// first. `step` turns [`Direction::Alternate`](crate::Direction) and keys what drop path leaves out.
    ///
    /// Targets are assigned with the groups as they were, the logits are taken against the groups after this step's
    /// update, which [`update_groups`](Self::update_groups) then stores. Views of one size pass each branch as one
    /// batch.
    ///
    /// # Panics
    /// Where libtorch refuses an operation (see [`guard()`]) or the views make no pair
    /// ([`ModelConfig::check_views`]).
    pub fn forward(&mut self, views: &[Tensor], num_large: usize, step: u64) -> StepOutput {
        let pairing = Pairing::new(self.config.direction, views.len(), num_large, step);
        let settings = &self.config.groups;

        let directions = groups::normalize(&self.groups);
        let targets = no_grad(|| {
            let views = select(views, &pairing.targets);
            let passed = self.pass(&self.momentum, &views, |_| Mode::Train);
            groups::assign(&passed.predictions, &directions)
        });
        let key = |&view: &usize| DropKey { seed: self.seed, step, view: view as u32 };
        let keys = pairing.online.iter().map(key).collect();
        let (Passed { features, projections, predictions }, again) =
            self.online_pass(&select(views, &pairing.online), keys);

        let num_members = pairing.num_members as i64 * views[0].size()[0];
        let members = projections.narrow(0, 0, num_members);
        let assignment = groups::assign(&members, &directions);
        let update = groups::update(&self.groups, &members, &assignment, settings);
        let logits = loss::logits(&predictions, &update.groups, settings);
        let loss = loss::cross_entropy(&logits, &targets, &pairing);

        let projections = members.detach();
        StepOutput {
            loss,
            group_stats: GroupStats {
                pairing,
                assignment,
                targets,
                counts_since_reset: &self.group_counts + &update.counts,
                counts: update.counts,
                features: features.detach(),
                projections: projections.shallow_clone(),
                updated: update.groups.detach(),
            },
            projections,
            again,
        }
    }

    /// Stores the updated groups of this step and counts its members.
    pub fn update_groups(&mut self, output: &StepOutput) {
        let stats = &output.group_stats;
        self.groups = if self.config.groups.renormalize_groups {
            groups::normalize(&stats.updated)
        } else {
            stats.updated.shallow_clone()
        };
        self.group_counts = stats.counts_since_reset.shallow_clone();
    }

    /// Moves the momentum branch's parameters: `m` of the old ones, `1 - m` of the online ones. Its running
    /// statistics come from its own forward passes.
    pub fn update_momentum(&mut self, m: f64) {
        average_parameters(&self.parameters, &self.momentum_parameters, m);
    }

    /// Makes the momentum branch an exact copy of the online one: parameters, running statistics and counters.
    pub fn copy_to_momentum(&mut self) {
        let state = self.online.state("").into_iter().collect();
        self.momentum.load("", &state).expect("both branches come from one configuration");
    }

    /// Makes the groups anew from the memory by k-means, with a start keyed by (seed, step). Leaves the
    /// momentum branch alone.
    ///
    /// # Errors
    /// [`ModelError::TooFewFeatures`]: skip this reset. [`ModelError::NotFinite`]: the run has diverged. The groups
    /// stay as they were in both cases.
    pub fn reset_groups(
        &mut self,
        memory: &FeatureMemory,
        settings: &KMeansSettings,
        seed: u64,
        step: u64,
    ) -> Result<ResetReport, ModelError> {
        let num_groups = self.config.groups.count;
        let (centroids, report) =
            kmeans::cluster(&memory.features(), num_groups, settings, seed, step)?;
        self.groups = groups::normalize(&centroids);
        self.group_counts = self.group_counts.zeros_like();
        Ok(report)
    }

    /// Computes the networks of later steps in `precision`; evaluation stays in f32.
    pub fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
    }

    /// [`pass`] in the precision of the model. Projections and predictions come out as f32.
    fn pass(&self, branch: &Branch, views: &[&Tensor], mode: impl Fn(usize) -> Mode) -> Passed {
        let parts = parts(views, self.config.accumulate);
        if self.precision == Precision::F32 {
            return pass(branch, views, parts, mode);
        }
        let passed = {
            let _autocast = Autocast::bf16(self.device);
            pass(branch, views, parts, mode)
        };
        Passed {
            projections: passed.projections.to_kind(Kind::Float),
            predictions: passed.predictions.to_kind(Kind::Float),
            ..passed
        }
    }

    /// The trained parameters, always in the same order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The current group features `[K, dim]`.
    pub fn groups(&self) -> &Tensor {
        &self.groups
    }

    /// The settings that it was made with.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Where it lies.
    pub fn device(&self) -> Device {
        self.device
    }

    /// All that a checkpoint needs: `online.*`, `momentum.*`, `groups`, `group_counts` (i64; so are the
    /// `num_batches_tracked`). The tensors share memory with the live ones: copy them before the next step.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let mut all = self.online.state(ONLINE);
        all.extend(self.momentum.state(MOMENTUM));
        all.push((GROUPS.to_owned(), self.groups.shallow_clone()));
        all.push((GROUP_COUNTS.to_owned(), self.group_counts.shallow_clone()));
        all
    }

    /// Takes over a state. Checks every name and shape before it changes anything; names it does not know are
    /// left aside.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<(), ModelError> {
        self.online.check(ONLINE, state)?;
        self.momentum.check(MOMENTUM, state)?;
        tensors::check(&self.groups, state, GROUPS)?;
        tensors::check(&self.group_counts, state, GROUP_COUNTS)?;
        self.online.load(ONLINE, state)?;
        self.momentum.load(MOMENTUM, state)?;
        tensors::load(&self.groups, state, GROUPS)?;
        tensors::load(&self.group_counts, state, GROUP_COUNTS)
    }

    /// Begins with the encoder of a file, in both branches, and gives the names of tensors that were left out.
    ///
    /// # Errors
    /// A tensor is missing, has another shape, or belongs to another network; nothing is changed then.
    pub fn load_encoder(
        &mut self,
        state: HashMap<String, Tensor>,
    ) -> Result<Vec<String>, ModelError> {
        let left_out = load_pretrained(&self.online.encoder, state)?;
        self.copy_to_momentum();
        Ok(left_out)
    }

    /// Features `[B, F]` of the online encoder in evaluation mode, without gradient.
    pub fn encode(&self, images: &Tensor) -> Tensor {
        no_grad(|| self.online.encoder.forward(images, Mode::Eval))
    }

    /// Projections `[B, dim]` of a branch and the nearest group of each (i64 `[B]`), in evaluation mode.
    pub fn encode_groups(&self, images: &Tensor, branch: EncoderBranch) -> (Tensor, Tensor) {
        let branch = match branch {
            EncoderBranch::Online => &self.online,
            EncoderBranch::Momentum => &self.momentum,
        };
        let projections = no_grad(|| branch.project(images, Mode::Eval));
        let nearest = groups::assign(&projections, &groups::normalize(&self.groups));
        (projections, nearest)
    }
}

fn select<'a>(views: &'a [Tensor], indices: &[usize]) -> Vec<&'a Tensor> {
    indices.iter().map(|&index| &views[index]).collect()
}

/// Lengths of the parts of neighbouring views that pass a branch as one batch.
fn parts(views: &[&Tensor], accumulate: Accumulate) -> Vec<usize> {
    match accumulate {
        Accumulate::Off | Accumulate::Resolution => runs(views),
        Accumulate::View => vec![1; views.len()],
    }
}

/// What a branch makes of views.
struct Passed {
    /// Of the encoder, for the views of the first part.
    features: Tensor,
    /// `[V * B, dim]` in the order of the views.
    projections: Tensor,
    /// As the projections.
    predictions: Tensor,
}

/// Passes the views through a branch. `mode` of the number of the first view of each part.
fn pass(
    branch: &Branch,
    views: &[&Tensor],
    parts: Vec<usize>,
    mode: impl Fn(usize) -> Mode,
) -> Passed {
    let mut rest = views;
    let mut features = None;
    let mut projections = Vec::new();
    let mut predictions = Vec::new();
    for length in parts {
        let mode = mode(views.len() - rest.len());
        let (part, later) = rest.split_at(length);
        rest = later;
        let encoded = branch.encoder.forward(&join(part), mode);
        let projected = branch.projector.forward(&encoded, mode);
        features.get_or_insert(encoded);
        predictions.push(branch.predict(&projected, mode));
        projections.push(projected);
    }
    Passed {
        features: features.unwrap_or_default(),
        projections: join(&projections.iter().collect::<Vec<_>>()),
        predictions: join(&predictions.iter().collect::<Vec<_>>()),
    }
}

/// The rows of all tensors; no copy of a single one.
fn join(parts: &[&Tensor]) -> Tensor {
    match parts {
        [only] => only.shallow_clone(),
        _ => Tensor::cat(parts, 0),
    }
}

#[cfg(test)]
mod lightly_tests;
#[cfg(test)]
mod tests;
