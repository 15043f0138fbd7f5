//! The same pixels and the same refusals as libjpeg-turbo.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::*;
use crate::codec::{DecodeLimits, DecoderKind, decoder, probe};
use crate::draw::{Domain, Draw};

const FACTORS: [SamplingFactor; 3] =
    [SamplingFactor::F_1_1, SamplingFactor::F_2_1, SamplingFactor::F_2_2];

struct Picture {
    width: u32,
    height: u32,
    encoded: Vec<u8>,
    what: String,
}

/// A picture of any size, quality and coding that we take. Half of them are noise, which fills blocks, and half
/// are smooth with strong colours, which leaves most of a block empty and makes colours that RGB does not have.
fn picture(draw: &mut Draw) -> Picture {
    let (width, height) = (16 + draw.below(90), 16 + draw.below(90));
    let gray = draw.chance(0.2);
    let noise = draw.chance(0.5);
    let pixels: Vec<u8> = (0..width * height)
        .flat_map(|pixel| {
            let (x, y) = (pixel % width, pixel / width);
            let smooth = [(x / 9 * 80) as u8, (y * 3) as u8, ((x + y) / 20 * 255) as u8];
            let rgb = if noise { [(); 3].map(|()| draw.bits32() as u8) } else { smooth };
            rgb.into_iter().take(if gray { 1 } else { 3 })
        })
        .collect();
    let quality = 1 + draw.below(100) as u8;
    let factor = FACTORS[draw.below(3) as usize];
    let restart = if draw.chance(0.3) { 1 + draw.below(20) as u16 } else { 0 };
    let mut encoded = Vec::new();
    let mut encoder = Encoder::new(&mut encoded, quality);
    encoder.set_sampling_factor(factor);
    encoder.set_restart_interval(restart);
    let kind = if gray { ColorType::Luma } else { ColorType::Rgb };
    encoder.encode(&pixels, width as u16, height as u16, kind).unwrap();
    let what = format!(
        "{width}x{height}, grey {gray}, noise {noise}, quality {quality}, {factor:?}, restart {restart}"
    );
    Picture { width, height, encoded, what }
}

fn region(draw: &mut Draw, width: u32, height: u32) -> Region {
    let (x, y) = (draw.below(width), draw.below(height));
    Region { x, y, width: 1 + draw.below(width - x), height: 1 + draw.below(height - y) }
}

/// Ours alone: `None` where it would hand on.
fn alone(ours: &mut Baseline, encoded: &[u8], region: Option<Region>) -> Option<Pixels> {
    let header = JpegHeader::parse(encoded).unwrap();
    assert!(takes(&header) && ours.simd.bits());
    let mut out = Pixels::default();
    // SAFETY: asserted above.
    unsafe { ours.try_decode(encoded, &header, region, &mut out)? };
    Some(out)
}

fn by(kind: DecoderKind, encoded: &[u8], region: Option<Region>) -> Result<Pixels, CodecError> {
    let mut out = Pixels::default();
    let meta = probe(encoded)?;
    let request = DecodeRequest { region, ..DecodeRequest::WHOLE };
    decoder(kind, DecodeLimits::default()).decode(encoded, &meta, &request, &mut out)?;
    Ok(out)
}

/// Says so where it cannot be tested.
fn available() -> bool {
    let available = Simd::best().bits();
    if !available {
        eprintln!("SKIPPED: this processor has no AVX2 or BMI2");
    }
    available
}

#[test]
fn pixels_are_those_of_the_reference_to_the_bit() {
    if !available() {
        return;
    }
    let mut draw = Draw::new(1, Domain::Synthetic, [0; 5]);
    let mut ours = Baseline::new();
    for _ in 0..400 {
        let picture = picture(&mut draw);
        let expected = by(DecoderKind::TurboJpeg, &picture.encoded, None).unwrap();
        let found = alone(&mut ours, &picture.encoded, None).expect(&picture.what);
        assert_eq!((found.width, found.height, found.scale), (picture.width, picture.height, 1));
        assert!(found.data == expected.data, "{}", picture.what);
    }
}

