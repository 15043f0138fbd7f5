//! From tasks to parameters: everything that can be computed of a plan before pixels are touched, by the code of the
//! CPU renderer, and where in scratch memory each view works.

use std::mem::size_of;

use smog_pipeline::augment::fixed::{
    Axis, COLUMN_UNIT, CropAxes, Factor, ROW_UNIT, blur_weights_into, hue_shift,
};
use smog_pipeline::augment::{CropBox, JitterOp, JitterPlan};
use smog_pipeline::codec::Orientation;

use crate::CudaError;
use crate::kernels::params::{
    AxisParams, BLUR, BLUR_COLUMNS, BLUR_ROWS, BRIGHTNESS, Batch, Blend, COLOUR, CONTRAST, FLIP,
    GRAY, HUE, LINES, NEEDS_MEAN, NUM_STAGES, OUTPUTS_PER_TILE, PIXELS_PER_TILE, RESAMPLE,
    SATURATION, SOLARIZE, Span, TWO_PASSES, View, WEIGHTS,
};
use crate::kernels::task::{Normalize, PixelKind, Surface, ViewTask};

/// From so many source pixels per pixel of the view on, columns are weighed once for all pixels that need them, in a
/// launch of their own, so that cost grows with the box and not with its square. Fewer are cheaper weighed again than
/// written and read. A guess to be measured.
const TWO_PASSES_FROM: usize = 64;
/// Scratch memory for the tables of one view, whose image may have 65,535 pixels a side.
const TABLE_BYTES: usize = 2 << 20;
/// Every part of scratch memory begins at a multiple.
const ALIGNMENT: u64 = 16;

/// Where parameters and scratch memory lie for the kernels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Address to which views, and behind them the blur's weights, are copied.
    pub(crate) params: u64,
    /// Address of scratch memory.
    pub(crate) scratch: u64,
    pub(crate) scratch_bytes: u64,
    pub(crate) max_views: usize,
    pub(crate) max_side: u32,
}

impl Memory {
    /// Scratch memory without which a batch of views of `max_side` could not be made.
    pub(crate) fn least_scratch(max_views: usize, max_side: u32) -> usize {
        let side = max_side as usize;
        max_views * size_of::<u32>() + 6 * side * side + TABLE_BYTES
    }

    /// Bytes of parameters at most.
    pub(crate) fn params_bytes(max_views: usize, max_side: u32) -> usize {
        max_views * (size_of::<View>() + size_of::<u16>() * max_side as usize)
    }
}

/// Views that are launched together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) first: usize,
    pub(crate) num_views: usize,
    pub(crate) num_tiles: [u32; NUM_STAGES],
}

impl Group {
    /// What the kernels are told of the group: its place in `memory`, and what all views have in common.
    pub(crate) fn batch(&self, memory: &Memory, kind: PixelKind, normalize: Normalize) -> Batch {
        Batch {
            views: memory.params + (self.first * size_of::<View>()) as u64,
            luma: memory.scratch,
            num_views: self.num_views as u32,
            bf16: (kind == PixelKind::Bf16).into(),
            scale: normalize.scale,
            shift: normalize.shift,
            num_tiles: self.num_tiles,
        }
    }
}

/// A packed batch. Its buffers are kept from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    pub(crate) views: Vec<View>,
    pub(crate) blur_weights: Vec<u16>,
    pub(crate) groups: Vec<Group>,
    /// Of one view.
    weights: Vec<u16>,
}

