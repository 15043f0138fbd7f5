//! One decoder for all formats: tells the format, checks limits, and hands on.

use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(target_arch = "x86_64")]
use super::baseline::Baseline;
use super::header::{self, JpegHeader};
use super::jpeg_decoder::Quiet;
use super::turbo::Turbo;
use super::zune::Zune;
use super::{
    CodecError, DamagePolicy, DecodeLimits, DecodeRequest, DecoderKind, ImageDecoder, Pixels,
    Region, png, webp,
};
use crate::sample::{ImageFlags, ImageFormat, ImageMeta};

/// More scans than any encoder writes (libjpeg's default script has 10). Each scan walks the whole image,
/// so a small file with thousands of them would keep a worker busy for hours.
pub(super) const MAX_SCANS: usize = 100;
/// Limit on scans times pixels, for the same reason: 40 scans of the largest image.
const MAX_SCAN_PIXELS: u64 = 4_000_000_000;
/// A JPEG holds at most about 700 pixels a byte (a flat grey one). What claims far more is cut off or
/// hostile, and is refused before a buffer of its size is made.
const MAX_PIXELS_PER_BYTE: u64 = 4096;

/// A JPEG decoder beside the reference. The header was read and the limits checked.
pub(super) trait JpegBackend: Send {
    /// Decodes to RGB8 in `out`. `max_scale` is 1, 2, 4 or 8, and the region lies inside the image. `false` if the
    /// file is left to the reference; `out` then holds nothing of use.
    fn decode(
        &mut self,
        encoded: &[u8],
        header: &JpegHeader,
        request: &DecodeRequest,
        scratch: &mut Vec<u8>,
        out: &mut Pixels,
    ) -> Result<bool, CodecError>;
}

/// A decoder for JPEG, PNG and WebP; `kind` chooses the library for JPEG.
///
/// # What counts as damaged
/// Unless [`DamagePolicy::Fill`] is chosen, an image is refused rather than filled in: where data is missing or
/// a library had to make up pixels, the sample is bad. Two rules make the libraries agree on most files before they begin: a JPEG without an end
/// marker is cut off, as PIL has it, and sizes and number of scans that its bytes cannot hold are refused.
/// Of what libjpeg-turbo warns of, only what costs no pixels is let pass: bytes without meaning
/// between markers, unknown versions, superfluous scan parameters. Where libraries
/// still differ, libjpeg-turbo is the reference: *a sample is bad if and only if the reference decoder
/// refuses it*. A GPU renderer that refuses more has to hand those images to it.
///
/// Whatever `kind` says, libjpeg-turbo decodes what has to be filled in, and what the other libraries are known to
/// show otherwise or not at all: an image looks the same with each of them, within 2 levels.
///
/// Where only a part of an image is asked for, libjpeg-turbo reads no further than that part's last row, so
/// damage below it goes unseen: the sample is bad if and only if the reference decoder refuses *the part that
/// its views need*. That part follows from the plan, hence from (seed, epoch, sample), and never from
/// threads. `smog-tools shard` decodes whole images, unless told not to, and lets no damaged one in.
///
/// A panic inside a library is caught and refuses the image; inside another JPEG decoder than the reference it leaves the
/// image to that.
pub fn decoder(kind: DecoderKind, limits: DecodeLimits) -> Box<dyn ImageDecoder> {
    Box::new(AnyDecoder {
        kind,
        limits,
        jpeg: None,
        reference: None,
        damage: None,
        scratch: Vec::new(),
        regular: Vec::new(),
    })
}

struct AnyDecoder {
    kind: DecoderKind,
    limits: DecodeLimits,
    /// Made at the first JPEG, and again after a panic inside it.
    jpeg: Option<Box<dyn JpegBackend>>,
    /// Made at the first image that `kind` does not take, or that has to be filled in.
    reference: Option<Turbo>,
    /// See [`ImageDecoder::damage`].
    damage: Option<String>,
    /// Pixels before the conversion to RGB.
    scratch: Vec<u8>,
    /// A file whose header had to be put in order.
    regular: Vec<u8>,
}

