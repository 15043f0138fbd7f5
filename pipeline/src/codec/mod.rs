//! From encoded bytes to RGB8 pixels.
//!
//! The header is read by our own parser ([`probe`]); limits and unsupported kinds are decided there, before
//! any buffer is made, so that all decoders refuse the same files. What counts as damaged is written down
//! in [`decoder`].

mod any;
#[cfg(target_arch = "x86_64")]
mod baseline;
mod colour;
mod damage;
mod header;
mod jpeg_decoder;
mod kind;
mod memory;
mod orientation;
mod png;
mod turbo;
mod webp;
mod zune;

pub use any::{check_jpeg, decoder};
pub use damage::DamagePolicy;
pub use header::{JpegColour, JpegHeader, probe};
pub use kind::{DecoderKind, UnknownDecoder};
pub(crate) use memory::most_coefficient_bytes;
pub use orientation::Orientation;

use crate::sample::ImageMeta;

/// Limits and choices that hold for every decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Largest width times height that is decoded.
    pub max_pixels: u64,
    /// What is done with damaged images. Rows that the shards mark as
    /// [`DAMAGED`](crate::sample::ImageFlags::DAMAGED) are filled in whatever this says: they were accepted so.
    pub damaged: DamagePolicy,
}

impl Default for DecodeLimits {
    /// 100 megapixels, nothing filled in.
    fn default() -> Self {
        Self { max_pixels: 100_000_000, damaged: DamagePolicy::Refuse }
    }
}

/// What is wanted of an image. A decoder may always give more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeRequest {
    /// The largest useful reduction: 1, 2, 4 or 8.
    pub max_scale: u32,
    /// The part that is needed, where it is not the whole image.
    pub region: Option<Region>,
}

impl DecodeRequest {
    /// The whole image at full size.
    pub const WHOLE: Self = Self { max_scale: 1, region: None };
}

/// A part of an image, in pixels as stored, at full size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// A decoded image or a part of one: RGB8 rows without padding, as stored (EXIF rotation not applied). The
/// buffer is kept from image to image.
#[derive(Clone, Debug, Default)]
pub struct Pixels {
    /// Width of the buffer in pixels.
    pub width: u32,
    /// Height of the buffer in pixels.
    pub height: u32,
    /// `3 * width * height` bytes.
    pub data: Vec<u8>,
    /// Source pixels per buffer pixel, 1 unless a scaled decode was asked for and given.
    pub scale: u32,
    /// Source pixels to the left of the buffer, a multiple of `scale`; 0 unless a part was asked for.
    pub left: u32,
    /// Source pixels above the buffer, a multiple of `scale`.
    pub top: u32,
}

/// One way of decoding; one instance per worker.
pub trait ImageDecoder: Send {
    /// Name as in settings and reports.
    fn name(&self) -> &'static str;
    /// Decodes into `out`, whose buffer is reused. A decoder that can may leave out what lies outside
    /// `request.region`, and may reduce the image by up to `request.max_scale`; `out` says what it did.
    /// Pixels of the region are the same as in the whole image at that scale.
    ///
    /// # Errors
    /// If the bytes are no image, of an unsupported kind, over the limits, or damaged beyond use in what
    /// is decoded.
    fn decode(
        &mut self,
        encoded: &[u8],
        meta: &ImageMeta,
        request: &DecodeRequest,
        out: &mut Pixels,
    ) -> Result<(), CodecError>;
    /// What was wrong with the image that was decoded last, where it was filled in.
    fn damage(&self) -> Option<&str> {
        None
    }
}

/// An image that is refused. Bad samples are substituted, never fatal by themselves.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// Not a JPEG, PNG or WebP at all.
    #[error("not a JPEG, PNG or WebP: it begins with {found}")]
    UnknownFormat {
        /// The first bytes in hexadecimal, or `nothing` for an empty file.
        found: String,
    },
    /// A valid image of a kind that is not supported.
    #[error("unsupported image: {what}")]
    Unsupported {
        /// The kind, for example `12-bit JPEG`.
        what: String,
    },
    /// Damaged or cut off.
    #[error("damaged image: {what}")]
    Damaged {
        /// What the decoder said.
        what: String,
    },
    /// Over a limit.
    #[error("image of {width}x{height} pixels is over the limit of {max_pixels} pixels")]
    TooLarge {
        /// Width in the header.
        width: u32,
        /// Height in the header.
        height: u32,
        /// The limit.
        max_pixels: u64,
    },
}

impl CodecError {
    /// A short word for reports and metric labels.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UnknownFormat { .. } => "unknown_format",
            Self::Unsupported { .. } => "unsupported",
            Self::Damaged { .. } => "damaged",
            Self::TooLarge { .. } => "too_large",
        }
    }
}

#[cfg(test)]
mod tests;