impl Packed {
    /// Replaces what is there by `tasks`. A group is as many views as scratch memory has room for.
    pub(crate) fn pack(
        &mut self,
        tasks: &[ViewTask],
        kind: PixelKind,
        memory: &Memory,
    ) -> Result<(), CudaError> {
        self.views.clear();
        self.blur_weights.clear();
        self.groups.clear();
        if tasks.len() > memory.max_views {
            let expected =
                format!("at most {}, for which the workspace was made", memory.max_views);
            return Err(wrong("views", tasks.len(), expected));
        }
        let blur_weights = memory.params + (tasks.len() * size_of::<View>()) as u64;
        let sums = (memory.max_views * size_of::<u32>()) as u64;
        let begin = (memory.scratch + sums).next_multiple_of(ALIGNMENT);
        let end = memory.scratch + memory.scratch_bytes;
        let mut free = Free { at: begin, end };
        let mut group = Group { first: 0, num_views: 0, num_tiles: [0; NUM_STAGES] };
        for task in tasks {
            check(task, kind, memory.max_side)?;
            let mut view = view(task)?;
            if let Some(sigma) = task.plan.blur {
                blur_weights_into(sigma, task.plan.size as usize, &mut self.weights);
                view.radius = self.weights.len() as u32 - 1;
                if view.radius > 0 {
                    view.flags |= BLUR;
                    view.blur_weights =
                        blur_weights + (self.blur_weights.len() * size_of::<u16>()) as u64;
                    self.blur_weights.extend_from_slice(&self.weights);
                }
            }
            if !place(&mut view, &mut free) {
                self.groups.push(group);
                let first = self.views.len();
                group = Group { first, num_views: 0, num_tiles: [0; NUM_STAGES] };
                free = Free { at: begin, end };
                if !place_at_any_cost(&mut view, &mut free) {
                    let (width, height) = (task.surface.width, task.surface.height);
                    let expected = format!("an image that {} bytes suffice for", end - begin);
                    return Err(wrong("image", format!("{width} x {height}"), expected));
                }
            }
            view.first_tile = group.num_tiles;
            for (sum, tiles) in group.num_tiles.iter_mut().zip(tiles(&view)) {
                *sum += tiles;
            }
            group.num_views += 1;
            self.views.push(view);
        }
        self.groups.push(group);
        self.groups.retain(|group| group.num_views > 0);
        Ok(())
    }
}

/// What is left of scratch memory.
#[derive(Clone, Copy)]
struct Free {
    at: u64,
    end: u64,
}

impl Free {
    fn take(&mut self, bytes: u64) -> Option<u64> {
        let at = self.at;
        let next = at.checked_add(bytes)?.next_multiple_of(ALIGNMENT);
        (next <= self.end).then(|| {
            self.at = next;
            at
        })
    }
}

/// Gives the view its parts of scratch memory, all or none of them.
fn place(view: &mut View, free: &mut Free) -> bool {
    let mut rest = *free;
    let side = u64::from(view.side);
    let mut parts = || -> Option<[u64; 6]> {
        let mut axis = |taps: u32| {
            let spans = rest.take(side * size_of::<Span>() as u64)?;
            Some((spans, rest.take(side * u64::from(taps) * 2)?))
        };
        let (column_spans, columns) = axis(view.columns.taps)?;
        let (row_spans, rows) = axis(view.rows.taps)?;
        let lines = match view.flags & TWO_PASSES {
            0 => 0,
            _ => rest.take(6 * side * u64::from(view.lines_width))?,
        };
        let blurred = match view.flags & BLUR {
            0 => 0,
            _ => rest.take(6 * side * side)?,
        };
        Some([column_spans, columns, row_spans, rows, lines, blurred])
    };
    let Some([column_spans, columns, row_spans, rows, lines, blurred]) = parts() else {
        return false;
    };
    (view.columns.spans, view.columns.weights) = (column_spans, columns);
    (view.rows.spans, view.rows.weights) = (row_spans, rows);
    (view.lines, view.blurred) = (lines, blurred);
    *free = rest;
    true
}

/// In an empty workspace: a view whose lines do not fit is made in one pass, which takes longer.
fn place_at_any_cost(view: &mut View, free: &mut Free) -> bool {
    place(view, free) || {
        view.flags &= !TWO_PASSES;
        place(view, free)
    }
}

