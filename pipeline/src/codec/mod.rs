//! From encoded bytes to RGB8 pixels.
//!
//! The header is read by our own parser ([`probe`]); limits and unsupported kinds are decided there, before
//! any buffer is made, so that all decoders refuse the same files. What counts as damaged is written down
//! in [`decoder`].

mod any;
mod colour;
mod header;
mod jpeg_decoder;
mod kind;
mod orientation;
mod png;
mod turbo;
mod webp;
mod zune;

pub use any::decoder;
pub use header::probe;
pub use kind::{DecoderKind, UnknownDecoder};
pub(crate) use orientation::Orientation;

use crate::sample::ImageMeta;

/// Limits and choices that hold for every decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Largest width times height that is decoded.
    pub max_pixels: u64,
}

impl Default for DecodeLimits {
    /// 100 megapixels.
    fn default() -> Self {
        Self { max_pixels: 100_000_000 }
    }
}

/// A decoded image: RGB8 rows without padding, as stored (EXIF rotation not applied). The buffer is kept
/// from image to image.
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
}

/// One way of decoding; one instance per worker.
pub trait ImageDecoder: Send {
    /// Name as in settings and reports.
    fn name(&self) -> &'static str;
    /// Decodes into `out`, whose buffer is reused. `max_scale` is the largest useful reduction (1, 2, 4 or
    /// 8): a decoder that can may give an image reduced by up to that factor and says so in `out.scale`.
    ///
    /// # Errors
    /// If the bytes are no image, damaged beyond use, of an unsupported kind, or over the limits.
    fn decode(
        &mut self,
        encoded: &[u8],
        meta: &ImageMeta,
        max_scale: u32,
        out: &mut Pixels,
    ) -> Result<(), CodecError>;
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
