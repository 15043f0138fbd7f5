//! The JPEG engines, which decode in batches. Two batches are under way: while the engines work on one, the next is
//! put together.

use std::collections::VecDeque;
use std::ptr;
use std::sync::Arc;

use cudarc::driver::CudaStream;
use nvjpeg_sys as sys;

use super::handle::Handle;
use super::hybrid::image;
use super::status::{check, is_refusal};
use crate::CudaError;
use crate::driver::{Event, Gpu, PinnedMemory};
use crate::kernels::Surface;

/// A state may not be used again before its batch has ended.
const NUM_STATES: usize = 2;
/// Images per core of the engines in a batch where nothing else is said: enough that they do not run dry between two
/// batches, and few enough that the last image of a slot does not wait long.
const IMAGES_PER_CORE: u32 = 4;
/// Side of the largest images that the engines are told to expect, in whatever sampling; it also turns on the library's
/// memory pool. A batch with larger ones makes nvJPEG free and allocate device memory, which waits for the device, so this
/// is more than nearly all photographs of a training set have. It costs 12.6 MB for an image of a batch.
const EXPECTED_SIDE: i32 = 2048;
/// The engines are not asked for images with a smaller side, which their hardware does not take: a batch with one would
/// fail as a whole.
pub(crate) const LEAST_SIDE: u32 = 64;

/// The engines of a device, used from one thread.
#[derive(Debug)]
pub(crate) struct HardwareDecoder {
    handle: Handle,
    free: Vec<State>,
    /// Oldest first.
    busy: VecDeque<State>,
    header: Header,
    gpu: Gpu,
}

/// What became of a batch that was to begin.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Begun {
    /// It is under way.
    UnderWay,
    /// It is refused as a whole, for this reason; nothing of it is under way any more.
    Refused(CudaError),
}

/// What one batch needs.
#[derive(Debug)]
struct State {
    raw: sys::nvjpegJpegState_t,
    stream: Arc<CudaStream>,
    decoded: Event,
    /// The bytes of the images: the engines read them by themselves.
    staging: PinnedMemory,
}

/// For the question whether an image is supported; null where it was not made yet.
#[derive(Debug)]
struct Header(sys::nvjpegJpegStream_t);

// SAFETY: the objects may be used in one thread at a time, whichever it is, and are not shared.
unsafe impl Send for State {}
// SAFETY: as above.
unsafe impl Send for Header {}

impl HardwareDecoder {
    /// Images that make a batch for so many engines and cores in each.
    pub(crate) fn images_at_once(engines: u32, cores: u32) -> u32 {
        IMAGES_PER_CORE * engines * cores
    }

    /// Batches of up to `max_images` images and `staging_bytes` bytes.
    pub(crate) fn new(
        handle: Handle,
        gpu: &Gpu,
        max_images: usize,
        staging_bytes: usize,
    ) -> Result<Self, CudaError> {
        gpu.bind()?;
        let header = Header(ptr::null_mut());
        let (free, busy) = (Vec::new(), VecDeque::new());
        let mut new = Self { handle, free, busy, header, gpu: gpu.clone() };
        // SAFETY: the handle is never destroyed, and the object is written to a valid place.
        check("nvjpegJpegStreamCreate", unsafe {
            sys::nvjpegJpegStreamCreate(handle.raw(), &raw mut new.header.0)
        })?;
        for _ in 0..NUM_STATES {
            let mut state = State {
                raw: ptr::null_mut(),
                stream: gpu.stream()?,
                decoded: Event::new(gpu)?,
                staging: PinnedMemory::new(gpu, staging_bytes)?,
            };
            // SAFETY: as above.
            check("nvjpegJpegStateCreate", unsafe {
                sys::nvjpegJpegStateCreate(handle.raw(), &raw mut state.raw)
            })?;
            let raw = state.raw;
            new.free.push(state);
            // SAFETY: the state was just made and has no batch.
            check("nvjpegDecodeBatchedPreAllocate", unsafe {
                sys::nvjpegDecodeBatchedPreAllocate(
                    handle.raw(),
                    raw,
                    max_images as i32,
                    EXPECTED_SIDE,
                    EXPECTED_SIDE,
                    // The largest, so that memory serves batches of any.
                    sys::nvjpegChromaSubsampling_t_NVJPEG_CSS_444,
                    sys::nvjpegOutputFormat_t_NVJPEG_OUTPUT_RGBI,
                )
            })?;
        }
        Ok(new)
    }

    /// Whether the engines take the image of this size, by its header.
    pub(crate) fn takes(
        &mut self,
        encoded: &[u8],
        width: u32,
        height: u32,
    ) -> Result<bool, CudaError> {
        if width.min(height) < LEAST_SIDE {
            return Ok(false);
        }
        self.gpu.bind()?;
        let jpeg = self.header.0;
        // SAFETY: the bytes are read for their length, and nothing of them is used after the second call.
        let parsed = unsafe {
            sys::nvjpegJpegStreamParseHeader(
                self.handle.raw(),
                encoded.as_ptr(),
                encoded.len(),
                jpeg,
            )
        };
        if is_refusal("nvjpegJpegStreamParseHeader", parsed) {
            return Ok(false);
        }
        check("nvjpegJpegStreamParseHeader", parsed)?;
        let mut found = (0, 0);
        // SAFETY: two integers are written to valid places.
        check("nvjpegJpegStreamGetFrameDimensions", unsafe {
            sys::nvjpegJpegStreamGetFrameDimensions(jpeg, &raw mut found.0, &raw mut found.1)
        })?;
        if found != (width, height) {
            // It reads the header otherwise than we do, and would write beyond the surface.
            return Ok(false);
        }
        let mut refused = 1;
        // SAFETY: one integer is written to a valid place.
        let asked =
            unsafe { sys::nvjpegDecodeBatchedSupported(self.handle.raw(), jpeg, &raw mut refused) };
        if is_refusal("nvjpegDecodeBatchedSupported", asked) {
            return Ok(false);
        }
        check("nvjpegDecodeBatchedSupported", asked)?;
        // Zero is yes.
        Ok(refused == 0)
    }

