//! libjpeg-turbo through its TurboJPEG interface: the reference decoder.
//!
//! The safe wrapper in the crate `turbojpeg` cannot decode a part of an image, so the interface's own
//! functions are called here. `unsafe` in this crate's codec is in this file only.

use std::ffi::{CStr, c_int};
use std::ptr::NonNull;

use turbojpeg::raw;

use super::any::{MAX_SCANS, reserve};
use super::header::{JpegColour, JpegHeader};
use super::{CodecError, DecodeRequest, Pixels, Region, colour};

/// What libjpeg says of scans that it decoded in full in spite of an oddity. Everything else that it warns
/// of means missing or made-up pixels. It reports its first warning only, so this one can hide a worse.
const HARMLESS: &str = "extraneous bytes before marker";
/// How its warnings about damaged data begin (`JWRN_*` of jerror.h): it goes on after them and fills in what
/// is missing. After any other message there is no image.
const FILLED_IN: [&str; 3] =
    ["Premature end of JPEG file", "Corrupt JPEG data", "Inconsistent progression sequence"];

/// Pixels beside the region that are decoded, too. At the sides of what is decoded there are no neighbours
/// from which chroma is interpolated, so pixels there differ from those of the whole image: up to two pixels
/// where chroma has half the columns.
pub(super) const MARGIN: u32 = 4;

/// One decompressor, kept from image to image with its tables and buffers.
pub(super) struct Turbo {
    handle: Handle,
    /// Keep what it filled in.
    pub(super) fill: bool,
}

impl Turbo {
    pub(super) fn new() -> Result<Self, CodecError> {
        Ok(Self { handle: limited()?, fill: false })
    }
}

/// An instance with the limit on scans.
fn limited() -> Result<Handle, CodecError> {
    let mut handle = Handle::new()?;
    handle.set(raw::TJPARAM_TJPARAM_SCANLIMIT, MAX_SCANS as c_int)?;
    Ok(handle)
}

impl Turbo {
    /// Decodes to RGB8 in `out`, as [`JpegBackend`](super::any::JpegBackend).
    pub(super) fn decode(
        &mut self,
        encoded: &[u8],
        header: &JpegHeader,
        request: &DecodeRequest,
        scratch: &mut Vec<u8>,
        out: &mut Pixels,
    ) -> Result<(), CodecError> {
        let result = self.try_decode(encoded, header, request, scratch, out);
        if result.is_err() {
            // An error in the header leaves TurboJPEG 3.1 in the midst of it (tj3DecompressHeader returns without
            // jpeg_abort_decompress), and every later image would be refused.
            self.handle = limited()?;
        }
        result
    }

    fn try_decode(
        &mut self,
        encoded: &[u8],
        header: &JpegHeader,
        request: &DecodeRequest,
        scratch: &mut Vec<u8>,
        out: &mut Pixels,
    ) -> Result<(), CodecError> {
        let scale = request.max_scale;
        let (width, height) = (header.width.div_ceil(scale), header.height.div_ceil(scale));
        // A warning here must not be taken for one of the decoding.
        let found = self.handle.read_header(encoded, scale)?;
        if (found.width, found.height) != (header.width, header.height) {
            let (width, height) = (found.width, found.height);
            return Err(damaged(format!("libjpeg-turbo takes the size for {width}x{height}")));
        }
        let whole = raw::tjregion { x: 0, y: 0, w: width as c_int, h: height as c_int };
        let part = match request.region {
            Some(region) if found.has_parts => {
                let part = part(region, scale, header.unit_width, &whole);
                self.handle.set_part(part)?;
                part
            }
            _ => whole,
        };
        reserve(out, part.w as u32, part.h as u32, scale);
        (out.left, out.top) = (part.x as u32 * scale, part.y as u32 * scale);
        if matches!(header.colour, JpegColour::Cmyk | JpegColour::Ycck) {
            scratch.resize(out.data.len() / 3 * 4, 0);
            let result = self.handle.decode(encoded, part, raw::TJPF_TJPF_CMYK, 4, scratch);
            self.accept(result)?;
            colour::cmyk_to_rgb(scratch, &mut out.data);
            Ok(())
        } else {
            let result = self.handle.decode(encoded, part, raw::TJPF_TJPF_RGB, 3, &mut out.data);
            self.accept(result)
        }
    }

    /// Lets pass what the library only warned of, where all pixels are there or may be made up.
    fn accept(&self, result: Result<(), CodecError>) -> Result<(), CodecError> {
        let passes = |warning: &str| {
            warning.contains(HARMLESS)
                || self.fill && FILLED_IN.iter().any(|text| warning.starts_with(text))
        };
        match result {
            Err(CodecError::Damaged { what }) if passes(&what) => Ok(()),
            result => result,
        }
    }
}

