//! Vision Transformers with timm's names, shapes and initial values (`vit_small_patch16_224`, `vit_base_patch16_224`,
//! `num_classes=0`): the feature is the class token behind the last norm.
//!
//! For a grid of patches of another size than the table of positions, the table is interpolated as timm does with
//! `dynamic_img_size`: bicubic with antialias, corners not aligned, the class token's position as it is.

use tch::Tensor;

use super::drop_path::DropPath;
use super::parts::{Mlp, PatchEmbed, join_heads, split_heads};
use crate::config::EncoderConfig;
use crate::layers::{LayerNorm, Linear, Mode, TRANSFORMER_STD};
use crate::network::{Builder, Leaf, Network};

const EPS: f64 = 1e-6;
const CLASS_TOKEN_STD: f64 = 1e-6;

/// A vision Transformer up to its class token.
#[derive(Debug)]
pub(crate) struct Vit {
    cls_token: Tensor,
    pos_embed: Tensor,
    /// Patches along a side of the table.
    grid: i64,
    patch_embed: PatchEmbed,
    blocks: Vec<Block>,
    norm: LayerNorm,
    drop_path: f64,
}

impl Vit {
    pub(crate) fn new(
        builder: &mut Builder,
        config: &EncoderConfig,
        num_blocks: usize,
        num_heads: i64,
    ) -> Self {
        let size = config.feature_dim();
        let patch = config.patch_size().expect("a vision Transformer has patches");
        let grid = config.image_size / patch;
        Self {
            cls_token: builder.normal(&[1, 1, size], CLASS_TOKEN_STD),
            pos_embed: builder.normal(&[1, 1 + grid * grid, size], TRANSFORMER_STD),
            grid,
            patch_embed: PatchEmbed::new(builder, patch, size),
            blocks: (0..num_blocks).map(|_| Block::new(builder, size, num_heads)).collect(),
            norm: LayerNorm::new(builder, size, EPS),
            drop_path: config.drop_path,
        }
    }

    /// Pictures `[B, 3, H, W]` to features `[B, F]`.
    pub(crate) fn forward(&self, images: &Tensor, mode: Mode) -> Tensor {
        let patches = self.patch_embed.forward(images);
        let [batch, rows, columns, _] = patches.size()[..] else { unreachable!("[B, H, W, C]") };
        let class = self.cls_token.expand([batch, -1, -1], false);
        let mut x = Tensor::cat(&[class, patches.flatten(1, 2)], 1) + self.positions(rows, columns);
        let drop = DropPath::new(self.drop_path, self.blocks.len(), batch, mode, x.device());
        for (number, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, &drop, number);
        }
        // Only the class token is looked at, and a norm is one of each token alone.
        self.norm.forward(&x.select(1, 0))
    }

    /// Positions `[1, 1 + rows * columns, C]`.
    fn positions(&self, rows: i64, columns: i64) -> Tensor {
        if (rows, columns) == (self.grid, self.grid) {
            return self.pos_embed.shallow_clone();
        }
        let class = self.pos_embed.narrow(1, 0, 1);
        let table = self.pos_embed.narrow(1, 1, self.grid * self.grid);
        let table = table.view([1, self.grid, self.grid, -1]).permute([0, 3, 1, 2]);
        let table =
            table.internal_upsample_bicubic2d_aa([rows, columns], false, None::<f64>, None::<f64>);
        Tensor::cat(&[class, table.flatten(2, 3).transpose(1, 2)], 1)
    }
}

impl Network for Vit {
    fn walk(&self, prefix: &str, see: &mut dyn FnMut(String, Leaf<'_>)) {
        let cls_token = Leaf::Parameter { tensor: &self.cls_token, decay: false };
        see(format!("{prefix}cls_token"), cls_token);
        let pos_embed = Leaf::Parameter { tensor: &self.pos_embed, decay: false };
        see(format!("{prefix}pos_embed"), pos_embed);
        self.patch_embed.walk(&format!("{prefix}patch_embed.proj."), see);
        for (number, block) in self.blocks.iter().enumerate() {
            block.walk(&format!("{prefix}blocks.{number}."), see);
        }
        self.norm.walk(&format!("{prefix}norm."), see);
    }
}

/// Attention and perceptron, each behind a norm and beside a shortcut.
#[derive(Debug)]
struct Block {
    num_heads: i64,
    norm1: LayerNorm,
    qkv: Linear,
    proj: Linear,
    norm2: LayerNorm,
    mlp: Mlp,
}

impl Block {
    fn new(builder: &mut Builder, size: i64, num_heads: i64) -> Self {
        Self {
            num_heads,
            norm1: LayerNorm::new(builder, size, EPS),
            qkv: Linear::normal(builder, size, 3 * size, true),
            proj: Linear::normal(builder, size, size, true),
            norm2: LayerNorm::new(builder, size, EPS),
            mlp: Mlp::new(builder, size, ["fc1", "fc2"]),
        }
    }

    fn forward(&self, x: &Tensor, drop: &DropPath, number: usize) -> Tensor {
        let x = drop.add(x, 2 * number, self.attend(&self.norm1.forward(x)));
        let branch = self.mlp.forward(&self.norm2.forward(&x));
        drop.add(&x, 2 * number + 1, branch)
    }

    fn attend(&self, x: &Tensor) -> Tensor {
        let [query, key, value] = split_heads(&self.qkv.forward(x), self.num_heads);
        let seen = Tensor::scaled_dot_product_attention(
            &query,
            &key,
            &value,
            None::<&Tensor>,
            0.0,
            false,
            None::<f64>,
            false,
        );
        self.proj.forward(&join_heads(&seen))
    }
}

impl Network for Block {
    fn walk(&self, prefix: &str, see: &mut dyn FnMut(String, Leaf<'_>)) {
        self.norm1.walk(&format!("{prefix}norm1."), see);
        self.qkv.walk(&format!("{prefix}attn.qkv."), see);
        self.proj.walk(&format!("{prefix}attn.proj."), see);
        self.norm2.walk(&format!("{prefix}norm2."), see);
        self.mlp.walk(&format!("{prefix}mlp."), see);
    }
}
