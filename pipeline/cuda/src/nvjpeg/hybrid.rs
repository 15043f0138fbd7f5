//! nvJPEG's hybrid decoder: Huffman decoding on the calling thread, the rest on the GPU. One per worker.

use std::ptr;
use std::sync::{Arc, Once};

use cudarc::driver::CudaStream;
use nvjpeg_sys as sys;

use super::handle::Handle;
use super::status::{check, is_refusal};
use crate::CudaError;
use crate::driver::{Event, Gpu};
use crate::kernels::Surface;

/// What one image needs after another. Its buffers grow to the largest image and stay so.
#[derive(Debug)]
pub(crate) struct HybridDecoder {
    handle: Handle,
    parts: Parts,
    stream: Arc<CudaStream>,
    decoded: Event,
    gpu: Gpu,
}

/// Objects of nvJPEG, null where they were not made yet.
#[derive(Debug)]
struct Parts {
    decoder: sys::nvjpegJpegDecoder_t,
    state: sys::nvjpegJpegState_t,
    pinned: sys::nvjpegBufferPinned_t,
    device: sys::nvjpegBufferDevice_t,
    jpeg: sys::nvjpegJpegStream_t,
    params: sys::nvjpegDecodeParams_t,
}

// SAFETY: the objects may be used in one thread at a time, whichever it is, and are not shared.
unsafe impl Send for Parts {}

impl HybridDecoder {
    pub(crate) fn new(handle: Handle, gpu: &Gpu) -> Result<Self, CudaError> {
        gpu.bind()?;
        let parts = Parts {
            decoder: ptr::null_mut(),
            state: ptr::null_mut(),
            pinned: ptr::null_mut(),
            device: ptr::null_mut(),
            jpeg: ptr::null_mut(),
            params: ptr::null_mut(),
        };
        // From here on the drop frees what there is, also where a later step fails.
        let mut new = Self {
            handle,
            parts,
            stream: gpu.stream()?,
            decoded: Event::new(gpu)?,
            gpu: gpu.clone(),
        };
        let (raw, parts) = (handle.raw(), &mut new.parts);
        let backend = sys::nvjpegBackend_t_NVJPEG_BACKEND_HYBRID;
        // SAFETY: the handle is never destroyed, each object is written to a valid place and used only after the call
        // that made it succeeded.
        unsafe {
            check(
                "nvjpegDecoderCreate",
                sys::nvjpegDecoderCreate(raw, backend, &raw mut parts.decoder),
            )?;
            check(
                "nvjpegDecoderStateCreate",
                sys::nvjpegDecoderStateCreate(raw, parts.decoder, &raw mut parts.state),
            )?;
            check(
                "nvjpegBufferPinnedCreate",
                sys::nvjpegBufferPinnedCreate(raw, ptr::null_mut(), &raw mut parts.pinned),
            )?;
            check(
                "nvjpegBufferDeviceCreate",
                sys::nvjpegBufferDeviceCreate(raw, ptr::null_mut(), &raw mut parts.device),
            )?;
            check(
                "nvjpegStateAttachPinnedBuffer",
                sys::nvjpegStateAttachPinnedBuffer(parts.state, parts.pinned),
            )?;
            check(
                "nvjpegStateAttachDeviceBuffer",
                sys::nvjpegStateAttachDeviceBuffer(parts.state, parts.device),
            )?;
            check("nvjpegJpegStreamCreate", sys::nvjpegJpegStreamCreate(raw, &raw mut parts.jpeg))?;
            check(
                "nvjpegDecodeParamsCreate",
                sys::nvjpegDecodeParamsCreate(raw, &raw mut parts.params),
            )?;
            check(
                "nvjpegDecodeParamsSetOutputFormat",
                sys::nvjpegDecodeParamsSetOutputFormat(
                    parts.params,
                    sys::nvjpegOutputFormat_t_NVJPEG_OUTPUT_RGBI,
                ),
            )?;
        }
        Ok(new)
    }

    /// The stream of this decoder.
    pub(crate) fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// Decodes into `surface` and waits until that is done. `false` where nvJPEG refuses the image.
    ///
    /// # Safety
    /// The surface is device memory of its size that nothing else uses until this returns.
    pub(crate) unsafe fn decode(
        &mut self,
        encoded: &[u8],
        surface: &Surface,
    ) -> Result<bool, CudaError> {
        static SAID: Once = Once::new();

        self.gpu.bind()?;
        // SAFETY: passed on; `encoded` lives until all has ended, below.
        let status = unsafe { self.enqueue(encoded, surface) };
        // Also after a refusal: some of it may have been enqueued, and reads `encoded` and the buffers.
        self.decoded.record(&self.stream)?;
        self.decoded.wait()?;
        match status {
            (_, sys::nvjpegStatus_t_NVJPEG_STATUS_SUCCESS) => Ok(true),
            (what, status) if is_refusal(what, status) => Ok(false),
            // The stream was waited for without an error, so the GPU is there and it is this image that failed.
            (what, sys::nvjpegStatus_t_NVJPEG_STATUS_EXECUTION_FAILED) => {
                SAID.call_once(|| {
                    tracing::warn!(
                        what,
                        "nvJPEG fails to decode an image; the processor takes such images (said once)"
                    );
                });
                Ok(false)
            }
            (what, status) => check(what, status).map(|()| true),
        }
    }

