//! The kernels on the device at hand, against the CPU renderer and against the clock: what a machine with a GPU runs
//! before anything is believed of it.

use cudarc::driver::result;
use cudarc::driver::sys::CUevent_flags;
use smog_pipeline::augment::{Recipe, SamplePlan, ViewKernels, ViewPlan};
use smog_pipeline::codec::{Orientation, Pixels};
use smog_pipeline::draw::{Domain, Draw};
use smog_pipeline::sample::{
    ImageFlags, ImageFormat, ImageMeta, Ordinal, SampleId, SampleKey, Subsampling,
};

use crate::CudaError;
use crate::driver::Gpu;
use crate::kernels::launch::{Kernels, Workspace, driver};
use crate::kernels::oracle::{self, Image, Task};
use crate::kernels::task::{Normalize, PixelKind, Surface, ViewTask};

/// Sizes of the images that are compared: the usual, the smallest, lines of one pixel, and one that is made in two
/// passes with long sums.
const SIZES: [(u32, u32); 8] =
    [(500, 375), (1, 1), (640, 427), (333, 500), (1, 200), (300, 1), (2600, 1900), (64, 48)];
/// As training does it, near enough.
const NORMALIZE: Normalize = Normalize {
    scale: [0.017_124_754, 0.017_507_002, 0.017_429_193],
    shift: [-2.117_904, -2.035_714_4, -1.804_444_4],
};

/// How far views of the device are from those of the CPU renderer. They should be the same.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parity {
    /// Views that were compared, in f32 and in bfloat16.
    pub views: usize,
    /// Values in them.
    pub values: u64,
    /// Values that differ.
    pub differing: u64,
    /// Largest difference of a value; infinite where one is no number.
    pub largest: f32,
}

/// Time that the kernels take, copies of images to the device left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// Images of a batch.
    pub images: usize,
    /// Views made of each.
    pub views_per_image: usize,
    /// Microseconds for each image, all of its views.
    pub microseconds_per_image: f64,
}

/// Compares views of `num_images` drawn images, of every size and orientation, as f32 and as bfloat16.
///
/// # Errors
/// If a call of the driver fails.
pub fn parity(gpu: &Gpu, kernels: &Kernels, num_images: u64) -> Result<Parity, CudaError> {
    compare(num_images, &mut |tasks, kind| on_device(gpu, kernels, tasks, kind))
}

/// Makes views of the tasks somewhere.
type Render<'a> = dyn FnMut(&[Task<'_>], PixelKind) -> Result<Vec<Vec<f32>>, CudaError> + 'a;

fn compare(num_images: u64, render: &mut Render<'_>) -> Result<Parity, CudaError> {
    let mut parity = Parity::default();
    let mut reference = ViewKernels::default();
    let mut turned = Pixels::default();
    for number in 0..num_images {
        let (width, height) = SIZES[(number % SIZES.len() as u64) as usize];
        let stored = noise(number, width, height);
        let orientation = Orientation::from_tag((number / 3 % 8 + 1) as u8);
        let shown = orientation.apply(&stored, &mut turned);
        // The last has a box between pixels.
        let presets = ["smog_multicrop", "eval"].into_iter();
        let plans: Vec<ViewPlan> =
            presets.flat_map(|preset| plans(preset, number, shown.width, shown.height)).collect();
        let image = Image { pixels: &stored.data, width, height, pitch: 3 * width };
        let tasks: Vec<_> =
            plans.iter().map(|plan| Task { image, orientation, plan: *plan }).collect();
        for kind in [PixelKind::F32, PixelKind::Bf16] {
            for (plan, found) in plans.iter().zip(render(&tasks, kind)?) {
                let mut view = vec![0; 3 * (plan.size as usize).pow(2)];
                reference.render(shown, plan, &mut view);
                parity.add(&view, &found, kind);
            }
        }
    }
    Ok(parity)
}

impl Parity {
    fn add(&mut self, bytes: &[u8], found: &[f32], kind: PixelKind) {
        assert_eq!(bytes.len(), found.len(), "both are views of the plan's size");
        self.views += 1;
        self.values += bytes.len() as u64;
        for (index, (&byte, &found)) in bytes.iter().zip(found).enumerate() {
            let value = f32::from(byte) * NORMALIZE.scale[index % 3] + NORMALIZE.shift[index % 3];
            let expected = match kind {
                PixelKind::F32 => value,
                PixelKind::Bf16 => f32::from_bits(u32::from(oracle::bf16(value)) << 16),
            };
            if found != expected {
                self.differing += 1;
                let difference = (found - expected).abs();
                let difference = if difference.is_nan() { f32::INFINITY } else { difference };
                self.largest = self.largest.max(difference);
            }
        }
    }
}

