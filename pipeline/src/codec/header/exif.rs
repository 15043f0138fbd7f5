//! The orientation tag of an EXIF block.

/// Tag number of the orientation (EXIF 2.3, 4.6.4).
const ORIENTATION: u16 = 0x0112;
/// The field type SHORT.
const SHORT: u16 = 3;

/// Orientation 1 to 8 from a TIFF structure (what follows `Exif\0\0` in a JPEG); 1 where the tag is
/// missing or makes no sense, as viewers do.
pub(super) fn orientation(tiff: &[u8]) -> u8 {
    find(tiff).filter(|value| (1..=8).contains(value)).map_or(1, |value| value as u8)
}

fn find(tiff: &[u8]) -> Option<u16> {
    let big_endian = match tiff.get(..2)? {
        b"II" => false,
        b"MM" => true,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let bytes = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let u32_at = |at: usize| {
        let bytes = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    if u16_at(2)? != 42 {
        return None;
    }
    let directory = u32_at(4)? as usize;
    let num_entries = usize::from(u16_at(directory)?);
    for entry in 0..num_entries {
        let at = directory.checked_add(2 + 12 * entry)?;
        if u16_at(at)? == ORIENTATION {
            return (u16_at(at + 2)? == SHORT).then(|| u16_at(at + 8)).flatten();
        }
    }
    None
}
