//! The JPEG engines by themselves: in which order they write, when a batch counts as ended, whether two batches at once
//! come out right, what a damaged image does to its batch, and what they take of memory.

use cudarc::driver::result;
use smog_pipeline::sample::RowGroupId;
use smog_pipeline::source::{Source, SyntheticSource};

use crate::driver::{DeviceMemory, Gpu, failed};
use crate::kernels::Surface;
use crate::nvjpeg::{self, Begun, HardwareDecoder, JpegEngines, Nvjpeg};
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
    /// How often each of the next three was tried.
    pub rounds: u32,
    /// Images that were decoded although work before them on their stream had not ended: the engines do not keep to its
    /// order. It is why surfaces are waited for on the host.
    pub overtaken: u32,
    /// Images that were not there yet when the wait for their batch was over. None should be.
    pub early: u32,
    /// Images of two batches under way at once that are not what they are alone, or were not written at all. None should
    /// be.
    pub wrong: u32,
    /// Device memory that the decoder took when it was made, in bytes.
    pub made_bytes: u64,
    /// What it took more with the batches, in bytes.
    pub grown_bytes: u64,
}

/// What a damaged image does to the engines.
#[derive(Clone, Debug, PartialEq)]
pub struct Damage {
    /// What nvJPEG says to a batch that holds a JPEG whose second half is missing.
    pub said: String,
    /// Images of a whole batch after that one that are not what they were before. None should be.
    pub spoilt: u32,
}

/// Tries the engines of a device. `None` where there are none.
///
/// # Errors
/// If the device lacks something, a call fails, or the engines refuse a plain image.
pub fn engines(device: u32, rounds: u32) -> Result<Option<Engines>, CudaError> {
    let Some(mut bench) = Bench::open(device)? else { return Ok(None) };
    let overtaken = bench.overtaken(rounds)?;
    let mut early = 0;
    for round in 0..rounds as usize {
        bench.target.clear()?;
        bench.decode(&vec![0; bench.images])?;
        // At once, and a single one: while others are read the engines could end what they had not.
        early += u32::from(!bench.is_there(round % bench.images, 0)?);
    }
    let wrong = bench.wrong_in_pairs(rounds)?;
    let after = free_bytes(&bench.target.gpu)?;
    Ok(Some(Engines {
        engines: bench.found.count,
        cores_per_engine: bench.found.cores,
        images: bench.images as u32,
        rounds,
        overtaken,
        early,
        wrong,
        made_bytes: bench.made_bytes,
        grown_bytes: bench.free_bytes.saturating_sub(after),
    }))
}

/// Gives the engines a damaged image. Some versions of nvJPEG are said to crash or hang over such: whatever else is to be
/// known of the machine comes before. `None` where there are no engines.
///
/// # Errors
/// As [`engines`].
pub fn engines_after_damage(device: u32) -> Result<Option<Damage>, CudaError> {
    let Some(mut bench) = Bench::open(device)? else { return Ok(None) };
    let whole = vec![0; bench.images];
    let mut cut = whole.clone();
    cut[bench.images / 2] = CUT;
    bench.target.clear()?;
    let said = match bench.decode(&cut) {
        Ok(()) => "decoded without a word".to_owned(),
        Err(error) => error.to_string(),
    };
    bench.target.clear()?;
    bench.decode(&whole)?;
    bench.target.settle()?;
    let mut spoilt = 0;
    for image in 0..bench.images {
        spoilt += u32::from(!bench.is_there(image, 0)?);
    }
    Ok(Some(Damage { said, spoilt }))
}

/// Which of the pictures is cut in half.
const CUT: usize = 2;

/// The engines, made as the renderer makes them, and what they are tried with.
struct Bench {
    found: JpegEngines,
    decoder: HardwareDecoder,
    made_bytes: u64,
    /// Device memory that was free then, before the first batch.
    free_bytes: u64,
    /// Images of a batch.
    images: usize,
    /// Room for two batches.
    target: Target,
    /// Two pictures, and the first half of the first.
    pictures: [Vec<u8>; 3],
    /// The pixels of the two.
    expected: Vec<Vec<u8>>,
}

