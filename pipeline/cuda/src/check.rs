//! The renderer on a GPU beside the one on the processor, and its rate: what a machine with a GPU runs before anything is
//! believed of it. The kernels alone are checked by [`crate::kernels::check`].

pub(crate) mod decoders;
mod engines;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cudarc::driver::{CudaStream, result};
use smog_pipeline::batch::HostBatch;
use smog_pipeline::render::Renderer;
use smog_pipeline::runtime::PipelineError;
use smog_pipeline::source::{Source, SourceError};
use smog_pipeline::stream::{BatchStream, Next, Start, StreamConfig, StreamParts};

pub use decoders::{DecodeRate, DecodeRates, decode_rates};
pub use engines::{Damage, Engines, engines, engines_after_damage};

use crate::driver::{Gpu, failed};
use crate::kernels::{KernelOptions, Normalize, PixelKind};
use crate::{CudaError, CudaFacts, CudaOptions, CudaRenderer, DeviceBatch, RouteCounts};

/// Why a check could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The stream failed.
    #[error(transparent)]
    Stream(#[from] PipelineError),
    /// A call of CUDA's failed.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// The data cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There is nothing to measure decoders with.
    #[error(
        "none of the first {looked_at} images is one that the JPEG engines, the hybrid decoders and the processor all \
         take; expected baseline JPEG: give other data"
    )]
    NoPictures {
        /// Images that were looked at.
        looked_at: u32,
    },
}

/// What is checked.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The device, as `cuda:N`.
    pub device: u32,
    /// Use the JPEG engines where there are any; else hybrid decoders get their images.
    pub hardware: bool,
    /// Compiling and caching the kernels.
    pub kernels: KernelOptions,
}

/// How far views of the device are from those of the processor, in levels of 0 to 255.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Likeness {
    /// Rows that were compared.
    pub rows: u64,
    /// Rows that show another sample, another plan or another label. None should.
    pub other_rows: u64,
    /// Values that were compared.
    pub values: u64,
    /// Largest difference; infinite where one is no number.
    pub largest: f32,
    /// Sum of the differences.
    sum: f64,
}

/// What came of a comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// How alike the batches are.
    pub likeness: Likeness,
    /// Images by the way they took.
    pub counts: RouteCounts,
    /// What the renderer has to work with.
    pub facts: CudaFacts,
}

/// What the renderer does alone, with a trainer that takes batches and does nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Images per second, all views of each.
    pub images_per_second: f64,
    /// By the way they took, from the start.
    pub counts: RouteCounts,
    /// What it has to work with.
    pub facts: CudaFacts,
}

impl Likeness {
    /// Mean difference.
    pub fn mean(&self) -> f64 {
        self.sum / self.values.max(1) as f64
    }

    fn add_rows(&mut self, found: &HostBatch, expected: &HostBatch) {
        for row in 0..expected.len() {
            let same = found.keys()[row] == expected.keys()[row]
                && found.plans()[row] == expected.plans()[row]
                && found.labels()[row] == expected.labels()[row];
            self.rows += 1;
            self.other_rows += u64::from(!same);
        }
    }

    fn add_view(&mut self, found: &[f32], expected: &[u8]) {
        // A view of another size is as far off as can be.
        if found.len() != expected.len() {
            self.largest = f32::INFINITY;
        }
        self.values += expected.len() as u64;
        for (&found, &expected) in found.iter().zip(expected) {
            let difference = (found - f32::from(expected)).abs();
            let difference = if difference.is_nan() { f32::INFINITY } else { difference };
            self.largest = self.largest.max(difference);
            self.sum += f64::from(difference);
        }
    }
}

/// Compares `steps` batches of the stream of each source with those of the renderer on the processor.
///
/// # Errors
/// If the device lacks something, or a stream fails.
pub fn likeness(
    sources: &[Arc<dyn Source>],
    config: &StreamConfig,
    machine: &Machine,
    steps: u32,
) -> Result<Vec<Compared>, CheckError> {
    let levels = Normalize { scale: [1.0; 3], shift: [0.0; 3] };
    let renderer = renderer(config, machine, PixelKind::F32, levels)?;
    let gpu = Gpu::open(machine.device)?;
    let trainer = gpu.stream()?;
    let mut all = Vec::new();
    for source in sources {
        let before = renderer.counts();
        let mut found = open(source, config, &renderer)?;
        let mut expected = BatchStream::open(Arc::clone(source), config.clone(), Start::Step(0))?;
        let mut read = |batch: &DeviceBatch, view: usize| download(&gpu, &trainer, batch, view);
        let handle = trainer.cu_stream() as u64;
        let likeness = compare(&mut found, &mut expected, steps, handle, &mut read)?;
        found.close()?;
        expected.close()?;
        let counts = renderer.counts().since(before);
        all.push(Compared { likeness, counts, facts: renderer.facts() });
    }
    Ok(all)
}

