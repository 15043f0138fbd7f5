//! Attention within windows of patches, with a learned bias for each relative position.

use tch::{Device, Kind, Tensor};

use super::parts::{join_heads, split_heads};
use crate::device::upload;
use crate::layers::{Linear, TRANSFORMER_STD};
use crate::network::{Builder, Leaf, Network};

/// Patches along the side of a window.
pub(crate) const WINDOW: i64 = 7;
/// What keeps patches apart that a shift brought into one window, as in Swin's code.
const APART: f64 = -100.0;

/// How a grid of patches is cut into windows: filled up with zeros below and to the right to whole windows, then shifted
/// by half a window where the block asks for it and there is more than one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    rows: i64,
    columns: i64,
    /// Windows down and across.
    windows: [i64; 2],
    /// Patches by which rows and columns are shifted.
    shift: [i64; 2],
}

impl Cut {
    fn new(rows: i64, columns: i64, shifted: bool) -> Self {
        let windows = [rows, columns].map(|side| (side + WINDOW - 1) / WINDOW);
        let shift = windows.map(|count| if shifted && count > 1 { WINDOW / 2 } else { 0 });
        Self { rows, columns, windows, shift }
    }

    fn is_shifted(self) -> bool {
        self.shift != [0, 0]
    }

    /// `[B, rows, columns, C]` to `[B * windows, patches, C]`.
    fn partition(self, x: &Tensor) -> Tensor {
        let [down, across] = self.windows;
        let fill = [0, 0, 0, across * WINDOW - self.columns, 0, down * WINDOW - self.rows];
        let mut x = if fill == [0; 6] { x.shallow_clone() } else { x.constant_pad_nd(fill) };
        if self.is_shifted() {
            x = x.roll(self.shift.map(|shift| -shift), [1, 2]);
        }
        let channels = x.size()[3];
        x.reshape([-1, down, WINDOW, across, WINDOW, channels])
            .permute([0, 1, 3, 2, 4, 5])
            .reshape([-1, WINDOW * WINDOW, channels])
    }

    /// Undoes [`Cut::partition`].
    fn merge(self, windows: &Tensor) -> Tensor {
        let [down, across] = self.windows;
        let channels = windows.size()[2];
        let mut x = windows
            .view([-1, down, across, WINDOW, WINDOW, channels])
            .permute([0, 1, 3, 2, 4, 5])
            .reshape([-1, down * WINDOW, across * WINDOW, channels]);
        if self.is_shifted() {
            x = x.roll(self.shift, [1, 2]);
        }
        x.narrow(1, 0, self.rows).narrow(2, 0, self.columns)
    }

    /// `[windows, 1, patches, patches]`: [`APART`] for patches that come from different sides of the grid, else 0.
    fn mask(self, options: (Kind, Device)) -> Tensor {
        let regions = |count: i64, shift: i64| -> Vec<i64> {
            let side = count * WINDOW;
            let region = |at: i64| i64::from(at >= side - WINDOW) + i64::from(at >= side - shift);
            (0..side).map(|at| if shift == 0 { 0 } else { region(at) }).collect()
        };
        let down = regions(self.windows[0], self.shift[0]);
        let across = regions(self.windows[1], self.shift[1]);
        let both: Vec<i64> =
            down.iter().flat_map(|row| across.iter().map(move |column| 3 * row + column)).collect();
        let regions = upload(&Tensor::from_slice(&both), options.1)
            .view([self.windows[0], WINDOW, self.windows[1], WINDOW])
            .permute([0, 2, 1, 3])
            .reshape([-1, WINDOW * WINDOW]);
        let apart = regions.unsqueeze(1).ne_tensor(&regions.unsqueeze(2));
        (apart.to_kind(options.0) * APART).unsqueeze(1)
    }
}

/// Multi-head attention within windows.
#[derive(Debug)]
pub(crate) struct WindowAttention {
    num_heads: i64,
    shifted: bool,
    bias_table: Tensor,
    /// For each pair of a window's patches, its row of the table. Part of the state, as in torchvision.
    bias_index: Tensor,
    qkv: Linear,
    proj: Linear,
}

impl WindowAttention {
    pub(crate) fn new(builder: &mut Builder, size: i64, num_heads: i64, shifted: bool) -> Self {
        let distances = 2 * WINDOW - 1;
        let patches = || (0..WINDOW).flat_map(|row| (0..WINDOW).map(move |column| (row, column)));
        let index: Vec<i64> = patches()
            .flat_map(|from| {
                patches().map(move |to| {
                    (from.0 - to.0 + WINDOW - 1) * distances + from.1 - to.1 + WINDOW - 1
                })
            })
            .collect();
        Self {
            num_heads,
            shifted,
            bias_table: builder.normal(&[distances * distances, num_heads], TRANSFORMER_STD),
            bias_index: builder.indices(&index),
            qkv: Linear::normal(builder, size, 3 * size, true),
            proj: Linear::normal(builder, size, size, true),
        }
    }

    /// `[B, H, W, C]` to the same shape.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let [_, rows, columns, channels] = x.size()[..] else { unreachable!("[B, H, W, C]") };
        let cut = Cut::new(rows, columns, self.shifted);
        let windows = cut.partition(x);
        let [query, key, value] = split_heads(&self.qkv.forward(&windows), self.num_heads);
        let scale = (channels as f64 / self.num_heads as f64).powf(-0.5);
        let mut scores = (query * scale).matmul(&key.transpose(-2, -1)) + self.bias();
        if cut.is_shifted() {
            let shape = scores.size();
            let mask = cut.mask((scores.kind(), scores.device()));
            let [down, across] = cut.windows;
            let grouped = scores.view([-1, down * across, shape[1], shape[2], shape[3]]) + mask;
            scores = grouped.view(shape.as_slice());
        }
        let seen = scores.softmax(-1, scores.kind()).matmul(&value);
        cut.merge(&self.proj.forward(&join_heads(&seen)))
    }

    /// `[1, heads, patches, patches]`.
    fn bias(&self) -> Tensor {
        let patches = WINDOW * WINDOW;
        self.bias_table
            .index_select(0, &self.bias_index)
            .view([patches, patches, self.num_heads])
            .permute([2, 0, 1])
            .unsqueeze(0)
    }
}

impl Network for WindowAttention {
    fn walk(&self, prefix: &str, see: &mut dyn FnMut(String, Leaf<'_>)) {
        let table = Leaf::Parameter { tensor: &self.bias_table, decay: false };
        see(format!("{prefix}relative_position_bias_table"), table);
        see(format!("{prefix}relative_position_index"), Leaf::Buffer(&self.bias_index));
        self.qkv.walk(&format!("{prefix}qkv."), see);
        self.proj.walk(&format!("{prefix}proj."), see);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_put_together_again_are_the_grid() {
        for (rows, columns, shifted) in
            [(7, 7, true), (14, 21, true), (24, 6, true), (10, 9, false)]
        {
            let cut = Cut::new(rows, columns, shifted);
            let x = Tensor::rand([2, rows, columns, 3], (Kind::Float, Device::Cpu));
            assert_eq!(cut.merge(&cut.partition(&x)), x, "{cut:?}");
        }
        assert_eq!(Cut::new(7, 7, true).shift, [0, 0], "one window is not shifted");
        assert_eq!(Cut::new(24, 6, true).shift, [3, 0]);
    }
}
