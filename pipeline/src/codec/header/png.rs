//! PNG: the IHDR chunk, and the chunks up to the pixels for EXIF.

use super::{damaged, exif, u32_be};
use crate::codec::CodecError;
use crate::sample::{ImageFlags, ImageFormat, ImageMeta, Subsampling};

pub(super) fn parse(encoded: &[u8], bytes: u32) -> Result<ImageMeta, CodecError> {
    let (Some(13), Some(b"IHDR"), Some(width), Some(height), Some(&[depth, colour])) = (
        u32_be(encoded, 8),
        encoded.get(12..16),
        u32_be(encoded, 16),
        u32_be(encoded, 20),
        encoded.get(24..26),
    ) else {
        return Err(damaged("no PNG header chunk"));
    };
    if width == 0 || height == 0 || width > i32::MAX as u32 || height > i32::MAX as u32 {
        return Err(damaged(format!("PNG of {width}x{height} pixels")));
    }
    let components = match (colour, depth) {
        (0, 1 | 2 | 4 | 8 | 16) => 1,
        (2, 8 | 16) | (3, 1 | 2 | 4 | 8) => 3,
        (4, 8 | 16) => 2,
        (6, 8 | 16) => 4,
        _ => return Err(damaged(format!("PNG colour type {colour} with {depth} bits"))),
    };
    let exif = exif_before_pixels(encoded);
    let flags = ImageFlags::PNG;
    Ok(ImageMeta {
        format: ImageFormat::Png,
        width,
        height,
        components,
        subsampling: Subsampling::None,
        orientation: exif.map_or(1, exif::orientation),
        progressive: false,
        flags: if exif.is_some() { flags.with(ImageFlags::EXIF) } else { flags },
        bytes,
    })
}

fn exif_before_pixels(encoded: &[u8]) -> Option<&[u8]> {
    let mut at = 8usize;
    loop {
        let length = u32_be(encoded, at)? as usize;
        let start = at + 8;
        match encoded.get(at + 4..start)? {
            b"eXIf" => return encoded.get(start..start.checked_add(length)?),
            b"IDAT" | b"IEND" => return None,
            _ => at = start.checked_add(length)?.checked_add(4)?,
        }
    }
}
