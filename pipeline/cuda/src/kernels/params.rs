//! What the kernels are told, as they read it: `kernels/params.h` in Rust. A test compares every offset with what the
//! C++ compiler made of it.

use bytemuck::{Pod, Zeroable};

/// Launches of a batch, in their order.
pub(crate) const NUM_STAGES: usize = 6;
/// Names of the kernels, by stage.
pub(crate) const KERNELS: [&str; NUM_STAGES] = [
    "smog_weights",
    "smog_lines",
    "smog_resample",
    "smog_colour",
    "smog_blur_rows",
    "smog_blur_columns",
];
pub(crate) const WEIGHTS: usize = 0;
pub(crate) const LINES: usize = 1;
pub(crate) const RESAMPLE: usize = 2;
pub(crate) const COLOUR: usize = 3;
pub(crate) const BLUR_ROWS: usize = 4;
pub(crate) const BLUR_COLUMNS: usize = 5;

/// Threads of a block.
pub(crate) const THREADS: u32 = 256;
/// Items of a tile: pixels, or outputs of a filter.
pub(crate) const PIXELS_PER_TILE: u32 = 1024;
pub(crate) const OUTPUTS_PER_TILE: u32 = 128;

pub(crate) const FLIP: u32 = 1;
pub(crate) const GRAY: u32 = 2;
pub(crate) const BLUR: u32 = 4;
pub(crate) const SOLARIZE: u32 = 8;
pub(crate) const TWO_PASSES: u32 = 16;
pub(crate) const NEEDS_MEAN: u32 = 32;

pub(crate) const BRIGHTNESS: u32 = 0;
pub(crate) const CONTRAST: u32 = 1;
pub(crate) const SATURATION: u32 = 2;
pub(crate) const HUE: u32 = 3;

/// Source pixels of one output; only its size counts here.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct AxisParams {
    pub(crate) start: f64,
    pub(crate) length: f64,
    pub(crate) spans: u64,
    pub(crate) weights: u64,
    pub(crate) limit: u32,
    pub(crate) taps: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blend {
    pub(crate) multiplier: u32,
    pub(crate) frac: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) source: u64,
    pub(crate) step_x: i64,
    pub(crate) step_y: i64,
    pub(crate) out: u64,
    pub(crate) lines: u64,
    pub(crate) blurred: u64,
    pub(crate) blur_weights: u64,
    pub(crate) columns: AxisParams,
    pub(crate) rows: AxisParams,
    pub(crate) lines_first: u32,
    pub(crate) lines_width: u32,
    pub(crate) side: u32,
    pub(crate) flags: u32,
    pub(crate) num_ops: u32,
    pub(crate) num_before_mean: u32,
    pub(crate) ops: u32,
    pub(crate) brightness: Blend,
    pub(crate) contrast: Blend,
    pub(crate) contrast_rest: f32,
    pub(crate) saturation: Blend,
    pub(crate) saturation_rest: u32,
    pub(crate) away_from_gray: u32,
    pub(crate) hue: i32,
    pub(crate) threshold: u32,
    pub(crate) radius: u32,
    pub(crate) first_tile: [u32; NUM_STAGES],
    pub(crate) unused: u32,
}

/// The argument of every kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) views: u64,
    pub(crate) luma: u64,
    pub(crate) num_views: u32,
    pub(crate) bf16: u32,
    pub(crate) scale: [f32; 3],
    pub(crate) shift: [f32; 3],
    pub(crate) num_tiles: [u32; NUM_STAGES],
}

// SAFETY: all fields are numbers, for which all zeros is a value.
unsafe impl Zeroable for View {}
// SAFETY: `repr(C)` of numbers; `unused` fills what would be padding, which the test of the layout adds up.
unsafe impl Pod for View {}
// SAFETY: `repr(C)` of numbers, laid out as the struct that the kernels take by value (test of the layout).
unsafe impl cudarc::driver::DeviceRepr for Batch {}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;
    use crate::kernels::oracle;

    /// In the order of `smog_oracle_layout`.
    #[test]
    fn the_compiler_of_the_kernels_sees_the_same_layout_and_constants() {
        let expected = [
            [size_of::<Span>(), offset_of!(Span, first), offset_of!(Span, count)].to_vec(),
            [size_of::<AxisParams>(), offset_of!(AxisParams, start)].to_vec(),
            [offset_of!(AxisParams, length), offset_of!(AxisParams, spans)].to_vec(),
            [offset_of!(AxisParams, weights), offset_of!(AxisParams, limit)].to_vec(),
            [offset_of!(AxisParams, taps), size_of::<Blend>()].to_vec(),
            [offset_of!(Blend, multiplier), offset_of!(Blend, frac)].to_vec(),
            [size_of::<View>(), offset_of!(View, source), offset_of!(View, step_x)].to_vec(),
            [offset_of!(View, step_y), offset_of!(View, out), offset_of!(View, lines)].to_vec(),
            [offset_of!(View, blurred), offset_of!(View, blur_weights)].to_vec(),
            [offset_of!(View, columns), offset_of!(View, rows)].to_vec(),
            [offset_of!(View, lines_first), offset_of!(View, lines_width)].to_vec(),
            [offset_of!(View, side), offset_of!(View, flags), offset_of!(View, num_ops)].to_vec(),
            [offset_of!(View, num_before_mean), offset_of!(View, ops)].to_vec(),
            [offset_of!(View, brightness), offset_of!(View, contrast)].to_vec(),
            [offset_of!(View, contrast_rest), offset_of!(View, saturation)].to_vec(),
            [offset_of!(View, saturation_rest), offset_of!(View, away_from_gray)].to_vec(),
            [offset_of!(View, hue), offset_of!(View, threshold)].to_vec(),
            [offset_of!(View, radius), offset_of!(View, first_tile)].to_vec(),
            [size_of::<Batch>(), offset_of!(Batch, views), offset_of!(Batch, luma)].to_vec(),
            [offset_of!(Batch, num_views), offset_of!(Batch, bf16)].to_vec(),
            [offset_of!(Batch, scale), offset_of!(Batch, shift)].to_vec(),
            [offset_of!(Batch, num_tiles), NUM_STAGES, THREADS as usize].to_vec(),
            [PIXELS_PER_TILE as usize, OUTPUTS_PER_TILE as usize].to_vec(),
            [FLIP, GRAY, BLUR, SOLARIZE, TWO_PASSES, NEEDS_MEAN].map(|flag| flag as usize).to_vec(),
            [BRIGHTNESS, CONTRAST, SATURATION, HUE].map(|op| op as usize).to_vec(),
        ];
        let expected: Vec<u32> = expected.concat().into_iter().map(|value| value as u32).collect();
        assert_eq!(oracle::layout(), expected);
        // Nothing but fields: what `Pod` promises.
        let fields = 7 * 8 + 2 * size_of::<AxisParams>() + 7 * 4 + 3 * size_of::<Blend>() + 6 * 4;
        assert_eq!(size_of::<View>(), fields + size_of::<[u32; NUM_STAGES]>() + 4);
    }
}