/// Tiles of a view in each stage.
fn tiles(view: &View) -> [u32; NUM_STAGES] {
    let has = |flag: u32| u32::from(view.flags & flag != 0);
    let pixels = (view.side * view.side).div_ceil(PIXELS_PER_TILE);
    let mut tiles = [0; NUM_STAGES];
    tiles[WEIGHTS] = (2 * view.side).div_ceil(OUTPUTS_PER_TILE);
    tiles[LINES] = has(TWO_PASSES) * (view.side * view.lines_width).div_ceil(PIXELS_PER_TILE);
    tiles[RESAMPLE] = pixels;
    tiles[COLOUR] = has(NEEDS_MEAN) * pixels;
    tiles[BLUR_ROWS] = has(BLUR) * pixels;
    tiles[BLUR_COLUMNS] = has(BLUR) * pixels;
    tiles
}

/// Refuses what kernels would make nonsense of.
fn check(task: &ViewTask, kind: PixelKind, max_side: u32) -> Result<(), CudaError> {
    let Surface { pixels, width, height, pitch } = task.surface;
    if pixels == 0 || width == 0 || height == 0 || u64::from(pitch) < 3 * u64::from(width) {
        let value = format!("{width} x {height}, {pitch} bytes per line, at {pixels:#x}");
        return Err(wrong("surface", value, "pixels, and lines of at least 3 * width bytes"));
    }
    if task.out == 0 || !task.out.is_multiple_of(kind.bytes() as u64) {
        let expected = format!("an address that is a multiple of {}", kind.bytes());
        return Err(wrong("out", format!("{:#x}", task.out), expected));
    }
    if !(2..=max_side).contains(&task.plan.size) {
        return Err(wrong("plan.size", task.plan.size, format!("2 to {max_side} pixels")));
    }
    let CropBox { x, y, width, height } = task.plan.crop;
    if ![x, y, width, height].iter().all(|value| value.is_finite()) || width <= 0.0 || height <= 0.0
    {
        let value = format!("{:?}", task.plan.crop);
        return Err(wrong("plan.crop", value, "finite numbers, width and height above 0"));
    }
    if let Some(sigma) = task.plan.blur {
        within("plan.blur", sigma, 1e-3, 1e3)?;
    }
    let Some(jitter) = task.plan.jitter else { return Ok(()) };
    within("plan.jitter.brightness", jitter.brightness, 0.0, 100.0)?;
    within("plan.jitter.contrast", jitter.contrast, 0.0, 100.0)?;
    within("plan.jitter.saturation", jitter.saturation, 0.0, 100.0)?;
    within("plan.jitter.hue", jitter.hue, -0.5, 0.5)?;
    if jitter.order.iter().filter(|&&op| op == JitterOp::Contrast).count() > 1 {
        let value = format!("{:?}", jitter.order);
        return Err(wrong("plan.jitter.order", value, "contrast once: there is one sum per view"));
    }
    Ok(())
}

fn within(key: &'static str, value: f32, low: f32, high: f32) -> Result<(), CudaError> {
    match (low..=high).contains(&value) {
        true => Ok(()),
        false => Err(wrong(key, value, format!("{low} to {high}"))),
    }
}

fn wrong(key: &'static str, value: impl ToString, expected: impl Into<String>) -> CudaError {
    CudaError::Options { key, value: value.to_string(), expected: expected.into() }
}

