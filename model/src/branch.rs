//! One branch of the model: encoder, projector and, where it has one, predictor.

use tch::Tensor;

use crate::config::ModelConfig;
use crate::encoder::Encoder;
use crate::heads::Head;
use crate::layers::Mode;
use crate::network::{Builder, Leaf, Network};

/// Encoder f, projector g and predictor h.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) encoder: Encoder,
    pub(crate) projector: Head,
    pub(crate) predictor: Option<Head>,
}

impl Branch {
    pub(crate) fn new(builder: &mut Builder, config: &ModelConfig, predictor: bool) -> Self {
        let features = config.encoder.feature_dim();
        Self {
            encoder: Encoder::new(builder, &config.encoder),
            projector: Head::projector(builder, features, config.projector_hidden, config.dim),
            predictor: predictor
                .then(|| Head::predictor(builder, config.dim, config.predictor_hidden)),
        }
    }

    /// Projections g(f(x)) `[B, dim]`.
    pub(crate) fn project(&self, images: &Tensor, mode: Mode) -> Tensor {
        self.projector.forward(&self.encoder.forward(images, mode), mode)
    }

    /// Predictions h(v); projections themselves where the branch has no predictor.
    pub(crate) fn predict(&self, projections: &Tensor, mode: Mode) -> Tensor {
        match &self.predictor {
            Some(predictor) => predictor.forward(projections, mode),
            None => projections.shallow_clone(),
        }
    }
}

impl Network for Branch {
    fn walk(&self, prefix: &str, see: &mut dyn FnMut(String, Leaf<'_>)) {
        self.encoder.walk(&format!("{prefix}encoder."), see);
        self.projector.walk(&format!("{prefix}projector."), see);
        if let Some(predictor) = &self.predictor {
            predictor.walk(&format!("{prefix}predictor."), see);
        }
    }
}
