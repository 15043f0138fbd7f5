//! Projector and predictor: two-layer perceptrons with a batch norm and ReLU after the hidden layer.
//!
//! The projector's output passes a batch norm without scale and shift as well (a quotation of the paper says
//! that there is one; that it has no affine part is the known re-implementation's choice). The predictor's output
//! does not. Names are the positions in the same `nn.Sequential`: `0` linear, `1` norm, `3` linear, `4` norm.

use tch::Tensor;

use crate::layers::{BatchNorm, Linear, Mode};
use crate::network::{Builder, Leaf, Network};

/// A two-layer perceptron `[B, in]` to `[B, out]`.
#[derive(Debug)]
pub(crate) struct Head {
    hidden: Linear,
    hidden_norm: BatchNorm,
    output: Linear,
    output_norm: Option<BatchNorm>,
}

impl Head {
    /// Encoder features to projections.
    pub(crate) fn projector(builder: &mut Builder, inputs: i64, hidden: i64, outputs: i64) -> Self {
        Self {
            hidden: Linear::new(builder, inputs, hidden, false),
            hidden_norm: BatchNorm::new(builder, hidden),
            output: Linear::new(builder, hidden, outputs, false),
            output_norm: Some(BatchNorm::without_affine(builder, outputs)),
        }
    }

    /// Projections to predictions.
    pub(crate) fn predictor(builder: &mut Builder, dim: i64, hidden: i64) -> Self {
        Self {
            hidden: Linear::new(builder, dim, hidden, false),
            hidden_norm: BatchNorm::new(builder, hidden),
            output: Linear::new(builder, hidden, dim, true),
            output_norm: None,
        }
    }

    pub(crate) fn forward(&self, x: &Tensor, mode: Mode) -> Tensor {
        let hidden = self.hidden_norm.forward(&self.hidden.forward(x), mode).relu_();
        let output = self.output.forward(&hidden);
        match &self.output_norm {
            Some(norm) => norm.forward(&output, mode),
            None => output,
        }
    }
}

impl Network for Head {
    fn walk(&self, prefix: &str, see: &mut dyn FnMut(String, Leaf<'_>)) {
        self.hidden.walk(&format!("{prefix}0."), see);
        self.hidden_norm.walk(&format!("{prefix}1."), see);
        self.output.walk(&format!("{prefix}3."), see);
        if let Some(norm) = &self.output_norm {
            norm.walk(&format!("{prefix}4."), see);
        }
    }
}