/// The parameters of a view, but for its places in memory and the blur.
fn view(task: &ViewTask) -> Result<View, CudaError> {
    let Surface { pixels, width, height, pitch } = task.surface;
    let (shown_width, shown_height) = task.orientation.size(width, height);
    let axes = CropAxes::new(shown_width, shown_height, &task.plan.crop, task.plan.size);
    let steps = steps(task.orientation, shown_width, shown_height, pitch);
    let corner = steps.first
        + i64::from(axes.corner.0) * steps.step_x
        + i64::from(axes.corner.1) * steps.step_y;
    let (first, end) = (axes.columns.reach(0).0, axes.columns.reach(task.plan.size - 1).1);
    let mut view = View {
        source: pixels.wrapping_add_signed(corner),
        step_x: steps.step_x,
        step_y: steps.step_y,
        out: task.out,
        columns: axis(&axes.columns, COLUMN_UNIT)?,
        rows: axis(&axes.rows, ROW_UNIT)?,
        lines_first: first,
        lines_width: end - first,
        side: task.plan.size,
        ..bytemuck::Zeroable::zeroed()
    };
    let taps = axes.columns.taps(COLUMN_UNIT) * axes.rows.taps(ROW_UNIT);
    let lines = u64::from(view.side) * u64::from(view.lines_width);
    if taps >= TWO_PASSES_FROM && lines <= u64::from(u32::MAX / 2) {
        view.flags |= TWO_PASSES;
    }
    if task.plan.flip {
        view.flags |= FLIP;
    }
    if task.plan.gray {
        view.flags |= GRAY;
    }
    if let Some(threshold) = task.plan.solarize {
        view.flags |= SOLARIZE;
        view.threshold = threshold.into();
    }
    if let Some(jitter) = &task.plan.jitter {
        set_jitter(&mut view, jitter);
    }
    Ok(view)
}

fn axis(axis: &Axis, unit: usize) -> Result<AxisParams, CudaError> {
    let taps = axis.taps(unit);
    let taps = u32::try_from(taps).map_err(|_| wrong("plan.crop", taps, "32 bits of weights"))?;
    let Axis { limit, start, length, .. } = *axis;
    Ok(AxisParams { start, length, spans: 0, weights: 0, limit, taps })
}

fn set_jitter(view: &mut View, jitter: &JitterPlan) {
    view.num_ops = jitter.order.len() as u32;
    view.num_before_mean = view.num_ops;
    for (index, op) in jitter.order.into_iter().enumerate() {
        let number = match op {
            JitterOp::Brightness => BRIGHTNESS,
            JitterOp::Contrast => CONTRAST,
            JitterOp::Saturation => SATURATION,
            JitterOp::Hue => HUE,
        };
        view.ops |= number << (8 * index);
        if op == JitterOp::Contrast {
            view.flags |= NEEDS_MEAN;
            view.num_before_mean = index as u32;
        }
    }
    let blend = |factor: f32| {
        let Factor { multiplier, frac } = Factor::new(factor, Factor::frac_for(factor.max(1.0)));
        Blend { multiplier: multiplier.into(), frac }
    };
    view.brightness = blend(jitter.brightness);
    view.contrast = blend(jitter.contrast);
    view.contrast_rest = 1.0 - jitter.contrast;
    view.saturation = blend(jitter.saturation);
    let rest = Factor::new((1.0 - jitter.saturation).abs(), view.saturation.frac);
    view.saturation_rest = rest.multiplier.into();
    view.away_from_gray = (jitter.saturation > 1.0).into();
    view.hue = hue_shift(jitter.hue).into();
}

/// Where the pixel shown at (0, 0) is stored, in bytes, and what one to the right or down of it means there.
#[derive(Debug, PartialEq, Eq)]
struct Steps {
    first: i64,
    step_x: i64,
    step_y: i64,
}

/// Width and height are as shown.
fn steps(orientation: Orientation, width: u32, height: u32, pitch: u32) -> Steps {
    let (last_x, last_y, line) = (i64::from(width) - 1, i64::from(height) - 1, i64::from(pitch));
    let (first, step_x, step_y) = match orientation {
        Orientation::AsStored => (0, 3, line),
        Orientation::Mirror => (3 * last_x, -3, line),
        Orientation::HalfTurn => (3 * last_x + line * last_y, -3, -line),
        Orientation::Flip => (line * last_y, 3, -line),
        Orientation::Transpose => (0, line, 3),
        Orientation::Right => (line * last_x, -line, 3),
        Orientation::Transverse => (3 * last_y + line * last_x, -line, -3),
        Orientation::Left => (3 * last_y, line, -3),
    };
    Steps { first, step_x, step_y }
}

#[cfg(test)]
#[path = "pack/tests.rs"]
mod tests;
