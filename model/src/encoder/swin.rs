//! Swin Transformers with torchvision's names, shapes and initial values (`swin_t`, `swin_s`), without the classifier
//! `head`: the feature is the mean over the patches behind the last norm.

use tch::{Kind, Tensor};

use super::drop_path::DropPath;
use super::parts::{Mlp, PatchEmbed};
use super::window::WindowAttention;
use crate::config::EncoderConfig;
use crate::layers::{LayerNorm, Linear, Mode};
use crate::network::{Builder, Leaf, Network};

const EPS: f64 = 1e-5;

/// A Swin Transformer up to its pooled features.
#[derive(Debug)]
pub(crate) struct Swin {
    patch_embed: PatchEmbed,
    patch_norm: LayerNorm,
    stages: Vec<Stage>,
    norm: LayerNorm,
    drop_path: f64,
}

/// Blocks of one resolution.
#[derive(Debug)]
struct Stage {
    blocks: Vec<Block>,
    /// Behind all stages but the last.
    merging: Option<PatchMerging>,
}

impl Swin {
    pub(crate) fn new(
        builder: &mut Builder,
        config: &EncoderConfig,
        num_blocks: [usize; 4],
        num_heads: i64,
    ) -> Self {
        let patch = config.patch_size().expect("a Swin Transformer has patches");
        let mut size = config.feature_dim() / 8;
        let mut num_heads = num_heads;
        let patch_embed = PatchEmbed::new(builder, patch, size);
        let patch_norm = LayerNorm::new(builder, size, EPS);
        let mut stages = Vec::with_capacity(num_blocks.len());
        for (stage, count) in (1..).zip(num_blocks) {
            let blocks =
                (0..count).map(|number| Block::new(builder, size, num_heads, number % 2 == 1));
            let blocks = blocks.collect();
            let merging = (stage < num_blocks.len()).then(|| PatchMerging::new(builder, size));
            stages.push(Stage { blocks, merging });
            if stage < num_blocks.len() {
                size *= 2;
                num_heads *= 2;
            }
        }
        let norm = LayerNorm::new(builder, size, EPS);
        Self { patch_embed, patch_norm, stages, norm, drop_path: config.drop_path }
    }

    /// Pictures `[B, 3, H, W]` to features `[B, F]`.
    pub(crate) fn forward(&self, images: &Tensor, mode: Mode) -> Tensor {
        let mut x = self.patch_norm.forward(&self.patch_embed.forward(images));
        let num_blocks = self.stages.iter().map(|stage| stage.blocks.len()).sum();
        let drop = DropPath::new(self.drop_path, num_blocks, x.size()[0], mode, x.device());
        let mut number = 0;
        for stage in &self.stages {
            for block in &stage.blocks {
                x = block.forward(&x, &drop, number);
                number += 1;
            }
            if let Some(merging) = &stage.merging {
                x = merging.forward(&x);
            }
        }
        self.norm.forward(&x).mean_dim([1i64, 2].as_slice(), false, None::<Kind>)
    }
}

impl Network for Swin {
    fn walk(&self, prefix: &str, see: &mut dyn FnMut(String, Leaf<'_>)) {
        self.patch_embed.walk(&format!("{prefix}features.0.0."), see);
        self.patch_norm.walk(&format!("{prefix}features.0.2."), see);
        for (stage, Stage { blocks, merging }) in self.stages.iter().enumerate() {
            for (number, block) in blocks.iter().enumerate() {
                block.walk(&format!("{prefix}features.{}.{number}.", 2 * stage + 1), see);
            }
            if let Some(merging) = merging {
                merging.walk(&format!("{prefix}features.{}.", 2 * stage + 2), see);
            }
        }
        self.norm.walk(&format!("{prefix}norm."), see);
    }
}

/// Window attention and perceptron, each behind a norm and beside a shortcut.
#[derive(Debug)]
struct Block {
    norm1: LayerNorm,
    attention: WindowAttention,
    norm2: LayerNorm,
    mlp: Mlp,
}

impl Block {
    fn new(builder: &mut Builder, size: i64, num_heads: i64, shifted: bool) -> Self {
        Self {
            norm1: LayerNorm::new(builder, size, EPS),
            attention: WindowAttention::new(builder, size, num_heads, shifted),
            norm2: LayerNorm::new(builder, size, EPS),
            mlp: Mlp::new(builder, size, ["0", "3"]),
        }
    }

    fn forward(&self, x: &Tensor, drop: &DropPath, number: usize) -> Tensor {
        let branch = self.attention.forward(&self.norm1.forward(x));
        let x = drop.add(x, 2 * number, branch);
        let branch = self.mlp.forward(&self.norm2.forward(&x));
        drop.add(&x, 2 * number + 1, branch)
    }
}

impl Network for Block {
    fn walk(&self, prefix: &str, see: &mut dyn FnMut(String, Leaf<'_>)) {
        self.norm1.walk(&format!("{prefix}norm1."), see);
        self.attention.walk(&format!("{prefix}attn."), see);
        self.norm2.walk(&format!("{prefix}norm2."), see);
        self.mlp.walk(&format!("{prefix}mlp."), see);
    }
}

/// Joins 2 x 2 patches into one of twice the channels.
#[derive(Debug)]
struct PatchMerging {
    reduction: Linear,
    norm: LayerNorm,
}

impl PatchMerging {
    fn new(builder: &mut Builder, size: i64) -> Self {
        Self {
            reduction: Linear::normal(builder, 4 * size, 2 * size, false),
            norm: LayerNorm::new(builder, 4 * size, EPS),
        }
    }

    /// `[B, H, W, C]` to `[B, H / 2, W / 2, 2 C]`; an odd side is filled up with zeros.
    fn forward(&self, x: &Tensor) -> Tensor {
        let [_, rows, columns, _] = x.size()[..] else { unreachable!("[B, H, W, C]") };
        let fill = [0, 0, 0, columns % 2, 0, rows % 2];
        let x = if fill == [0; 6] { x.shallow_clone() } else { x.constant_pad_nd(fill) };
        let every = |row, column| x.slice(1, row, None, 2).slice(2, column, None, 2);
        let joined = Tensor::cat(&[every(0, 0), every(1, 0), every(0, 1), every(1, 1)], -1);
        self.reduction.forward(&self.norm.forward(&joined))
    }
}

impl Network for PatchMerging {
    fn walk(&self, prefix: &str, see: &mut dyn FnMut(String, Leaf<'_>)) {
        self.reduction.walk(&format!("{prefix}reduction."), see);
        self.norm.walk(&format!("{prefix}norm."), see);
    }
}
