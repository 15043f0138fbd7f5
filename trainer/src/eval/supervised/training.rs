//! What is trained: a classifier, and the encoder where the protocol says so.

use anyhow::{Result, bail};
use smog_model::optim::SgdConfig;
use smog_model::{LinearHead, Optimizer, OptimizerConfig, Parameter, guard};
use smog_pipeline::batch::HostBatch;
use tch::{Reduction, Tensor};

use super::protocol::Protocol;
use crate::checkpoint::Checkpoint;
use crate::images::Normalizer;
use crate::trained::Trained;

/// Spread of the classifier's first weights (SwAV).
const HEAD_STD: f64 = 0.01;
/// Label that no loss is taken of: PyTorch's number, and none of ours.
const IGNORED: i64 = -100;
const MODEL: &str = "model";
const ENCODER_OPTIMIZER: &str = "encoder_optimizer";
const HEAD_OPTIMIZER: &str = "optimizer";

/// What is trained, each part with its optimiser.
pub(super) struct Training {
    pub(super) head: LinearHead,
    /// Only where the encoder is trained.
    encoder: Option<(Vec<Parameter>, Optimizer)>,
    classifier: (Vec<Parameter>, Optimizer),
}

impl Training {
    pub(super) fn new(protocol: &Protocol, trained: &Trained, num_classes: i64) -> Result<Self> {
        let backbone = &trained.backbone;
        let dim = backbone.config().feature_dim();
        let head = LinearHead::new(dim, num_classes, HEAD_STD, protocol.seed, backbone.device())?;
        let config = OptimizerConfig::Sgd(SgdConfig {
            momentum: protocol.momentum,
            weight_decay: protocol.weight_decay,
            ..SgdConfig::default()
        });
        let optimizer = |parameters: Vec<Parameter>| -> Result<(Vec<Parameter>, Optimizer)> {
            let optimizer = Optimizer::new(&config, &parameters)?;
            Ok((parameters, optimizer))
        };
        let encoder =
            (!protocol.is_frozen).then(|| optimizer(backbone.parameters())).transpose()?;
        Ok(Self { encoder, classifier: optimizer(head.parameters())?, head })
    }

    /// One step; gives its loss.
    pub(super) fn step(
        &mut self,
        protocol: &Protocol,
        trained: &Trained,
        normalizer: &Normalizer,
        batch: HostBatch,
        (step, steps_per_epoch): (u64, u64),
    ) -> Result<Tensor> {
        let labels = labels(&batch, batch.len())?.to_device(trained.backbone.device());
        let factor = protocol.rate(step, steps_per_epoch);
        let (encoder_lr, head_lr) = protocol.rates();
        Ok(guard(|| {
            let images = normalizer.view(&batch, 0);
            drop(batch);
            let features = match self.encoder {
                Some(_) => trained.backbone.forward_train(&images),
                None => trained.backbone.encode(&images),
            };
            let loss = self.head.forward(&features).cross_entropy_loss::<Tensor>(
                &labels,
                None,
                Reduction::Mean,
                IGNORED,
                protocol.label_smoothing,
            );
            let encoder = self.encoder.as_mut().map(|part| (part, encoder_lr));
            let parts = [encoder, Some((&mut self.classifier, head_lr))];
            for (parameters, optimizer) in parts.iter().flatten().map(|(part, _)| &**part) {
                optimizer.zero_grad(parameters);
            }
            loss.backward();
            for ((parameters, optimizer), lr) in parts.into_iter().flatten() {
                optimizer.step(parameters, lr * factor);
            }
            loss.detach()
        })?)
    }

    /// All that a checkpoint needs. The encoder is a part of it only where it is trained.
    pub(super) fn parts(&self, trained: &Trained) -> Vec<(&'static str, Vec<(String, Tensor)>)> {
        let mut model = Vec::new();
        let mut parts = Vec::new();
        if let Some((_, optimizer)) = &self.encoder {
            model = trained.backbone.state();
            parts.push((ENCODER_OPTIMIZER, optimizer.state()));
        }
        let (parameters, optimizer) = &self.classifier;
        model.extend(parameters.iter().map(|p| (p.name.clone(), p.tensor.detach())));
        parts.push((HEAD_OPTIMIZER, optimizer.state()));
        parts.push((MODEL, model));
        parts
    }

    pub(super) fn load(&mut self, trained: &mut Trained, saved: &Checkpoint) -> Result<()> {
        let model = saved.tensors(MODEL)?;
        if let Some((_, optimizer)) = &mut self.encoder {
            guard(|| trained.backbone.load_state(&model, ""))??;
            optimizer.load_state(&saved.tensors(ENCODER_OPTIMIZER)?)?;
        }
        guard(|| self.head.load_state(&model))??;
        self.classifier.1.load_state(&saved.tensors(HEAD_OPTIMIZER)?)?;
        Ok(())
    }
}

/// Labels of the first rows of a batch.
pub(super) fn labels(batch: &HostBatch, rows: usize) -> Result<Tensor> {
    let labels = &batch.labels()[..rows];
    if let Some(row) = labels.iter().position(|&label| label < 0) {
        bail!(
            "sample {} has no label; this evaluation needs one of each",
            batch.keys()[row].sample.0
        );
    }
    Ok(Tensor::from_slice(labels))
}
