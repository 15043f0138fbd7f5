//! The model.

use std::collections::HashMap;

use serde::Serialize;
use tch::{Device, Tensor};

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::kmeans::KMeansSettings;
use crate::memory::FeatureMemory;
use crate::parameter::Parameter;
use crate::stats::GroupStats;

/// Online branch, momentum branch and groups.
#[derive(Debug)]
pub struct SmogModel {}

/// What one forward pass gives.
#[derive(Debug)]
pub struct StepOutput {
    /// The loss, a scalar with a graph behind it.
    pub loss: Tensor,
    /// Figures about the groups, computed when read.
    pub group_stats: GroupStats,
    /// Detached online projections of the large views, `[n * B, dim]`, not normalised: what the memory takes.
    pub projections: Tensor,
}

/// What a reset of the groups did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResetReport {
    /// Features in the memory.
    pub num_features: i64,
    /// Features that were clustered.
    pub num_clustered: i64,
    /// Passes made.
    pub num_passes: u32,
    /// Mean cosine between a feature and its centroid after the last pass.
    pub mean_cosine: f64,
    /// Members of the smallest and of the largest cluster after the last pass.
    pub smallest: i64,
    /// See `smallest`.
    pub largest: i64,
    /// Centroids that had run empty and were seeded anew, over all passes.
    pub num_reseeded: i64,
}

impl SmogModel {
    /// Weights and groups drawn from `seed`, the momentum branch a copy of the online one.
    ///
    /// # Errors
    /// [`ModelError::Config`]; [`ModelError::Torch`] where the device cannot be used.
    pub fn new(config: &ModelConfig, seed: u64, device: Device) -> Result<Self, ModelError> {
        let _ = (config, seed, device);
        todo!()
    }

    /// One pass over the views of a batch: each f32 NCHW `[B, 3, H, W]`, normalised, large ones first.
    pub fn forward(&mut self, views: &[Tensor], num_large: usize, step: u64) -> StepOutput {
        let _ = (views, num_large, step);
        todo!()
    }

    /// Stores the updated groups of this step.
    pub fn update_groups(&mut self, output: &StepOutput) {
        let _ = output;
        todo!()
    }

    /// Moves the momentum branch's parameters: `m` of the old, `1 - m` of the online ones.
    pub fn update_momentum(&mut self, m: f64) {
        let _ = m;
        todo!()
    }

    /// Sets the momentum branch's parameters to the online ones.
    pub fn copy_to_momentum(&mut self) {
        todo!()
    }

    /// Makes the groups anew from the memory by spherical k-means, with a start keyed by (seed, step).
    ///
    /// # Errors
    /// [`ModelError::TooFewFeatures`]: skip this reset. [`ModelError::NotFinite`]: the run has diverged.
    pub fn reset_groups(
        &mut self,
        memory: &FeatureMemory,
        settings: &KMeansSettings,
        seed: u64,
        step: u64,
    ) -> Result<ResetReport, ModelError> {
        let _ = (memory, settings, seed, step);
        todo!()
    }

    /// The trained parameters, always in the same order.
    pub fn parameters(&self) -> &[Parameter] {
        todo!()
    }

    /// The current group features `[K, dim]`.
    pub fn groups(&self) -> &Tensor {
        todo!()
    }

    /// The settings that it was made with.
    pub fn config(&self) -> &ModelConfig {
        todo!()
    }

    /// Where it lies.
    pub fn device(&self) -> Device {
        todo!()
    }

    /// All that a checkpoint needs: `online.*`, `momentum.*`, `groups`, `group_counts` (i64). The tensors share
    /// memory with the live ones: copy them before the next step.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        todo!()
    }

    /// Takes over a state. Checks every name and shape before it changes anything.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn load_state(&mut self, state: &HashMap<String, Tensor>) -> Result<(), ModelError> {
        let _ = state;
        todo!()
    }

    /// The online encoder's weights and buffers under torchvision's names (`conv1.weight`, ...), without `fc`.
    pub fn encoder_state(&self) -> Vec<(String, Tensor)> {
        todo!()
    }

    /// Features `[B, F]` of the online encoder in evaluation mode, without gradient.
    pub fn encode(&self, images: &Tensor) -> Tensor {
        let _ = images;
        todo!()
    }

    /// Online projections `[B, dim]` and the nearest group of each (i64 `[B]`), in evaluation mode.
    pub fn encode_groups(&self, images: &Tensor) -> (Tensor, Tensor) {
        let _ = images;
        todo!()
    }
}