#[test]
fn a_part_has_the_pixels_of_the_whole() {
    if !available() {
        return;
    }
    let mut draw = Draw::new(2, Domain::Synthetic, [0; 5]);
    let mut ours = Baseline::new();
    for _ in 0..100 {
        let picture = picture(&mut draw);
        let whole = alone(&mut ours, &picture.encoded, None).expect(&picture.what);
        for _ in 0..20 {
            let region = region(&mut draw, picture.width, picture.height);
            let part = alone(&mut ours, &picture.encoded, Some(region)).expect(&picture.what);
            assert_eq!((part.left, part.top), (region.x, region.y));
            assert_eq!((part.width, part.height), (region.width, region.height));
            for (row, found) in part.data.chunks_exact(3 * region.width as usize).enumerate() {
                let at =
                    3 * ((region.y as usize + row) * picture.width as usize + region.x as usize);
                let expected = &whole.data[at..][..found.len()];
                assert!(found == expected, "{}, {region:?}, row {row}", picture.what);
            }
        }
    }
}

/// Bytes are changed, left out and put in: where ours gives an image, the reference gives the same, and every
/// refusal is the reference's.
#[test]
fn damaged_files_end_as_with_the_reference() {
    if !available() {
        return;
    }
    let mut draw = Draw::new(3, Domain::Synthetic, [0; 5]);
    let [mut images, mut refusals] = [0; 2];
    for _ in 0..3000 {
        let Picture { width, height, mut encoded, what } = picture(&mut draw);
        // Whatever region is asked for, both see the same of the file.
        let region = draw.chance(0.5).then(|| region(&mut draw, width, height));
        let what = format!("{what}, {region:?}");
        if draw.chance(0.3) {
            // Cut off, with an end marker: what is missing is below most regions.
            let (at, end) = (encoded.len() / 3, encoded.len() - 2);
            encoded.drain(at + draw.below((end - at) as u32) as usize..end);
        } else {
            for _ in 0..1 + draw.below(3) {
                let at = draw.below(encoded.len() as u32) as usize;
                match draw.below(3) {
                    0 => encoded[at] = draw.bits32() as u8,
                    1 => drop(encoded.remove(at)),
                    _ => encoded.insert(at, draw.bits32() as u8),
                }
            }
        }
        let [found, expected] =
            [DecoderKind::Baseline, DecoderKind::TurboJpeg].map(|kind| by(kind, &encoded, region));
        match (found, expected) {
            (Ok(found), Ok(expected)) => {
                // The reference decodes a margin beside a region, too.
                assert!(region.is_some() || found.data == expected.data, "{what}");
                images += 1;
            }
            (Err(found), Err(expected)) => {
                assert_eq!(found, expected, "{what}");
                refusals += 1;
            }
            (found, expected) => {
                panic!("{what}: ours {:?}, reference {:?}", found.map(drop), expected.map(drop))
            }
        }
    }
    assert!(images > 100 && refusals > 1000, "{images} images, {refusals} refusals");
}

#[test]
fn what_is_not_for_us_is_handed_on() {
    let encode = |kind, configure: &dyn Fn(&mut Encoder<&mut Vec<u8>>)| {
        let pixels = vec![77; 40 * 40 * if kind == ColorType::Cmyk { 4 } else { 3 }];
        let mut encoded = Vec::new();
        let mut encoder = Encoder::new(&mut encoded, 90);
        configure(&mut encoder);
        encoder.encode(&pixels, 40, 40, kind).unwrap();
        encoded
    };
    for (what, encoded) in [
        ("progressive", encode(ColorType::Rgb, &|encoder| encoder.set_progressive(true))),
        ("CMYK", encode(ColorType::Cmyk, &|_| ())),
        (
            "4:1:1",
            encode(ColorType::Rgb, &|encoder| encoder.set_sampling_factor(SamplingFactor::F_4_1)),
        ),
        (
            "4:4:0",
            encode(ColorType::Rgb, &|encoder| encoder.set_sampling_factor(SamplingFactor::F_1_2)),
        ),
    ] {
        let (found, expected) = (
            by(DecoderKind::Baseline, &encoded, None).unwrap(),
            by(DecoderKind::TurboJpeg, &encoded, None).unwrap(),
        );
        assert!(found.data == expected.data, "{what}");
    }
}
