//! JPEG marker segments up to the first scan (ITU T.81, annex B).

use super::{damaged, exif, u16_be, unsupported};
use crate::codec::CodecError;
use crate::sample::{ImageFlags, ImageFormat, ImageMeta, Subsampling};

/// Parameters of a scan that is not progressive. Some cameras write others, which mean nothing.
const SEQUENTIAL: [u8; 3] = [0, 63, 0];

/// How the stored components are to be read; decided as libjpeg does, for all decoders alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JpegColour {
    /// One component.
    Gray,
    /// Three, to be turned into RGB.
    YCbCr,
    /// Three that are RGB already.
    Rgb,
    /// Four.
    Cmyk,
    /// Four, the first three to be turned into CMY.
    Ycck,
}

/// What the segments before the first scan say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JpegHeader {
    /// Width in pixels as stored.
    pub width: u32,
    /// Height in pixels as stored.
    pub height: u32,
    /// 1, 3 or 4.
    pub components: u8,
    /// How they are to be read.
    pub colour: JpegColour,
    /// Progressive.
    pub progressive: bool,
    /// The frame is of the extended sequential process, which may have more tables than the baseline one.
    pub extended: bool,
    /// More than one scan is needed for all pixels: progressive, or components one after another. Decoders then
    /// keep the coefficients of the whole image.
    pub several_scans: bool,
    /// Chroma subsampling.
    pub subsampling: Subsampling,
    /// Width in pixels of what is coded together: a block where there is one component, else as many beside
    /// one another as the finest component has.
    pub unit_width: u32,
    /// The largest sampling factors of all components, horizontal and vertical. More than the subsampling asks for is
    /// allowed, and rare.
    pub factors: (u8, u8),
    /// It brings Huffman tables. Frames of Motion JPEG leave them out and mean those of the standard's annex K.
    pub tables: bool,
    orientation: u8,
    exif: bool,
    adobe: bool,
    restart: bool,
    /// Offset of the first start-of-scan marker.
    pub(crate) first_scan: usize,
    /// The header holds bytes without meaning, a version or transform that libjpeg does not know, or odd
    /// parameters in the first scan; it warns of these and is right to go on.
    pub irregular: bool,
}

struct Frame {
    width: u32,
    height: u32,
    components: u8,
    subsampling: Subsampling,
    unit_width: u32,
    factors: (u8, u8),
    progressive: bool,
    extended: bool,
    /// Identifiers of the first three components.
    ids: [u8; 3],
}