/// Measures batches of `images` images of `width` by `height` pixels, with the views of `smog_multicrop` as bfloat16.
/// Each image has memory of its own, so caches hold no more of them than they would in a run.
///
/// # Errors
/// If a call of the driver fails, or there is not enough memory on the device.
pub fn speed(
    gpu: &Gpu,
    kernels: &Kernels,
    (width, height): (u32, u32),
    images: usize,
    rounds: u32,
) -> Result<Speed, CudaError> {
    let stored = noise(0, width, height);
    let per_image: Vec<Vec<ViewPlan>> =
        (0..images as u64).map(|number| plans("smog_multicrop", number, width, height)).collect();
    let row_bytes = |plan: &ViewPlan| 3 * PixelKind::Bf16.bytes() * (plan.size as usize).pow(2);
    let rows = Memory::new(gpu, per_image.iter().flatten().map(row_bytes).sum())?;
    let surfaces = Memory::new(gpu, images * stored.data.len())?;
    let mut tasks = Vec::new();
    let (mut surface, mut out) = (surfaces.address, rows.address);
    for plans in &per_image {
        surfaces.write(surface, &stored.data)?;
        for plan in plans {
            let surface = Surface { pixels: surface, width, height, pitch: 3 * width };
            tasks.push(ViewTask { surface, plan: *plan, orientation: Orientation::AsStored, out });
            out += row_bytes(plan) as u64;
        }
        surface += stored.data.len() as u64;
    }
    let max_side = tasks.iter().map(|task| task.plan.size).max().unwrap_or(2);
    let mut workspace = Workspace::new(gpu, tasks.len(), max_side)?;
    let stream = gpu.context().new_stream().map_err(driver("cuStreamCreate"))?;
    let event = || {
        let event = gpu.context().new_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
        event.map_err(driver("cuEventCreate"))
    };
    let (begin, end) = (event()?, event()?);
    finish_copies(gpu)?;
    // The first rounds are not counted: clocks rise, memory is touched for the first time.
    for round in 0..rounds + 3 {
        if round == 3 {
            begin.record(&stream).map_err(driver("cuEventRecord"))?;
        }
        kernels.render(&stream, &mut workspace, &tasks, PixelKind::Bf16, NORMALIZE)?;
    }
    end.record(&stream).map_err(driver("cuEventRecord"))?;
    stream.synchronize().map_err(driver("cuStreamSynchronize"))?;
    let milliseconds = begin.elapsed_ms(&end).map_err(driver("cuEventElapsedTime"))?;
    Ok(Speed {
        images,
        views_per_image: per_image.first().map_or(0, Vec::len),
        microseconds_per_image: f64::from(milliseconds) * 1000.0
            / (f64::from(rounds.max(1)) * images.max(1) as f64),
    })
}