impl Bench {
    fn open(device: u32) -> Result<Option<Self>, CudaError> {
        let gpu = Gpu::open(device)?;
        let library = Nvjpeg::load(&[])?;
        let Some(found) = nvjpeg::engines(&library, &gpu)? else { return Ok(None) };
        let images = HardwareDecoder::images_at_once(found.count, found.cores) as usize;
        let (first, second) = (drawn(0)?, drawn(1)?);
        let half = first[..first.len() / 2].to_vec();
        let target = Target::new(&gpu, 2 * images)?;
        let before = free_bytes(&gpu)?;
        let bytes = CudaOptions::DEFAULT_STAGING_BYTES;
        let decoder = HardwareDecoder::new(found.handle, &gpu, images, bytes)?;
        let free_bytes = free_bytes(&gpu)?;
        let made_bytes = before.saturating_sub(free_bytes);
        let (pictures, expected) = ([first, second, half], Vec::new());
        let mut new =
            Self { found, decoder, made_bytes, free_bytes, images, target, pictures, expected };
        for picture in [0, 1] {
            if !new.decoder.takes(&new.pictures[picture], SIDE, SIDE)? {
                return Err(not_taken("a header that is not supported".to_owned()));
            }
            new.target.clear()?;
            new.decode(&[picture])?;
            new.target.settle()?;
            new.expected.push(new.target.read(0)?);
        }
        if new.expected[0] == new.expected[1] {
            return Err(not_taken("two pictures that come out alike".to_owned()));
        }
        Ok(Some(new))
    }

    /// Begins a batch of pictures, on the surfaces from `first` on.
    fn begin(&mut self, pictures: &[usize], first: usize) -> Result<(), CudaError> {
        let surfaces = (first..).map(|image| self.target.surface(image));
        let batch: Vec<_> =
            pictures.iter().map(|&picture| &self.pictures[picture][..]).zip(surfaces).collect();
        // SAFETY: each surface is ours alone and as large as the image, and no other batch under way has it. Where work is
        // queued before, that is what is asked about; the worst that follows are wrong pixels.
        match unsafe { self.decoder.begin(&batch) }? {
            Begun::UnderWay => Ok(()),
            Begun::Refused(error) => Err(not_taken(error.to_string())),
        }
    }

    /// Decodes a batch to the first surfaces and waits for it as the renderer does.
    fn decode(&mut self, pictures: &[usize]) -> Result<(), CudaError> {
        self.begin(pictures, 0)?;
        self.decoder.finish()
    }

    /// Whether a surface shows the picture.
    fn is_there(&self, image: usize, picture: usize) -> Result<bool, CudaError> {
        Ok(self.target.read(image)? == self.expected[picture])
    }

    /// How many of `rounds` images came before work that was queued on their stream.
    fn overtaken(&mut self, rounds: u32) -> Result<u32, CudaError> {
        let busy = DeviceMemory::new(&self.target.gpu, BUSY_BYTES)?;
        let mut overtaken = 0;
        for _ in 0..rounds {
            self.target.gpu.bind()?;
            if let Some(stream) = self.decoder.next_stream() {
                let stream = stream.cu_stream();
                // SAFETY: both blocks have these sizes; they live until the device was waited for, below.
                unsafe {
                    for _ in 0..BUSY_ROUNDS {
                        result::memset_d8_async(busy.address(), 0, BUSY_BYTES, stream)
                            .map_err(failed("cuMemsetD8Async"))?;
                    }
                    result::memset_d8_async(self.target.address(0), CLEARED, IMAGE_BYTES, stream)
                        .map_err(failed("cuMemsetD8Async"))?;
                }
            }
            self.decode(&[0])?;
            self.target.settle()?;
            overtaken += u32::from(!self.is_there(0, 0)?);
        }
        Ok(overtaken)
    }

    /// Has two batches under way at once, as the renderer has, of different pictures, and counts the images that are not
    /// what they should be. All are looked at: engines were seen to pass over an image of a batch without a word.
    fn wrong_in_pairs(&mut self, rounds: u32) -> Result<u32, CudaError> {
        let images = self.images;
        let mut wrong = 0;
        for _ in 0..rounds {
            self.target.clear()?;
            self.begin(&vec![0; images], 0)?;
            self.begin(&vec![1; images], images)?;
            self.decoder.finish()?;
            self.decoder.finish()?;
            for image in 0..2 * images {
                wrong += u32::from(!self.is_there(image, image / images)?);
            }
        }
        Ok(wrong)
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

/// A plain JPEG of [`SIDE`] pixels a side, another one for each number.
fn drawn(number: u64) -> Result<Vec<u8>, CudaError> {
    let images = SyntheticSource::new(1, 1, SIDE, number).read(RowGroupId(0));
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
