//! The crate `jpeg-decoder`, kept quiet.
//!
//! For images above 128 pixels it wants to work in parallel and has no switch against that: built without
//! its rayon feature it starts one OS thread per colour component and image, built with it it puts each row
//! of blocks into the rayon pool it is called in, by default the global one. Threads per image cost more
//! than they bring and a global pool would be shared by all workers. So each instance has a pool of one
//! thread and runs whole images in it: nothing is done in parallel, no thread is started per image, and the
//! calling worker sleeps meanwhile. The price is one more thread for each worker that uses this decoder.

use ::jpeg_decoder::{ColorTransform, Decoder, PixelFormat};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::any::{JpegBackend, reserve};
use super::header::{JpegColour, JpegHeader};
use super::{CodecError, DecodeRequest, Pixels, colour};

/// The pool; the decoder itself keeps nothing from image to image.
pub(super) struct Quiet {
    pool: ThreadPool,
}

impl Quiet {
    pub(super) fn new() -> Result<Self, CodecError> {
        let pool = ThreadPoolBuilder::new().num_threads(1).thread_name(|_| "jpeg-decoder".into());
        let pool = pool.build().map_err(|error| CodecError::Damaged {
            what: format!("no thread for the decoder: {error}"),
        })?;
        Ok(Self { pool })
    }
}

impl JpegBackend for Quiet {
    fn decode(
        &mut self,
        encoded: &[u8],
        header: &JpegHeader,
        request: &DecodeRequest,
        _scratch: &mut Vec<u8>,
        out: &mut Pixels,
    ) -> Result<bool, CodecError> {
        let (pixels, width, height, format) =
            self.pool.install(|| decode(encoded, header, request.max_scale)).map_err(damaged)?;
        let reduced = |scale: u32| (header.width.div_ceil(scale), header.height.div_ceil(scale));
        let scale = [1, 2, 4, 8].into_iter().find(|&scale| reduced(scale) == (width, height));
        reserve(out, width, height, scale.unwrap_or(1));
        let channels = format.pixel_bytes();
        if scale.is_none() || pixels.len() / channels != out.data.len() / 3 {
            let what = format!("{} bytes for {width}x{height} pixels", pixels.len());
            return Err(CodecError::Damaged { what });
        }
        match format {
            PixelFormat::L8 => colour::gray_to_rgb(&pixels, &mut out.data),
            PixelFormat::RGB24 => out.data.copy_from_slice(&pixels),
            PixelFormat::CMYK32 => {
                // It inverts all four channels; the file's own values are wanted.
                let mut stored = pixels;
                stored.iter_mut().for_each(|value| *value = 255 - *value);
                colour::cmyk_to_rgb(&stored, &mut out.data);
            }
            PixelFormat::L16 => return Err(CodecError::Unsupported { what: "16-bit JPEG".into() }),
        }
        Ok(true)
    }
}

type Decoded = (Vec<u8>, u32, u32, PixelFormat);

fn decode(
    encoded: &[u8],
    header: &JpegHeader,
    max_scale: u32,
) -> Result<Decoded, ::jpeg_decoder::Error> {
    let mut decoder = Decoder::new(encoded);
    let bytes = u64::from(header.width) * u64::from(header.height) * u64::from(header.components);
    // It rounds planes up to whole blocks, up to 32 pixels on a side.
    let rounded = (usize::try_from(bytes).unwrap_or(usize::MAX)).saturating_mul(2);
    decoder.set_max_decoding_buffer_size(rounded.saturating_add(1 << 20));
    decoder.set_color_transform(match header.colour {
        JpegColour::Gray => ColorTransform::Grayscale,
        JpegColour::YCbCr => ColorTransform::YCbCr,
        JpegColour::Rgb => ColorTransform::RGB,
        JpegColour::Cmyk => ColorTransform::CMYK,
        JpegColour::Ycck => ColorTransform::YCCK,
    });
    if max_scale > 1 {
        let side = |length: u32| length.div_ceil(max_scale) as u16;
        decoder.scale(side(header.width), side(header.height))?;
    }
    let pixels = decoder.decode()?;
    let format = "no header after the decode";
    let info = decoder.info().ok_or_else(|| ::jpeg_decoder::Error::Format(format.into()))?;
    Ok((pixels, info.width.into(), info.height.into(), info.pixel_format))
}

fn damaged(error: ::jpeg_decoder::Error) -> CodecError {
    match error {
        ::jpeg_decoder::Error::Unsupported(feature) => {
            CodecError::Unsupported { what: format!("{feature:?}") }
        }
        other => CodecError::Damaged { what: other.to_string() },
    }
}
