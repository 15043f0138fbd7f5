//! What a file's header says, read by our own parser: before any decoder runs and any buffer is made.
//!
//! All sizes and kinds that a decoder is allowed to see are decided here, once for all decoders, so that
//! they refuse the same files for the same reasons.

mod exif;
mod jpeg;
mod png;
mod webp;

pub use jpeg::{JpegColour, JpegHeader};

use crate::codec::CodecError;
use crate::sample::{ImageFormat, ImageMeta};

/// Reads the header of a JPEG, PNG or WebP. The format is told from the first bytes.
///
/// # Errors
/// If the bytes are none of these, the header is damaged, or the kind is not supported: arithmetic-coded,
/// lossless, hierarchical and 12-bit JPEG, two colour components, a height that comes after the pixels.
pub fn probe(encoded: &[u8]) -> Result<ImageMeta, CodecError> {
    match format(encoded)? {
        ImageFormat::Jpeg => Ok(JpegHeader::parse(encoded)?.meta(length(encoded)?)),
        ImageFormat::Png => png::parse(encoded, length(encoded)?),
        ImageFormat::WebP => webp::parse(encoded, length(encoded)?),
    }
}

/// Tells the format from the first bytes.
pub(crate) fn format(encoded: &[u8]) -> Result<ImageFormat, CodecError> {
    if encoded.starts_with(&[0xFF, 0xD8]) {
        Ok(ImageFormat::Jpeg)
    } else if encoded.starts_with(b"\x89PNG\r\n\x1a\n") {
        Ok(ImageFormat::Png)
    } else if encoded.starts_with(b"RIFF") && encoded.get(8..12) == Some(b"WEBP") {
        Ok(ImageFormat::WebP)
    } else {
        let mut found = String::new();
        for byte in encoded.iter().take(8) {
            found.push_str(&format!("{byte:02x}"));
        }
        if found.is_empty() {
            found.push_str("nothing");
        }
        Err(CodecError::UnknownFormat { found })
    }
}

fn length(encoded: &[u8]) -> Result<u32, CodecError> {
    u32::try_from(encoded.len()).map_err(|_| unsupported("a file of 4 GiB or more"))
}

fn damaged(what: impl Into<String>) -> CodecError {
    CodecError::Damaged { what: what.into() }
}

fn unsupported(what: impl Into<String>) -> CodecError {
    CodecError::Unsupported { what: what.into() }
}

fn u16_be(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_be(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    u32_be(bytes, at).map(u32::swap_bytes)
}

#[cfg(test)]
mod tests;