impl ImageDecoder for AnyDecoder {
    fn name(&self) -> &'static str {
        self.kind.as_str()
    }

    fn decode(
        &mut self,
        encoded: &[u8],
        meta: &ImageMeta,
        request: &DecodeRequest,
        out: &mut Pixels,
    ) -> Result<(), CodecError> {
        self.damage = None;
        let format = header::format(encoded)?;
        let scratch = &mut self.scratch;
        match format {
            ImageFormat::Jpeg => {
                let header = JpegHeader::parse(encoded)?;
                check_size(header.width, header.height, meta, self.limits)?;
                check_scans(encoded, &header)?;
                let whole = check_end(encoded, &header);
                let encoded = header.regular(encoded, &mut self.regular);
                let request = request.for_image(header.width, header.height);
                let result = whole.and_then(|()| {
                    if self.kind.takes(&header)
                        && let Some(mut backend) = match self.jpeg.take() {
                            Some(backend) => Some(backend),
                            None => new_backend(self.kind)?,
                        }
                    {
                        let decode = || backend.decode(encoded, &header, &request, scratch, out);
                        let result = guard(decode);
                        if !matches!(result, Err(Refused::Panic(_))) {
                            self.jpeg = Some(backend);
                        }
                        if matches!(result, Ok(true)) {
                            return Ok(());
                        }
                        // Whether it may be shown is the reference's to say, also where this one refuses it.
                    }
                    let reference = reference(&mut self.reference, false)?;
                    guard(|| reference.decode(encoded, &header, &request, scratch, out))
                        .map_err(Refused::into_error)
                });
                let accepted = meta.flags.contains(ImageFlags::DAMAGED);
                let fill = accepted || self.limits.damaged == DamagePolicy::Fill;
                let Err(CodecError::Damaged { what }) = result else { return result };
                if !fill {
                    return Err(CodecError::Damaged { what });
                }
                let reference = reference(&mut self.reference, true)?;
                reference.decode(encoded, &header, &request, scratch, out)?;
                self.damage = Some(what);
                Ok(())
            }
            ImageFormat::Png | ImageFormat::WebP => {
                let found = header::probe(encoded)?;
                check_size(found.width, found.height, meta, self.limits)?;
                let decode = if format == ImageFormat::Png { png::decode } else { webp::decode };
                guard(|| decode(encoded, &found, scratch, out)).map_err(Refused::into_error)
            }
        }
    }

    fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }
}

impl DecodeRequest {
    /// With a scale that decoders know, and the region cut to the image.
    fn for_image(&self, width: u32, height: u32) -> Self {
        let max_scale = [8, 4, 2].into_iter().find(|&scale| self.max_scale >= scale).unwrap_or(1);
        let region = self.region.map(|region| {
            let (x, y) = (region.x.min(width - 1), region.y.min(height - 1));
            Region {
                x,
                y,
                width: region.width.clamp(1, width - x),
                height: region.height.clamp(1, height - y),
            }
        });
        Self { max_scale, region }
    }
}

/// `None` where the reference itself decodes.
fn new_backend(kind: DecoderKind) -> Result<Option<Box<dyn JpegBackend>>, CodecError> {
    Ok(match kind {
        #[cfg(target_arch = "x86_64")]
        DecoderKind::Baseline => Some(Box::new(Baseline::new())),
        #[cfg(not(target_arch = "x86_64"))]
        DecoderKind::Baseline => None,
        DecoderKind::TurboJpeg => None,
        DecoderKind::ZuneJpeg => Some(Box::new(Zune)),
        DecoderKind::JpegDecoder => Some(Box::new(Quiet::new()?)),
    })
}

/// libjpeg-turbo, made when it is first needed; `fill` keeps what it fills in.
fn reference(kept: &mut Option<Turbo>, fill: bool) -> Result<&mut Turbo, CodecError> {
    let turbo = match kept {
        Some(turbo) => turbo,
        none => none.insert(Turbo::new()?),
    };
    turbo.fill = fill;
    Ok(turbo)
}

