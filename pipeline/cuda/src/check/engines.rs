//! The JPEG engines by themselves: in which order they write, when a batch counts as ended, what a damaged image does to
//! its batch, and what they take of memory.

use cudarc::driver::result;
use smog_pipeline::sample::RowGroupId;
use smog_pipeline::source::{Source, SyntheticSource};

use crate::driver::{DeviceMemory, Gpu, failed};
use crate::kernels::Surface;
use crate::nvjpeg::{self, Begun, HardwareDecoder, Nvjpeg};
use crate::{CudaError, CudaOptions};

/// Large enough that clearing it keeps the device busy for a while.
const BUSY_BYTES: usize = 256 << 20;
/// How often it is cleared: some ten milliseconds at 3 TB/s.
const BUSY_ROUNDS: u32 = 100;
/// Side of the image that is decoded.
const SIDE: u32 = 512;
/// What surfaces are filled with before: a grey that no row of the image has throughout.
const CLEARED: u8 = 0xAB;

/// What was seen of the engines.
#[derive(Clone, Debug, PartialEq)]
pub struct Engines {
    /// JPEG engines.
    pub engines: u32,
    /// Decoder cores in each.
    pub cores_per_engine: u32,
    /// Images of a batch.
    pub images: u32,
    /// How often each of the next two was tried.
    pub rounds: u32,
    /// Images that were decoded although work before them on their stream had not ended: the engines do not keep to its
    /// order. It is why surfaces are waited for on the host.
    pub overtaken: u32,
    /// Images that were not there yet when the wait for their batch was over. None should be.
    pub early: u32,
    /// Device memory that the decoder took when it was made, in bytes.
    pub made_bytes: u64,
    /// What it took more with the batches, in bytes.
    pub grown_bytes: u64,
    /// What nvJPEG says to a batch that holds a JPEG whose second half is missing.
    pub cut_off: String,
    /// Images of a whole batch after that one that are not what they were before. None should be.
    pub spoilt: u32,
}

/// Tries the engines of a device. `None` where there are none.
///
/// # Errors
/// If the device lacks something, a call fails, or the engines refuse a plain image.
pub fn engines(device: u32, rounds: u32) -> Result<Option<Engines>, CudaError> {
    let gpu = Gpu::open(device)?;
    let library = Nvjpeg::load(&[])?;
    let Some(found) = nvjpeg::engines(&library, &gpu)? else { return Ok(None) };
    let images = HardwareDecoder::images_at_once(found.count, found.cores);
    let encoded = drawn()?;
    let target = Target::new(&gpu, images as usize)?;
    let before = free_bytes(&gpu)?;
    let bytes = CudaOptions::DEFAULT_STAGING_BYTES;
    let mut decoder = HardwareDecoder::new(found.handle, &gpu, images as usize, bytes)?;
    let made = free_bytes(&gpu)?;
    if !decoder.takes(&encoded, SIDE, SIDE)? {
        return Err(not_taken("a header that is not supported".to_owned()));
    }
    let whole = vec![&encoded[..]; images as usize];
    decode(&mut decoder, &whole, &target)?;
    target.settle()?;
    let expected = target.read(0)?;
    let overtaken = overtaken(&mut decoder, &encoded, &target, &expected, rounds)?;
    let mut early = 0;
    for round in 0..rounds as usize {
        target.clear()?;
        decode(&mut decoder, &whole, &target)?;
        // At once, and a single one: while others are read the engines could end what they had not.
        early += u32::from(target.read(round % whole.len())? != expected);
    }
    let grown = free_bytes(&gpu)?;
    let (cut_off, spoilt) = after_damage(&mut decoder, &encoded, &target, &expected)?;
    Ok(Some(Engines {
        engines: found.count,
        cores_per_engine: found.cores,
        images,
        rounds,
        overtaken,
        early,
        made_bytes: before.saturating_sub(made),
        grown_bytes: made.saturating_sub(grown),
        cut_off,
        spoilt,
    }))
}

/// How many of `rounds` images came before work that was queued on their stream.
fn overtaken(
    decoder: &mut HardwareDecoder,
    encoded: &[u8],
    target: &Target,
    expected: &[u8],
    rounds: u32,
) -> Result<u32, CudaError> {
    let busy = DeviceMemory::new(&target.gpu, BUSY_BYTES)?;
    let mut overtaken = 0;
    for _ in 0..rounds {
        target.gpu.bind()?;
        if let Some(stream) = decoder.next_stream() {
            let stream = stream.cu_stream();
            // SAFETY: both blocks have these sizes; they live until the device was waited for, below.
            unsafe {
                for _ in 0..BUSY_ROUNDS {
                    result::memset_d8_async(busy.address(), 0, BUSY_BYTES, stream)
                        .map_err(failed("cuMemsetD8Async"))?;
                }
                result::memset_d8_async(target.address(0), CLEARED, IMAGE_BYTES, stream)
                    .map_err(failed("cuMemsetD8Async"))?;
            }
        }
        decode(decoder, &[encoded], target)?;
        target.settle()?;
        overtaken += u32::from(target.read(0)? != expected);
    }
    Ok(overtaken)
}