/// Uploads, renders, downloads.
fn on_device(
    gpu: &Gpu,
    kernels: &Kernels,
    tasks: &[Task<'_>],
    kind: PixelKind,
) -> Result<Vec<Vec<f32>>, CudaError> {
    let stream = gpu.context().new_stream().map_err(driver("cuStreamCreate"))?;
    let mut memory = Vec::new();
    let mut rows = Vec::new();
    let mut view_tasks = Vec::new();
    for task in tasks {
        let Image { pixels, width, height, pitch } = task.image;
        let surface = Memory::new(gpu, pixels.len())?;
        surface.write(surface.address, pixels)?;
        let row = Memory::new(gpu, 3 * kind.bytes() * (task.plan.size as usize).pow(2))?;
        view_tasks.push(ViewTask {
            surface: Surface { pixels: surface.address, width, height, pitch },
            plan: task.plan,
            orientation: task.orientation,
            out: row.address,
        });
        memory.push(surface);
        rows.push(row);
    }
    let max_side = tasks.iter().map(|task| task.plan.size).max().unwrap_or(2);
    let mut workspace = Workspace::new(gpu, tasks.len(), max_side)?;
    finish_copies(gpu)?;
    kernels.render(&stream, &mut workspace, &view_tasks, kind, NORMALIZE)?;
    stream.synchronize().map_err(driver("cuStreamSynchronize"))?;
    rows.iter().map(|row| row.read(kind)).collect()
}

/// Waits until what was written is there: a copy from memory that is not pinned returns before that, and the streams
/// here do not wait for the default one that it is on.
fn finish_copies(gpu: &Gpu) -> Result<(), CudaError> {
    gpu.context().synchronize().map_err(driver("cuCtxSynchronize"))
}

/// Memory on the device.
struct Memory {
    gpu: Gpu,
    address: u64,
    bytes: usize,
}

impl Memory {
    fn new(gpu: &Gpu, bytes: usize) -> Result<Self, CudaError> {
        gpu.bind()?;
        // SAFETY: the context is bound; the memory is freed in `Drop`.
        let address = unsafe { result::malloc_sync(bytes.max(1)) }.map_err(driver("cuMemAlloc"))?;
        Ok(Self { gpu: gpu.clone(), address, bytes })
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), CudaError> {
        let end = address.wrapping_add(bytes.len() as u64);
        let inside = address >= self.address && end <= self.address + self.bytes as u64;
        assert!(inside, "writes lie inside of what was taken");
        self.gpu.bind()?;
        // SAFETY: what is written is inside the memory (above).
        unsafe { result::memcpy_htod_sync(address, bytes) }.map_err(driver("cuMemcpyHtoD"))
    }

    fn read(&self, kind: PixelKind) -> Result<Vec<f32>, CudaError> {
        let mut bytes = vec![0u8; self.bytes];
        self.gpu.bind()?;
        // SAFETY: as many bytes are read as the memory has.
        unsafe { result::memcpy_dtoh_sync(&mut bytes, self.address) }
            .map_err(driver("cuMemcpyDtoH"))?;
        let (singles, halves) = (bytes.as_chunks::<4>().0, bytes.as_chunks::<2>().0);
        Ok(match kind {
            PixelKind::F32 => singles.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
            PixelKind::Bf16 => {
                let wide = |bytes| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16);
                halves.iter().map(|&bytes| wide(bytes)).collect()
            }
        })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it was taken in `new`; a free waits for work that uses it. Where it fails the device has failed
        // before, and whoever caused that has its error.
        let _ = self.gpu.bind().map(|()| unsafe { result::free_sync(self.address) });
    }
}

fn noise(seed: u64, width: u32, height: u32) -> Pixels {
    let mut draw = Draw::new(seed, Domain::Synthetic, [width, height, 0, 0, 0]);
    let data = (0..3 * width * height).map(|_| draw.bits32() as u8).collect();
    Pixels { width, height, data, scale: 1, ..Pixels::default() }
}

/// What a preset draws for an image as shown.
fn plans(preset: &str, number: u64, width: u32, height: u32) -> Vec<ViewPlan> {
    let recipe = Recipe::preset(preset).expect("the callers name presets that there are");
    let sample = SampleId(u32::try_from(number).unwrap_or(u32::MAX));
    let key = SampleKey { epoch: 0, ordinal: Ordinal(0), sample, attempt: 0 };
    let meta = ImageMeta {
        format: ImageFormat::Jpeg,
        width,
        height,
        components: 3,
        subsampling: Subsampling::S444,
        orientation: 1,
        progressive: false,
        flags: ImageFlags::default(),
        bytes: 0,
    };
    let mut plan = SamplePlan::default();
    recipe.draw(5, &key, &meta, &mut plan);
    plan.views
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::oracle::Launch;

    #[test]
    fn the_same_views_have_no_difference_and_one_that_differs_is_counted() {
        let by_oracle = |spoil: f32| {
            move |tasks: &[Task<'_>], kind: PixelKind| {
                let mut views = oracle::render_batch(tasks, kind, NORMALIZE, Launch::default())?;
                views[0][0] += spoil;
                Ok(views)
            }
        };
        let parity = compare(3, &mut by_oracle(0.0)).unwrap();
        assert_eq!((parity.views, parity.differing, parity.largest), (3 * 2 * 7, 0, 0.0));
        let parity = compare(1, &mut by_oracle(0.5)).unwrap();
        assert_eq!(parity.differing, 2);
        assert!((0.49..0.51).contains(&parity.largest), "{parity:?}");
    }
}