impl JpegHeader {
    /// Walks the segments. As libjpeg does, bytes between segments that are no marker are skipped.
    ///
    /// # Errors
    /// As [`probe`](crate::codec::probe).
    pub fn parse(encoded: &[u8]) -> Result<Self, CodecError> {
        let cut_off = || damaged("the file ends within the header");
        let mut frame: Option<Frame> = None;
        let (mut exif, mut adobe, mut jfif, mut restart) = (None, None, false, false);
        let (mut at, mut irregular, mut tables) = (2, false, false);
        loop {
            let offset = memchr_ff(encoded, at).ok_or_else(cut_off)?;
            let marker = *encoded.get(offset + 1).ok_or_else(cut_off)?;
            irregular |= offset > at;
            at = offset + 1;
            match marker {
                0xFF => continue,
                // An escaped 0xFF outside a scan, and markers without a segment: TEM, RSTn, a second SOI.
                0x00 | 0x01 | 0xD0..=0xD8 => {
                    irregular = true;
                    at += 1;
                    continue;
                }
                0xD9 => return Err(damaged("the end marker comes before any pixels")),
                0xDA => {
                    let Some(frame) = frame else {
                        return Err(damaged("a scan comes before the frame header"));
                    };
                    let in_scan = encoded.get(offset + 4).copied().ok_or_else(cut_off)?;
                    irregular |= !frame.progressive
                        && scan_parameters(&encoded[offset..])
                            .is_some_and(|found| found != SEQUENTIAL);
                    return Ok(Self {
                        width: frame.width,
                        height: frame.height,
                        components: frame.components,
                        colour: colour(&frame, jfif, adobe),
                        progressive: frame.progressive,
                        extended: frame.extended,
                        several_scans: frame.progressive || in_scan < frame.components,
                        subsampling: frame.subsampling,
                        unit_width: frame.unit_width,
                        factors: frame.factors,
                        tables,
                        orientation: exif.map_or(1, exif::orientation),
                        exif: exif.is_some(),
                        adobe: adobe.is_some(),
                        restart,
                        first_scan: offset,
                        irregular,
                    });
                }
                _ => {}
            }
            let length = usize::from(u16_be(encoded, at + 1).ok_or_else(cut_off)?);
            if length < 2 {
                return Err(damaged(format!("marker segment {marker:02x} of length {length}")));
            }
            let segment = encoded.get(at + 3..at + 1 + length).ok_or_else(cut_off)?;
            at += 1 + length;
            match marker {
                0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                    if frame.is_some() {
                        return Err(damaged("two frame headers"));
                    }
                    frame = Some(parse_frame(marker, segment)?);
                }
                0xC4 => tables = true,
                0xDD => restart = u16_be(segment, 0).is_some_and(|interval| interval > 0),
                0xE0 if segment.len() >= 14 && segment.starts_with(b"JFIF\0") => {
                    jfif = true;
                    irregular |= segment[5] != 1;
                }
                0xE1 if exif.is_none() => exif = segment.strip_prefix(b"Exif\0\0"),
                0xEE if segment.len() >= 12 && segment.starts_with(b"Adobe") => {
                    adobe = Some(segment[11]);
                    irregular |= segment[11] > 2;
                }
                _ => {}
            }
        }
    }

    /// The file without what is irregular in its header, made in `buffer` where that is needed. Libraries
    /// stop at such things, or their warning would hide a serious one.
    pub(crate) fn regular<'a>(&self, encoded: &'a [u8], buffer: &'a mut Vec<u8>) -> &'a [u8] {
        if !self.irregular {
            return encoded;
        }
        buffer.clear();
        buffer.extend_from_slice(&encoded[..2]);
        let mut at = 2;
        while let Some(offset) = memchr_ff(&encoded[..self.first_scan], at) {
            // `parse` walked the same way and found every segment whole.
            let (marker, length) = (encoded[offset + 1], u16_be(encoded, offset + 2).unwrap_or(2));
            if matches!(marker, 0x00 | 0x01 | 0xD0..=0xD8 | 0xFF) {
                at = offset + if marker == 0xFF { 1 } else { 2 };
                continue;
            }
            let start = buffer.len();
            at = offset + 2 + usize::from(length);
            buffer.extend_from_slice(&encoded[offset..at]);
            let segment = &mut buffer[start + 4..];
            if marker == 0xE0 && segment.starts_with(b"JFIF\0") && segment.len() >= 14 {
                segment[5] = 1;
            } else if marker == 0xEE && segment.starts_with(b"Adobe") && segment.len() >= 12 {
                // What libjpeg takes an unknown transform for.
                segment[11] = if segment[11] > 2 { self.components / 2 } else { segment[11] };
            }
        }
        let start = buffer.len();
        buffer.extend_from_slice(&encoded[self.first_scan..]);
        if !self.progressive
            && let Some(length) = u16_be(buffer, start + 2)
            && let Some(parameters) = buffer.get_mut(start + usize::from(length) - 1..)
            && let Some(parameters) = parameters.first_chunk_mut()
        {
            *parameters = SEQUENTIAL;
        }
        buffer
    }

    pub(super) fn meta(&self, bytes: u32) -> ImageMeta {
        let mut flags = ImageFlags::default();
        for (set, flag) in [
            (self.exif, ImageFlags::EXIF),
            (self.adobe, ImageFlags::ADOBE),
            (self.restart, ImageFlags::RESTART),
            (self.several_scans, ImageFlags::SCANS),
        ] {
            if set {
                flags = flags.with(flag);
            }
        }
        ImageMeta {
            format: ImageFormat::Jpeg,
            width: self.width,
            height: self.height,
            components: self.components,
            subsampling: self.subsampling,
            orientation: self.orientation,
            progressive: self.progressive,
            flags,
            bytes,
        }
    }
}