/// What is said to a batch with a damaged image, and how many of a whole one behind it are not as before.
fn after_damage(
    decoder: &mut HardwareDecoder,
    encoded: &[u8],
    target: &Target,
    expected: &[u8],
) -> Result<(String, u32), CudaError> {
    let mut batch = vec![encoded; target.images];
    let cut = target.images / 2;
    batch[cut] = &encoded[..encoded.len() / 2];
    target.clear()?;
    let said = match decode(decoder, &batch, target) {
        Ok(()) => "decoded without a word".to_owned(),
        Err(error) => error.to_string(),
    };
    batch[cut] = encoded;
    target.clear()?;
    decode(decoder, &batch, target)?;
    target.settle()?;
    let mut spoilt = 0;
    for image in 0..target.images {
        spoilt += u32::from(target.read(image)? != expected);
    }
    Ok((said, spoilt))
}

/// Decodes a batch to the first surfaces and waits for it as the renderer does.
fn decode(
    decoder: &mut HardwareDecoder,
    batch: &[&[u8]],
    target: &Target,
) -> Result<(), CudaError> {
    let batch: Vec<_> = batch
        .iter()
        .enumerate()
        .map(|(image, &encoded)| (encoded, target.surface(image)))
        .collect();
    // SAFETY: each surface is ours alone and as large as the image. Where work is queued before, that is what is asked
    // about; the worst that follows are wrong pixels.
    match unsafe { decoder.begin(&batch) }? {
        Begun::UnderWay => decoder.finish(),
        Begun::Refused(error) => Err(not_taken(error.to_string())),
    }
}

/// Bytes of a decoded image.
const IMAGE_BYTES: usize = 3 * (SIDE * SIDE) as usize;

/// Surfaces, one behind the other.
struct Target {
    gpu: Gpu,
    memory: DeviceMemory,
    images: usize,
}

impl Target {
    fn new(gpu: &Gpu, images: usize) -> Result<Self, CudaError> {
        let memory = DeviceMemory::new(gpu, images * IMAGE_BYTES)?;
        Ok(Self { gpu: gpu.clone(), memory, images })
    }

    fn address(&self, image: usize) -> u64 {
        assert!(image < self.images, "there are as many surfaces as images");
        self.memory.address() + (image * IMAGE_BYTES) as u64
    }

    fn surface(&self, image: usize) -> Surface {
        Surface { pixels: self.address(image), width: SIDE, height: SIDE, pitch: 3 * SIDE }
    }

    /// Waits for all work of the device.
    fn settle(&self) -> Result<(), CudaError> {
        self.gpu.context().synchronize().map_err(failed("cuCtxSynchronize"))
    }

    fn clear(&self) -> Result<(), CudaError> {
        self.settle()?;
        // SAFETY: the block has so many bytes, and nothing is under way.
        unsafe { result::memset_d8_sync(self.address(0), CLEARED, self.images * IMAGE_BYTES) }
            .map_err(failed("cuMemsetD8"))?;
        self.settle()
    }

    /// The pixels as they are now.
    fn read(&self, image: usize) -> Result<Vec<u8>, CudaError> {
        self.gpu.bind()?;
        let mut pixels = vec![0u8; IMAGE_BYTES];
        // SAFETY: the surface has so many bytes.
        unsafe { result::memcpy_dtoh_sync(&mut pixels, self.address(image)) }
            .map_err(failed("cuMemcpyDtoH"))?;
        Ok(pixels)
    }
}

/// A plain JPEG of [`SIDE`] pixels a side.
fn drawn() -> Result<Vec<u8>, CudaError> {
    let images = SyntheticSource::new(1, 1, SIDE, 0).read(RowGroupId(0));
    let images = images.map_err(|error| not_taken(error.to_string()))?;
    Ok(images.encoded(0).to_vec())
}

/// Device memory that nobody has.
fn free_bytes(gpu: &Gpu) -> Result<u64, CudaError> {
    gpu.context().synchronize().map_err(failed("cuCtxSynchronize"))?;
    let (free, _) = result::mem_get_info().map_err(failed("cuMemGetInfo"))?;
    Ok(free as u64)
}

fn not_taken(problem: String) -> CudaError {
    CudaError::Options {
        key: "images for the JPEG engines",
        value: problem,
        expected: "that they take the batch".to_owned(),
    }
}
