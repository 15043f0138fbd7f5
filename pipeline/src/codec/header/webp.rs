//! WebP: the first chunk (`VP8 `, `VP8L` or `VP8X`), and the EXIF chunk behind the pixels.

use super::{damaged, exif, u32_le};
use crate::codec::CodecError;
use crate::sample::{ImageFlags, ImageFormat, ImageMeta, Subsampling};

pub(super) fn parse(encoded: &[u8], bytes: u32) -> Result<ImageMeta, CodecError> {
    let cut_off = || damaged("the file ends within the header");
    let body = encoded.get(20..).ok_or_else(cut_off)?;
    let mut subsampling = Subsampling::None;
    let (width, height, alpha) = match &encoded[12..16] {
        b"VP8 " => {
            let frame: &[u8; 10] = body.first_chunk().ok_or_else(cut_off)?;
            if frame[0] & 1 != 0 || frame[3..6] != [0x9D, 0x01, 0x2A] {
                return Err(damaged("no VP8 key frame"));
            }
            subsampling = Subsampling::S420;
            let size =
                |at: usize| u32::from(u16::from_le_bytes([frame[at], frame[at + 1]]) & 0x3FFF);
            (size(6), size(8), false)
        }
        b"VP8L" => {
            if body.first() != Some(&0x2F) {
                return Err(damaged("no VP8L signature"));
            }
            let bits = u32_le(body, 1).ok_or_else(cut_off)?;
            ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bits >> 28 & 1 == 1)
        }
        b"VP8X" => {
            let header: &[u8; 10] = body.first_chunk().ok_or_else(cut_off)?;
            let size =
                |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], 0]) + 1;
            (size(4), size(7), header[0] & 0x10 != 0)
        }
        _ => return Err(damaged("a WebP that does not begin with VP8, VP8L or VP8X")),
    };
    if width == 0 || height == 0 {
        return Err(damaged(format!("WebP of {width}x{height} pixels")));
    }
    let exif = exif_chunk(encoded);
    let flags = ImageFlags::WEBP;
    Ok(ImageMeta {
        format: ImageFormat::WebP,
        width,
        height,
        components: if alpha { 4 } else { 3 },
        subsampling,
        orientation: exif.map_or(1, exif::orientation),
        progressive: false,
        flags: if exif.is_some() { flags.with(ImageFlags::EXIF) } else { flags },
        bytes,
    })
}

fn exif_chunk(encoded: &[u8]) -> Option<&[u8]> {
    let mut at = 12usize;
    loop {
        let length = u32_le(encoded, at + 4)? as usize;
        let start = at + 8;
        let end = start.checked_add(length)?;
        if encoded.get(at..at + 4)? == b"EXIF" {
            let chunk = encoded.get(start..end)?;
            // Some writers repeat the prefix that JPEG needs.
            return Some(chunk.strip_prefix(b"Exif\0\0").unwrap_or(chunk));
        }
        at = end.checked_add(length & 1)?;
    }
}