/// First and last coefficient and bit position of a scan; `scan` begins at its marker.
fn scan_parameters(scan: &[u8]) -> Option<[u8; 3]> {
    let length = usize::from(u16_be(scan, 2)?);
    scan.get(length.checked_sub(1)?..)?.first_chunk().copied()
}

/// The rules of libjpeg's `default_decompress_parms`. `adobe` is the transform of the Adobe marker: 0 none,
/// 1 YCbCr, 2 YCCK.
fn colour(frame: &Frame, jfif: bool, adobe: Option<u8>) -> JpegColour {
    match (frame.components, adobe) {
        (1, _) => JpegColour::Gray,
        (4, None | Some(0)) => JpegColour::Cmyk,
        (4, Some(_)) => JpegColour::Ycck,
        (_, Some(0)) if !jfif => JpegColour::Rgb,
        (_, None) if !jfif && frame.ids == *b"RGB" => JpegColour::Rgb,
        _ => JpegColour::YCbCr,
    }
}

fn parse_frame(marker: u8, segment: &[u8]) -> Result<Frame, CodecError> {
    match marker {
        0xC0..=0xC2 => {}
        0xC3 => return Err(unsupported("lossless JPEG")),
        0xC9 | 0xCA => return Err(unsupported("arithmetic-coded JPEG")),
        0xCB => return Err(unsupported("arithmetic-coded lossless JPEG")),
        _ => return Err(unsupported("hierarchical JPEG")),
    }
    let (&[precision, h1, h0, w1, w0, components], specs) =
        segment.split_first_chunk::<6>().ok_or_else(|| damaged("frame header too short"))?;
    let (height, width) = (u16::from_be_bytes([h1, h0]), u16::from_be_bytes([w1, w0]));
    if precision != 8 {
        return Err(unsupported(format!("{precision}-bit JPEG")));
    }
    if width == 0 {
        return Err(damaged("width 0"));
    }
    if height == 0 {
        return Err(unsupported("JPEG whose height is given after its pixels (DNL)"));
    }
    if !matches!(components, 1 | 3 | 4) {
        return Err(unsupported(format!("JPEG with {components} colour components")));
    }
    let (mut factors, mut ids) = ([(0u8, 0u8); 4], [0; 3]);
    let specs = specs.chunks_exact(3).take(components.into());
    if specs.len() < usize::from(components) {
        return Err(damaged("frame header too short"));
    }
    for (index, (factor, spec)) in factors.iter_mut().zip(specs).enumerate() {
        if let Some(id) = ids.get_mut(index) {
            *id = spec[0];
        }
        *factor = (spec[1] >> 4, spec[1] & 15);
        if !(1..=4).contains(&factor.0) || !(1..=4).contains(&factor.1) {
            return Err(damaged(format!("sampling factors {}x{}", factor.0, factor.1)));
        }
    }
    let of_all = factors.iter().take(components.into());
    let largest = of_all.fold((1, 1), |most, factor| (most.0.max(factor.0), most.1.max(factor.1)));
    Ok(Frame {
        width: width.into(),
        height: height.into(),
        components,
        subsampling: subsampling(&factors[..components.into()]),
        unit_width: match components {
            1 => 8,
            _ => 8 * u32::from(largest.0),
        },
        factors: largest,
        progressive: marker == 0xC2,
        extended: marker == 0xC1,
        ids,
    })
}

fn subsampling(factors: &[(u8, u8)]) -> Subsampling {
    let &[luma, first, second, ref key @ ..] = factors else {
        return Subsampling::None;
    };
    let whole = luma.0 % first.0 == 0 && luma.1 % first.1 == 0;
    if first != second || !whole || key.iter().any(|&key| key != luma) {
        return Subsampling::Other;
    }
    match (luma.0 / first.0, luma.1 / first.1) {
        (1, 1) => Subsampling::S444,
        (2, 1) => Subsampling::S422,
        (2, 2) => Subsampling::S420,
        (1, 2) => Subsampling::S440,
        (4, 1) => Subsampling::S411,
        (4, 2) => Subsampling::S410,
        _ => Subsampling::Other,
    }
}

fn memchr_ff(bytes: &[u8], from: usize) -> Option<usize> {
    Some(from + bytes.get(from..)?.iter().position(|&byte| byte == 0xFF)?)
}