    /// # Safety
    /// As [`HybridDecoder::decode`]; `encoded` stays until the stream was waited for.
    unsafe fn enqueue(
        &mut self,
        encoded: &[u8],
        surface: &Surface,
    ) -> (&'static str, sys::nvjpegStatus_t) {
        let Parts { decoder, state, jpeg, params, .. } = self.parts;
        let (handle, stream) = (self.handle.raw(), self.stream.cu_stream().cast());
        // SAFETY: the bytes are read for their length; neither metadata nor a copy of the stream is kept.
        let status = unsafe {
            sys::nvjpegJpegStreamParse(handle, encoded.as_ptr(), encoded.len(), 0, 0, jpeg)
        };
        if status != sys::nvjpegStatus_t_NVJPEG_STATUS_SUCCESS {
            return ("nvjpegJpegStreamParse", status);
        }
        let (mut width, mut height) = (0, 0);
        // SAFETY: two integers are written to valid places.
        let status = unsafe {
            sys::nvjpegJpegStreamGetFrameDimensions(jpeg, &raw mut width, &raw mut height)
        };
        if status != sys::nvjpegStatus_t_NVJPEG_STATUS_SUCCESS {
            return ("nvjpegJpegStreamGetFrameDimensions", status);
        }
        if (width, height) != (surface.width, surface.height) {
            // It reads the header otherwise than we do, and would write beyond the surface.
            return ("the size in the header", sys::nvjpegStatus_t_NVJPEG_STATUS_BAD_JPEG);
        }
        // SAFETY: all objects are of this decoder, which no other thread uses meanwhile.
        let status = unsafe { sys::nvjpegDecodeJpegHost(handle, decoder, state, params, jpeg) };
        if status != sys::nvjpegStatus_t_NVJPEG_STATUS_SUCCESS {
            return ("nvjpegDecodeJpegHost", status);
        }
        // SAFETY: as above; the stream lives as long as `self`.
        let status =
            unsafe { sys::nvjpegDecodeJpegTransferToDevice(handle, decoder, state, jpeg, stream) };
        if status != sys::nvjpegStatus_t_NVJPEG_STATUS_SUCCESS {
            return ("nvjpegDecodeJpegTransferToDevice", status);
        }
        let mut image = image(surface);
        // SAFETY: as above; the surface has the size of the image, and is left alone by the caller's promise.
        let status =
            unsafe { sys::nvjpegDecodeJpegDevice(handle, decoder, state, &raw mut image, stream) };
        ("nvjpegDecodeJpegDevice", status)
    }
}

impl Drop for HybridDecoder {
    fn drop(&mut self) {
        let Parts { decoder, state, pinned, device, jpeg, params } = self.parts;
        if let Err(error) = self.gpu.bind().and_then(|()| self.decoded.wait()) {
            tracing::debug!(%error, "a hybrid decoder was left as it is");
            return;
        }
        // What was never made is null. The state goes before the buffers that are attached to it.
        // SAFETY: each object was made by this decoder, is destroyed once, and all its work has ended.
        unsafe {
            if !params.is_null() {
                sys::nvjpegDecodeParamsDestroy(params);
            }
            if !jpeg.is_null() {
                sys::nvjpegJpegStreamDestroy(jpeg);
            }
            if !state.is_null() {
                sys::nvjpegJpegStateDestroy(state);
            }
            if !device.is_null() {
                sys::nvjpegBufferDeviceDestroy(device);
            }
            if !pinned.is_null() {
                sys::nvjpegBufferPinnedDestroy(pinned);
            }
            if !decoder.is_null() {
                sys::nvjpegDecoderDestroy(decoder);
            }
        }
    }
}

/// A surface as nvJPEG wants it.
pub(super) fn image(surface: &Surface) -> sys::nvjpegImage_t {
    let mut image = sys::nvjpegImage_t { channel: [ptr::null_mut(); 4], pitch: [0; 4] };
    image.channel[0] = surface.pixels as *mut u8;
    image.pitch[0] = surface.pitch as usize;
    image
}
