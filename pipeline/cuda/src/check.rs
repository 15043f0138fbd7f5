//! The renderer on a GPU beside the one on the processor, and its rate: what a machine with a GPU runs before anything is
//! believed of it. The kernels alone are checked by [`crate::kernels::check`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use cudarc::driver::{CudaStream, result};
use smog_pipeline::batch::HostBatch;
use smog_pipeline::render::Renderer;
use smog_pipeline::runtime::PipelineError;
use smog_pipeline::sample::RowGroupId;
use smog_pipeline::source::{Source, SyntheticSource};
use smog_pipeline::stream::{BatchStream, Next, Start, StreamConfig, StreamParts};

use crate::driver::{DeviceMemory, Gpu, failed};
use crate::kernels::{Normalize, PixelKind, Surface};
use crate::nvjpeg::{Begun, HardwareDecoder, Nvjpeg, engines};
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

/// Compares `steps` batches of the stream with those of the renderer on the processor.
///
/// # Errors
/// If the device lacks something, or a stream fails.
pub fn likeness(
    source: &Arc<dyn Source>,
    config: &StreamConfig,
    device: u32,
    steps: u32,
) -> Result<(Likeness, RouteCounts), CheckError> {
    let levels = Normalize { scale: [1.0; 3], shift: [0.0; 3] };
    let renderer = renderer(config, device, PixelKind::F32, levels)?;
    let gpu = Gpu::open(device)?;
    let trainer = gpu.stream()?;
    let mut found = open(source, config, &renderer)?;
    let mut expected = BatchStream::open(Arc::clone(source), config.clone(), Start::Step(0))?;
    let mut read = |batch: &DeviceBatch, view: usize| download(&gpu, &trainer, batch, view);
    let likeness =
        compare(&mut found, &mut expected, steps, trainer.cu_stream() as u64, &mut read)?;
    found.close()?;
    expected.close()?;
    Ok((likeness, renderer.counts()))
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
    device: u32,
    seconds: f64,
) -> Result<Rate, CheckError> {
    let normalize = Normalize { scale: [1.0 / 255.0; 3], shift: [0.0; 3] };
    let renderer = renderer(config, device, PixelKind::Bf16, normalize)?;
    let trainer = Gpu::open(device)?.stream()?;
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

/// Images decoded behind work that was still queued on their stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOrder {
    /// Images.
    pub rounds: u32,
    /// Of these, where that work came after the decoder: it does not keep to the order of the stream.
    pub overtaken: u32,
}

/// Large enough that clearing it keeps the device busy for a while.
const BUSY_BYTES: usize = 256 << 20;
/// How often it is cleared: some ten milliseconds at 3 TB/s.
const BUSY_ROUNDS: u32 = 100;

/// Whether the JPEG engines begin to write before earlier work on their stream has ended, as was reported of H100. It is
/// why decoders wait on the host until a surface is free. `None` where there are no engines.
///
/// # Errors
/// If the device lacks something, or a call fails.
pub fn stream_order(device: u32, rounds: u32) -> Result<Option<StreamOrder>, CudaError> {
    let gpu = Gpu::open(device)?;
    let library = Nvjpeg::load(&[])?;
    let Some((handle, _)) = engines(&library, &gpu)? else { return Ok(None) };
    let images = SyntheticSource::new(1, 1, 512, 0).read(RowGroupId(0));
    let images = images.map_err(|error| CudaError::Options {
        key: "the drawn image",
        value: error.to_string(),
        expected: "an image".to_owned(),
    })?;
    let (encoded, meta) = (images.encoded(0), images.metas[0]);
    let mut decoder = HardwareDecoder::new(handle, &gpu, 1, encoded.len())?;
    if !decoder.takes(encoded, meta.width, meta.height)? {
        return Ok(None);
    }
    let bytes = 3 * meta.width as usize * meta.height as usize;
    let (target, busy) = (DeviceMemory::new(&gpu, bytes)?, DeviceMemory::new(&gpu, BUSY_BYTES)?);
    let surface = Surface {
        pixels: target.address(),
        width: meta.width,
        height: meta.height,
        pitch: 3 * meta.width,
    };
    let mut decode = |is_busy: bool| -> Result<Option<Vec<u8>>, CudaError> {
        gpu.bind()?;
        if let Some(stream) = decoder.next_stream().filter(|_| is_busy) {
            let stream = stream.cu_stream();
            // SAFETY: both blocks have these sizes, and live until the end of this function, which waits for the batch.
            unsafe {
                for _ in 0..BUSY_ROUNDS {
                    result::memset_d8_async(busy.address(), 0, BUSY_BYTES, stream)
                        .map_err(failed("cuMemsetD8Async"))?;
                }
                result::memset_d8_async(target.address(), 0xAB, bytes, stream)
                    .map_err(failed("cuMemsetD8Async"))?;
            }
        }
        // SAFETY: the block is as large as the image and ours alone. That work is queued before is what is asked about;
        // the worst that follows are wrong pixels.
        if unsafe { decoder.begin(&[(encoded, surface)]) }? != Begun::UnderWay {
            return Ok(None);
        }
        decoder.finish()?;
        result::ctx::synchronize().map_err(failed("cuCtxSynchronize"))?;
        let mut pixels = vec![0u8; bytes];
        // SAFETY: the block has so many bytes.
        unsafe { result::memcpy_dtoh_sync(&mut pixels, target.address()) }
            .map_err(failed("cuMemcpyDtoH"))?;
        Ok(Some(pixels))
    };
    let Some(expected) = decode(false)? else { return Ok(None) };
    let mut order = StreamOrder { rounds, overtaken: 0 };
    for _ in 0..rounds {
        order.overtaken += u32::from(decode(true)?.as_ref() != Some(&expected));
    }
    Ok(Some(order))
}

fn renderer(
    config: &StreamConfig,
    device: u32,
    kind: PixelKind,
    normalize: Normalize,
) -> Result<Arc<CudaRenderer>, CudaError> {
    let options = CudaOptions::new(device, kind, normalize, config.resolved_workers())
        .for_views(&config.recipe.view_sizes());
    Ok(Arc::new(CudaRenderer::new(config.render, &options)?))
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