/// Reads the values of a view of a batch.
pub(crate) type Read<'a> = dyn FnMut(&DeviceBatch, usize) -> Result<Vec<f32>, CudaError> + 'a;

pub(crate) fn compare(
    found: &mut BatchStream,
    expected: &mut BatchStream,
    steps: u32,
    trainer: u64,
    read: &mut Read<'_>,
) -> Result<Likeness, CheckError> {
    let mut likeness = Likeness::default();
    for _ in 0..steps {
        let (Next::Batch(batch), Next::Batch(wanted)) =
            (found.next_batch()?, expected.next_batch()?)
        else {
            break;
        };
        let batch = DeviceBatch::new(batch)?;
        // SAFETY: the stream lives as long as the caller holds it.
        unsafe { batch.wait_ready(trainer) }?;
        likeness.add_rows(batch.host(), &wanted);
        for view in 0..wanted.num_views() {
            likeness.add_view(&read(&batch, view)?, wanted.view(view));
        }
        // SAFETY: as above; what was read has been read.
        unsafe { batch.release(trainer) }?;
    }
    Ok(likeness)
}

/// Measures for `seconds`, after as many steps as there are slots.
///
/// # Errors
/// As [`likeness`].
pub fn rate(
    source: &Arc<dyn Source>,
    config: &StreamConfig,
    machine: &Machine,
    seconds: f64,
) -> Result<Rate, CheckError> {
    let normalize = Normalize { scale: [1.0 / 255.0; 3], shift: [0.0; 3] };
    let renderer = renderer(config, machine, PixelKind::Bf16, normalize)?;
    let trainer = Gpu::open(machine.device)?.stream()?;
    let mut stream = open(source, config, &renderer)?;
    let mut take = || -> Result<u64, CheckError> {
        let Next::Batch(batch) = stream.next_batch()? else { return Ok(0) };
        let batch = DeviceBatch::new(batch)?;
        let rows = batch.host().len() as u64;
        let handle = trainer.cu_stream() as u64;
        // SAFETY: the stream lives until the end of this function.
        unsafe {
            batch.wait_ready(handle)?;
            batch.release(handle)?;
        }
        Ok(rows)
    };
    for _ in 0..config.num_slots {
        take()?;
    }
    trainer.synchronize().map_err(failed("cuStreamSynchronize"))?;
    let (start, time) = (Instant::now(), Duration::from_secs_f64(seconds));
    let mut images = 0;
    while start.elapsed() < time {
        match take()? {
            0 => break,
            rows => images += rows,
        }
    }
    // Batches that are taken may still be worked on.
    trainer.synchronize().map_err(failed("cuStreamSynchronize"))?;
    let images_per_second = images as f64 / start.elapsed().as_secs_f64();
    stream.close()?;
    Ok(Rate { images_per_second, counts: renderer.counts(), facts: renderer.facts() })
}

fn renderer(
    config: &StreamConfig,
    machine: &Machine,
    kind: PixelKind,
    normalize: Normalize,
) -> Result<Arc<CudaRenderer>, CudaError> {
    let options = options(config, machine, kind, normalize);
    Ok(Arc::new(CudaRenderer::new(config.render, &options)?))
}

fn options(
    config: &StreamConfig,
    machine: &Machine,
    kind: PixelKind,
    normalize: Normalize,
) -> CudaOptions {
    let mut options = CudaOptions::new(machine.device, kind, normalize, config.resolved_workers())
        .for_views(&config.recipe.view_sizes());
    options.hardware = machine.hardware;
    options.kernels = machine.kernels.clone();
    options
}

fn open(
    source: &Arc<dyn Source>,
    config: &StreamConfig,
    renderer: &Arc<CudaRenderer>,
) -> Result<BatchStream, PipelineError> {
    let parts = StreamParts {
        memory: Arc::new(renderer.ring()),
        renderer: Arc::clone(renderer) as Arc<dyn Renderer>,
    };
    BatchStream::open_with(Arc::clone(source), config.clone(), Start::Step(0), parts)
}

/// The values of a view, f32, once `trainer` has come to where it waits for them.
fn download(
    gpu: &Gpu,
    trainer: &CudaStream,
    batch: &DeviceBatch,
    view: usize,
) -> Result<Vec<f32>, CudaError> {
    trainer.synchronize().map_err(failed("cuStreamSynchronize"))?;
    gpu.bind()?;
    let view = batch.view(view);
    let side = view.side as usize;
    let mut bytes = vec![0u8; 4 * 3 * side * side * view.rows as usize];
    // SAFETY: the block of the view holds so many f32.
    unsafe { result::memcpy_dtoh_sync(&mut bytes, view.address) }
        .map_err(failed("cuMemcpyDtoH"))?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
}