    /// Begins a batch.
    ///
    /// # Safety
    /// Each surface is device memory of its image's size that nothing has used since the host last saw it free, and
    /// nothing uses before [`HardwareDecoder::finish`] has returned for this batch. The engines do not keep to the order
    /// of the stream, so work that is only enqueued before does not count as ended.
    pub(crate) unsafe fn begin(&mut self, batch: &[(&[u8], Surface)]) -> Result<Begun, CudaError> {
        self.gpu.bind()?;
        let Some(mut state) = self.free.pop() else {
            return Err(CudaError::Options {
                key: "batches under way",
                value: self.busy.len().to_string(),
                expected: format!("less than {NUM_STATES} before another begins"),
            });
        };
        // SAFETY: passed on.
        let called = unsafe { enqueue(self.handle, &mut state, batch) };
        let recorded = state.decoded.record(&state.stream);
        let (what, status) = match (called, recorded) {
            (Ok(called), Ok(())) => called,
            (Err(error), _) | (_, Err(error)) => {
                self.free.push(state);
                return Err(error);
            }
        };
        let Err(error) = check(what, status) else {
            self.busy.push_back(state);
            return Ok(Begun::UnderWay);
        };
        // Some images may have been begun.
        let ended = state.decoded.wait();
        self.free.push(state);
        ended?;
        // One bad image fails them all, and the status does not say which.
        if is_refusal(what, status) || status == sys::nvjpegStatus_t_NVJPEG_STATUS_EXECUTION_FAILED
        {
            return Ok(Begun::Refused(error));
        }
        Err(error)
    }

    /// The stream that the next batch is given; `None` while all are under way.
    pub(crate) fn next_stream(&self) -> Option<&Arc<CudaStream>> {
        self.free.last().map(|state| &state.stream)
    }

    /// Waits for the oldest batch.
    pub(crate) fn finish(&mut self) -> Result<(), CudaError> {
        let Some(state) = self.busy.pop_front() else { return Ok(()) };
        let ended = state.decoded.wait();
        self.free.push(state);
        ended
    }
}

/// Copies the bytes to pinned memory and hands all to the engines. Gives the last call and its status.
///
/// # Safety
/// As [`HardwareDecoder::begin`].
unsafe fn enqueue(
    handle: Handle,
    state: &mut State,
    batch: &[(&[u8], Surface)],
) -> Result<(&'static str, sys::nvjpegStatus_t), CudaError> {
    let total: usize = batch.iter().map(|(encoded, _)| encoded.len()).sum();
    let staging = state.staging.bytes_mut();
    if total > staging.len() {
        return Err(CudaError::Options {
            key: "staging_bytes",
            value: staging.len().to_string(),
            expected: format!("at least the {total} of a batch"),
        });
    }
    let (mut lengths, mut images) = (Vec::new(), Vec::new());
    let mut at = 0;
    for (encoded, surface) in batch {
        staging[at..at + encoded.len()].copy_from_slice(encoded);
        lengths.push(encoded.len());
        images.push(image(surface));
        at += encoded.len();
    }
    let base = state.staging.bytes().as_ptr();
    let mut at = 0;
    let starts: Vec<*const u8> = lengths
        .iter()
        .map(|&length| {
            let start = base.wrapping_add(at);
            at += length;
            start
        })
        .collect();
    // SAFETY: the state has no batch under way: it was in `free`.
    let status = unsafe {
        sys::nvjpegDecodeBatchedInitialize(
            handle.raw(),
            state.raw,
            batch.len() as i32,
            1,
            sys::nvjpegOutputFormat_t_NVJPEG_OUTPUT_RGBI,
        )
    };
    if status != sys::nvjpegStatus_t_NVJPEG_STATUS_SUCCESS {
        return Ok(("nvjpegDecodeBatchedInitialize", status));
    }
    // SAFETY: the arrays have one entry per image; the staged bytes stay until the batch has ended, since the state is
    // not reused before; the surfaces are the engines' by the caller's promise.
    let status = unsafe {
        sys::nvjpegDecodeBatched(
            handle.raw(),
            state.raw,
            starts.as_ptr(),
            lengths.as_ptr(),
            images.as_mut_ptr(),
            state.stream.cu_stream().cast(),
        )
    };
    Ok(("nvjpegDecodeBatched", status))
}

impl Drop for HardwareDecoder {
    fn drop(&mut self) {
        while !self.busy.is_empty() {
            if let Err(error) = self.finish() {
                tracing::debug!(%error, "the JPEG engines were left as they are");
                return;
            }
        }
        let bound = self.gpu.bind();
        if bound.is_err() {
            return;
        }
        let jpeg = self.header.0;
        // SAFETY: each object was made by this decoder, is destroyed once, and all its work has ended.
        unsafe {
            for state in self.free.drain(..).filter(|state| !state.raw.is_null()) {
                sys::nvjpegJpegStateDestroy(state.raw);
            }
            if !jpeg.is_null() {
                sys::nvjpegJpegStreamDestroy(jpeg);
            }
        }
    }
}