/// What is looked at before any decoder runs: the header, the limits, the size that the manifest says, the number of
/// scans, and the end marker. A decoder of another kind than those of this crate takes what passes, and leaves the rest
/// to [`decoder`], which says of it what all decoders say.
///
/// # Errors
/// If the image is refused, or accepted only with what is missing filled in.
pub fn check_jpeg(
    encoded: &[u8],
    meta: &ImageMeta,
    limits: DecodeLimits,
) -> Result<JpegHeader, CodecError> {
    let found = header::format(encoded)?;
    if found != ImageFormat::Jpeg {
        return Err(CodecError::Unsupported { what: format!("{found:?} where a JPEG is wanted") });
    }
    let header = JpegHeader::parse(encoded)?;
    check_size(header.width, header.height, meta, limits)?;
    check_scans(encoded, &header)?;
    check_end(encoded, &header)?;
    Ok(header)
}

fn check_size(
    width: u32,
    height: u32,
    meta: &ImageMeta,
    limits: DecodeLimits,
) -> Result<(), CodecError> {
    let max_pixels = limits.max_pixels;
    if u64::from(width) * u64::from(height) > max_pixels {
        return Err(CodecError::TooLarge { width, height, max_pixels });
    }
    // Crops were drawn for the size in the manifest.
    if (width, height) != (meta.width, meta.height) {
        let (expected, by) = (meta.width, meta.height);
        let what = format!("the header says {width}x{height}, the manifest {expected}x{by}");
        return Err(CodecError::Damaged { what });
    }
    Ok(())
}

/// Why a library gave no image.
enum Refused {
    Error(CodecError),
    Panic(String),
}

impl Refused {
    fn into_error(self) -> CodecError {
        match self {
            Self::Error(error) => error,
            Self::Panic(what) => CodecError::Damaged { what },
        }
    }
}

/// Runs a library's code; a panic in it is a damaged image.
fn guard<T>(run: impl FnOnce() -> Result<T, CodecError>) -> Result<T, Refused> {
    // What a panic leaves half done is dropped by the caller, or is a buffer that the next decode fills.
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(Refused::Error),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(Refused::Panic(format!("the decoder panicked: {}", text.unwrap_or_default())))
        }
    }
}

/// Refuses what no decoder should begin: files that claim too much or would take too long.
fn check_scans(encoded: &[u8], header: &JpegHeader) -> Result<(), CodecError> {
    let damaged = |what: String| Err(CodecError::Damaged { what });
    let pixels = u64::from(header.width) * u64::from(header.height);
    if pixels > MAX_PIXELS_PER_BYTE * encoded.len() as u64 {
        let (width, height, bytes) = (header.width, header.height, encoded.len());
        return damaged(format!("{bytes} bytes cannot hold {width}x{height} pixels"));
    }
    if header.several_scans {
        let scans = &encoded[header.first_scan..];
        let num_scans = scans.windows(2).filter(|pair| *pair == [0xFF, 0xDA]).count();
        if num_scans > MAX_SCANS || num_scans as u64 * pixels > MAX_SCAN_PIXELS {
            return damaged(format!("{num_scans} scans"));
        }
    }
    Ok(())
}

/// Refuses a file that was cut off.
fn check_end(encoded: &[u8], header: &JpegHeader) -> Result<(), CodecError> {
    let scans = &encoded[header.first_scan..];
    // Within entropy-coded data a marker cannot appear by chance: 0xFF is always followed by 0 there.
    if scans.windows(2).rev().any(|pair| pair == [0xFF, 0xD9]) {
        return Ok(());
    }
    Err(CodecError::Damaged { what: "the file is cut off: it has no end marker".into() })
}

/// Sets the size of `out`, a whole image, and makes room; the content is whatever was there.
pub(super) fn reserve(out: &mut Pixels, width: u32, height: u32, scale: u32) {
    (out.width, out.height, out.scale) = (width, height, scale);
    (out.left, out.top) = (0, 0);
    out.data.resize(3 * width as usize * height as usize, 0);
}