/// What to decode for `region` out of the `whole` reduced image. The left edge of a part is a multiple of the
/// reduced unit of coding.
fn part(region: Region, scale: u32, unit_width: u32, whole: &raw::tjregion) -> raw::tjregion {
    let unit = (unit_width / scale).max(1);
    let x = (region.x / scale).saturating_sub(MARGIN) / unit * unit;
    let y = (region.y / scale).saturating_sub(MARGIN);
    let right = (region.x + region.width).div_ceil(scale) + MARGIN;
    let bottom = (region.y + region.height).div_ceil(scale) + MARGIN;
    let [x, y, right, bottom] = [x, y, right, bottom].map(|value| value as c_int);
    raw::tjregion { x, y, w: right.min(whole.w) - x, h: bottom.min(whole.h) - y }
}

/// What the library says of a header.
struct Found {
    width: u32,
    height: u32,
    /// Whether parts can be decoded, which is so where it has a name for the subsampling.
    has_parts: bool,
}

/// A TurboJPEG instance.
struct Handle(NonNull<std::ffi::c_void>);

// SAFETY: an instance has no ties to the thread that made it, and is used through `&mut` only.
unsafe impl Send for Handle {}

impl Handle {
    fn new() -> Result<Self, CodecError> {
        // SAFETY: takes no pointers.
        let handle = unsafe { raw::tj3Init(raw::TJINIT_TJINIT_DECOMPRESS as c_int) };
        let handle = NonNull::new(handle.cast());
        handle.map(Self).ok_or_else(|| damaged("libjpeg-turbo cannot be started".into()))
    }

    fn set(&mut self, parameter: raw::TJPARAM, value: c_int) -> Result<(), CodecError> {
        // SAFETY: the instance is alive.
        let code = unsafe { raw::tj3Set(self.pointer(), parameter as c_int, value) };
        self.check(code)
    }

    fn get(&self, parameter: raw::TJPARAM) -> c_int {
        // SAFETY: the instance is alive.
        unsafe { raw::tj3Get(self.pointer(), parameter as c_int) }
    }

    /// Reads the header and sets the scale.
    fn read_header(&mut self, encoded: &[u8], scale: u32) -> Result<Found, CodecError> {
        let factor = raw::tjscalingfactor { num: 1, denom: scale as c_int };
        let whole = raw::tjregion { x: 0, y: 0, w: 0, h: 0 };
        let pointer = self.pointer();
        // SAFETY: the instance is alive, and the library reads the slice during the call only. The part of
        // the last image is unset before the size changes.
        let code = unsafe {
            match raw::tj3SetCroppingRegion(pointer, whole) {
                0 => match raw::tj3SetScalingFactor(pointer, factor) {
                    0 => raw::tj3DecompressHeader(
                        pointer,
                        encoded.as_ptr(),
                        encoded.len() as raw::size_t,
                    ),
                    code => code,
                },
                code => code,
            }
        };
        self.check(code)?;
        let size = |parameter| u32::try_from(self.get(parameter)).unwrap_or(0);
        Ok(Found {
            width: size(raw::TJPARAM_TJPARAM_JPEGWIDTH),
            height: size(raw::TJPARAM_TJPARAM_JPEGHEIGHT),
            has_parts: self.get(raw::TJPARAM_TJPARAM_SUBSAMP) != raw::TJSAMP_TJSAMP_UNKNOWN,
        })
    }

    /// Sets what to decode of the image whose header was read.
    fn set_part(&mut self, part: raw::tjregion) -> Result<(), CodecError> {
        // SAFETY: the instance is alive.
        let code = unsafe { raw::tj3SetCroppingRegion(self.pointer(), part) };
        self.check(code)
    }

    /// Decodes the part that was set.
    fn decode(
        &mut self,
        encoded: &[u8],
        part: raw::tjregion,
        format: raw::TJPF,
        pixel_bytes: c_int,
        out: &mut [u8],
    ) -> Result<(), CodecError> {
        let pitch = pixel_bytes * part.w;
        assert_eq!(out.len(), pitch as usize * part.h as usize);
        let (pointer, format) = (self.pointer(), format as c_int);
        // SAFETY: the instance is alive and the slices are as long as the library is told or, for `out`, as
        // `part` says. The header is that of `read_header`, since the bytes are, so the library writes
        // `part.h` rows of `pitch` bytes.
        let code = unsafe {
            raw::tj3Decompress8(
                pointer,
                encoded.as_ptr(),
                encoded.len() as raw::size_t,
                out.as_mut_ptr(),
                pitch,
                format,
            )
        };
        self.check(code)
    }

    fn check(&self, code: c_int) -> Result<(), CodecError> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: the instance is alive; the library gives a text that ends with 0 and that stays as it is
        // until the next call.
        let text = unsafe { CStr::from_ptr(raw::tj3GetErrorStr(self.pointer())) };
        Err(damaged(text.to_string_lossy().into_owned()))
    }

    fn pointer(&self) -> raw::tjhandle {
        self.0.as_ptr().cast()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the instance is alive, and not used afterwards.
        unsafe { raw::tj3Destroy(self.pointer()) };
    }
}

fn damaged(what: String) -> CodecError {
    CodecError::Damaged { what }
}

#[cfg(test)]
mod tests;
