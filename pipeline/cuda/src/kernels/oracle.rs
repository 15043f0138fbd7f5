//! The kernels on the CPU: the same source compiled as C++, one thread after the other. It is what tests hold against
//! the CPU renderer, and slow.

use smog_pipeline::augment::ViewPlan;
use smog_pipeline::codec::Orientation;

use crate::CudaError;
use crate::kernels::pack::{Memory, Packed};
use crate::kernels::params::{Batch, NUM_STAGES, View};
use crate::kernels::task::{Normalize, PixelKind, Surface, ViewTask};

// SAFETY: these are the functions of `kernels/oracle.cpp` with their types.
unsafe extern "C" {
    fn smog_oracle_launch(stage: u32, batch: *const Batch, blocks: u32, threads: u32);
    safe fn smog_oracle_bf16(value: f32) -> u16;
    #[cfg(test)]
    fn smog_oracle_layout(out: *mut u32, capacity: u32) -> u32;
}

/// An image in memory.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// Interleaved RGB8.
    pub pixels: &'a [u8],
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes from line to line.
    pub pitch: u32,
}

/// One view to render.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// The image as stored.
    pub image: Image<'a>,
    /// How it is turned to be shown.
    pub orientation: Orientation,
    /// What is done.
    pub plan: ViewPlan,
}

/// How the work is cut. Views are the same whatever this says, which is what it is there to show.
#[derive(Clone, Copy, Debug)]
pub struct Launch {
    /// Blocks of a grid.
    pub blocks: u32,
    /// Threads of a block.
    pub threads: u32,
    /// Bytes of scratch memory beyond what one view needs.
    pub extra_scratch: usize,
}

impl Default for Launch {
    /// One thread, and room for the lines of all but huge images.
    fn default() -> Self {
        Self { blocks: 1, threads: 1, extra_scratch: 16 << 20 }
    }
}

/// Renders one view; values are as [`PixelKind`] holds them, widened to `f32`.
///
/// # Errors
/// If the image has fewer bytes than its size says, or the plan is out of range.
pub fn render(
    task: Task<'_>,
    kind: PixelKind,
    normalize: Normalize,
) -> Result<Vec<f32>, CudaError> {
    let mut views = render_batch(&[task], kind, normalize, Launch::default())?;
    Ok(views.pop().unwrap_or_default())
}

/// Renders a batch as a GPU would: every stage for all views, groups one after the other.
///
/// # Errors
/// If an image has fewer bytes than its size says, or a plan is out of range.
pub fn render_batch(
    tasks: &[Task<'_>],
    kind: PixelKind,
    normalize: Normalize,
    launch: Launch,
) -> Result<Vec<Vec<f32>>, CudaError> {
    let max_side = tasks.iter().map(|task| task.plan.size).max().unwrap_or(0);
    // 32 bits for every value: a bf16 takes the lower half of the row's bytes.
    let mut rows: Vec<Vec<u32>> =
        tasks.iter().map(|task| vec![0; 3 * (task.plan.size as usize).pow(2)]).collect();
    let mut view_tasks = Vec::with_capacity(tasks.len());
    for (task, row) in tasks.iter().zip(&mut rows) {
        let Image { pixels, width, height, pitch } = task.image;
        let lines = u64::from(pitch) * u64::from(height.saturating_sub(1));
        if (pixels.len() as u64) < lines + 3 * u64::from(width) {
            return Err(CudaError::Options {
                key: "image",
                value: format!("{} bytes", pixels.len()),
                expected: format!("{width} x {height} pixels, {pitch} bytes per line"),
            });
        }
        view_tasks.push(ViewTask {
            surface: Surface { pixels: pixels.as_ptr() as u64, width, height, pitch },
            plan: task.plan,
            orientation: task.orientation,
            out: row.as_mut_ptr() as u64,
        });
    }

    // Not zeros, so that nothing rests on fresh memory.
    let scratch_bytes = Memory::least_scratch(tasks.len(), max_side) + launch.extra_scratch;
    let mut scratch = vec![0xa5a5_a5a5_a5a5_a5a5u64; scratch_bytes.div_ceil(8)];
    let mut params = vec![0u64; Memory::params_bytes(tasks.len(), max_side).div_ceil(8)];
    let memory = Memory {
        params: params.as_mut_ptr() as u64,
        scratch: scratch.as_mut_ptr() as u64,
        scratch_bytes: scratch_bytes as u64,
        max_views: tasks.len(),
        max_side,
    };
    let mut packed = Packed::default();
    packed.pack(&view_tasks, kind, &memory)?;
    let (views, weights) = (
        bytemuck::cast_slice::<View, u8>(&packed.views),
        bytemuck::cast_slice::<u16, u8>(&packed.blur_weights),
    );
    let bytes = bytemuck::cast_slice_mut::<u64, u8>(&mut params);
    bytes[..views.len()].copy_from_slice(views);
    bytes[views.len()..views.len() + weights.len()].copy_from_slice(weights);

    for group in &packed.groups {
        let batch = group.batch(&memory, kind, normalize);
        for stage in 0..NUM_STAGES as u32 {
            // SAFETY: the addresses in `batch` and its views are those of `params`, `scratch`, `rows` and the images,
            // all of which live until the end of this function and have the sizes that `pack` was told or that were
            // checked above.
            unsafe { smog_oracle_launch(stage, &batch, launch.blocks, launch.threads) };
        }
    }
    Ok(rows.iter().map(|row| values(row, kind)).collect())
}

/// The row's values.
fn values(row: &[u32], kind: PixelKind) -> Vec<f32> {
    match kind {
        PixelKind::F32 => row.iter().map(|&bits| f32::from_bits(bits)).collect(),
        PixelKind::Bf16 => {
            let halves = bytemuck::cast_slice::<u32, u16>(row);
            halves[..row.len()].iter().map(|&bits| f32::from_bits(u32::from(bits) << 16)).collect()
        }
    }
}

/// The bits of a value as bfloat16.
pub fn bf16(value: f32) -> u16 {
    smog_oracle_bf16(value)
}

/// Sizes, offsets and constants as the C++ compiler sees them.
#[cfg(test)]
pub(crate) fn layout() -> Vec<u32> {
    let mut out = vec![0; 128];
    // SAFETY: at most as many numbers are written as there is room for.
    let num = unsafe { smog_oracle_layout(out.as_mut_ptr(), out.len() as u32) };
    out.truncate(num as usize);
    out
}
