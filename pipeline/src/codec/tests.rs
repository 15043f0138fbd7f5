//! One table of images for all decoders.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::*;
use crate::draw::{Domain, Draw};

/// A smooth picture with every colour in it, so that chroma upsampling matters little.
fn picture(width: usize, height: usize) -> Vec<u8> {
    let wave = |t: f64| (127.5 + 120.0 * t.sin()) as u8;
    let mut pixels = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        for x in 0..width {
            let (x, y) = (x as f64 / 20.0, y as f64 / 20.0);
            pixels.extend([wave(x), wave(y + 1.0), wave(x + y + 2.0)]);
        }
    }
    pixels
}

fn jpeg(
    width: usize,
    height: usize,
    kind: ColorType,
    configure: impl FnOnce(&mut Encoder<&mut Vec<u8>>),
) -> Vec<u8> {
    let rgb = picture(width, height);
    let pixels: Vec<u8> = match kind {
        ColorType::Luma => rgb.chunks_exact(3).map(|pixel| pixel[1]).collect(),
        ColorType::Cmyk | ColorType::CmykAsYcck => {
            rgb.chunks_exact(3).flat_map(|p| [255 - p[0], 255 - p[1], 255 - p[2], 0]).collect()
        }
        _ => rgb,
    };
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 95);
    configure(&mut encoder);
    encoder.encode(&pixels, width as u16, height as u16, kind).unwrap();
    bytes
}

fn decode_with(kind: DecoderKind, encoded: &[u8], max_scale: u32) -> Result<Pixels, CodecError> {
    let mut out = Pixels::default();
    let meta = probe(encoded)?;
    let request = DecodeRequest { max_scale, region: None };
    decoder(kind, DecodeLimits::default()).decode(encoded, &meta, &request, &mut out)?;
    assert_eq!(out.data.len(), 3 * out.width as usize * out.height as usize);
    Ok(out)
}

/// Largest and mean difference.
fn difference(a: &[u8], b: &[u8]) -> (u8, f64) {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = differences.clone().map(u64::from).sum();
    (differences.max().unwrap(), sum as f64 / a.len() as f64)
}

fn sampled(factor: SamplingFactor) -> impl FnOnce(&mut Encoder<&mut Vec<u8>>) {
    move |encoder| encoder.set_sampling_factor(factor)
}

/// Name, file, and the mean difference from the picture that coding at quality 95 explains.
fn table() -> Vec<(&'static str, Vec<u8>, f64)> {
    let rgb = ColorType::Rgb;
    vec![
        ("4:4:4", jpeg(61, 47, rgb, sampled(SamplingFactor::F_1_1)), 2.0),
        ("4:2:2", jpeg(61, 47, rgb, sampled(SamplingFactor::F_2_1)), 3.0),
        ("4:2:0", jpeg(61, 47, rgb, sampled(SamplingFactor::F_2_2)), 3.5),
        ("4:4:0", jpeg(61, 47, rgb, sampled(SamplingFactor::F_1_2)), 3.0),
        ("4:1:1", jpeg(61, 47, rgb, sampled(SamplingFactor::F_4_1)), 6.0),
        ("4:1:0", jpeg(61, 47, rgb, sampled(SamplingFactor::F_4_2)), 7.0),
        ("4:4:1", jpeg(61, 47, rgb, sampled(SamplingFactor::F_1_4)), 6.0),
        (
            "progressive",
            jpeg(61, 47, rgb, |encoder| {
                encoder.set_progressive(true);
                encoder.set_sampling_factor(SamplingFactor::F_2_2);
            }),
            3.5,
        ),
        ("restart", jpeg(61, 47, rgb, |encoder| encoder.set_restart_interval(2)), 2.0),
        ("cmyk", jpeg(61, 47, ColorType::Cmyk, |_| ()), 2.0),
        ("ycck", jpeg(61, 47, ColorType::CmykAsYcck, |_| ()), 2.0),
        ("one pixel", jpeg(1, 1, rgb, |_| ()), 3.0),
        ("one row", jpeg(50, 1, rgb, sampled(SamplingFactor::F_2_2)), 4.0),
        ("one column", jpeg(1, 50, rgb, sampled(SamplingFactor::F_2_2)), 4.0),
        ("7 x 5", jpeg(7, 5, rgb, sampled(SamplingFactor::F_2_2)), 5.0),
        ("large", jpeg(300, 200, rgb, sampled(SamplingFactor::F_2_2)), 3.0),
    ]
}

#[test]
fn every_decoder_gives_the_picture_back() {
    for (name, bytes, bound) in table() {
        let meta = probe(&bytes).unwrap();
        let expected = picture(meta.width as usize, meta.height as usize);
        for kind in DecoderKind::ALL {
            let found = decode_with(kind, &bytes, 1).unwrap();
            assert_eq!((found.width, found.height, found.scale), (meta.width, meta.height, 1));
            let (_, mean) = difference(&found.data, &expected);
            assert!(mean <= bound, "{name} by {kind}: mean difference {mean}");
        }
    }
}

#[test]
fn decoders_agree_with_the_reference() {
    for (name, bytes, _) in table() {
        let reference = decode_with(DecoderKind::TurboJpeg, &bytes, 1).unwrap();
        for kind in DecoderKind::ALL {
            let found = decode_with(kind, &bytes, 1).unwrap();
            let difference = difference(&found.data, &reference.data);
            assert!(difference.0 <= 5 && difference.1 <= 1.0, "{name}, {kind}: {difference:?}");
        }
    }
}

#[test]
fn grey_has_three_equal_channels_in_every_decoder() {
    let bytes = jpeg(40, 30, ColorType::Luma, |_| ());
    let expected: Vec<u8> = picture(40, 30).chunks_exact(3).map(|pixel| pixel[1]).collect();
    for kind in DecoderKind::ALL {
        let found = decode_with(kind, &bytes, 1).unwrap();
        assert!(found.data.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]), "{kind}");
        let gray: Vec<u8> = found.data.iter().copied().step_by(3).collect();
        assert!(difference(&gray, &expected).1 < 2.0, "{kind}");
    }
}

#[test]
fn rgb_without_transform_is_told_by_its_component_names() {
    // A 4:4:4 file whose components are called R, G and B and that has no JFIF marker.
    let mut bytes = jpeg(32, 32, ColorType::Ycbcr, sampled(SamplingFactor::F_1_1));
    let at = |bytes: &[u8], marker| bytes.windows(2).position(|p| p == [0xFF, marker]).unwrap();
    let jfif = at(&bytes, 0xE0);
    bytes.drain(jfif..jfif + 18);
    let (frame, scan) = (at(&bytes, 0xC0), at(&bytes, 0xDA));
    for (index, name) in b"RGB".iter().enumerate() {
        bytes[frame + 10 + 3 * index] = *name;
    }
    // The encoder writes one scan for all components.
    assert_eq!(bytes[scan + 4], 3);
    for (index, name) in b"RGB".iter().enumerate() {
        bytes[scan + 5 + 2 * index] = *name;
    }
    for kind in DecoderKind::ALL {
        let found = decode_with(kind, &bytes, 1).unwrap();
        let (_, mean) = difference(&found.data, &picture(32, 32));
        assert!(mean < 3.0, "{kind}: mean difference {mean}");
    }
}

#[test]
fn scaled_decodes_keep_the_picture_and_say_their_scale() {
    // Subsampled colour is libjpeg-turbo's whichever decoder is chosen.
    for (factor, by_zune) in [(SamplingFactor::F_1_1, true), (SamplingFactor::F_2_2, false)] {
        let bytes = jpeg(203, 117, ColorType::Rgb, sampled(factor));
        for (kind, asked) in
            DecoderKind::ALL.into_iter().flat_map(|kind| [2, 4, 8].map(|asked| (kind, asked)))
        {
            let found = decode_with(kind, &bytes, asked).unwrap();
            let scale = if kind == DecoderKind::ZuneJpeg && by_zune { 1 } else { asked };
            assert_eq!(found.scale, scale, "{kind}");
            let size = (203u32.div_ceil(scale), 117u32.div_ceil(scale));
            assert_eq!((found.width, found.height), size);
            let middle = 3 * (found.height / 2 * found.width + found.width / 2) as usize;
            let source = picture(203, 117);
            let (x, y) = (found.width / 2 * scale, found.height / 2 * scale);
            let expected = &source[3 * (y * 203 + x) as usize..][..3];
            let (max, _) = difference(&found.data[middle..middle + 3], expected);
            assert!(max < 40, "{kind} at 1/{asked}");
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_refused_by_every_decoder() {
    for progressive in [false, true] {
        let bytes = jpeg(64, 64, ColorType::Rgb, |encoder| encoder.set_progressive(progressive));
        let lengths = (0..bytes.len()).step_by(97).chain([bytes.len() - 2, bytes.len() - 1]);
        for (length, kind) in lengths.flat_map(|length| DecoderKind::ALL.map(|kind| (length, kind)))
        {
            let result = decode_with(kind, &bytes[..length], 1);
            assert!(result.is_err(), "{kind}, {length} of {}", bytes.len());
        }
    }
}

#[test]
fn a_cut_file_with_an_end_marker_is_refused_by_the_reference() {
    for progressive in [false, true] {
        let bytes = jpeg(64, 64, ColorType::Rgb, |encoder| encoder.set_progressive(progressive));
        let mut cut = bytes[..bytes.len() * 3 / 4].to_vec();
        cut.extend([0xFF, 0xD9]);
        let error = decode_with(DecoderKind::TurboJpeg, &cut, 1).unwrap_err();
        assert_eq!(error.kind(), "damaged");
    }
}

#[test]
fn bytes_after_the_end_are_harmless() {
    let mut bytes = jpeg(64, 64, ColorType::Rgb, |_| ());
    let clean = decode_with(DecoderKind::TurboJpeg, &bytes, 1).unwrap();
    bytes.extend([0; 100]);
    for kind in DecoderKind::ALL {
        let found = decode_with(kind, &bytes, 1).unwrap();
        assert!(difference(&found.data, &clean.data).0 <= 4);
    }
}

#[test]
fn an_untidy_header_is_put_in_order_for_every_decoder() {
    let clean = jpeg(64, 64, ColorType::Rgb, |_| ());
    let mut untidy = clean.clone();
    assert_eq!(&untidy[6..11], b"JFIF\0");
    untidy[11] = 7; // an unknown version
    let tables = untidy.windows(2).position(|pair| pair == [0xFF, 0xDB]).unwrap();
    let scan = untidy.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap();
    assert_eq!(&untidy[scan + 11..scan + 14], [0, 63, 0]);
    untidy[scan + 12] = 0;
    untidy.splice(tables..tables, [0, 1, 2, 0xFF, 0x00, 0xFF, 0xD0, 3]);
    for kind in DecoderKind::ALL {
        let expected = decode_with(kind, &clean, 1).unwrap();
        // A buffer with another image in it: whoever does not decode shows that one.
        let mut decoder = decoder(kind, DecodeLimits::default());
        let mut out = Pixels { data: vec![77; 3 * 64 * 64], ..Pixels::default() };
        decoder.decode(&untidy, &probe(&untidy).unwrap(), &DecodeRequest::WHOLE, &mut out).unwrap();
        assert!(out.data == expected.data, "{kind}");
    }
}

#[test]
fn damaged_bytes_never_panic_and_never_change_the_size() {
    let mut draw = Draw::new(1, Domain::Synthetic, [0; 5]);
    for progressive in [false, true] {
        let clean = jpeg(80, 60, ColorType::Rgb, |encoder| encoder.set_progressive(progressive));
        for _ in 0..60 {
            let mut bytes = clean.clone();
            for _ in 0..=draw.below(4) {
                let at = draw.below(bytes.len() as u32) as usize;
                bytes[at] = draw.bits32() as u8;
            }
            let Ok(meta) = probe(&bytes) else { continue };
            for kind in DecoderKind::ALL {
                if let Ok(found) = decode_with(kind, &bytes, 1) {
                    assert_eq!((found.width, found.height), (meta.width, meta.height));
                }
            }
        }
    }
}

#[test]
fn limits_hold_before_anything_is_decoded() {
    let mut bytes = jpeg(64, 64, ColorType::Rgb, |_| ());
    let frame = bytes.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    bytes[frame + 5..frame + 9].fill(0xFF);
    for kind in DecoderKind::ALL {
        let error = decode_with(kind, &bytes, 1).unwrap_err();
        let expected =
            CodecError::TooLarge { width: 65_535, height: 65_535, max_pixels: 100_000_000 };
        assert_eq!(error, expected);
    }
    bytes[frame + 5] = 0x17; // 6,143 rows: within the limit, but not in so few bytes
    bytes[frame + 7] = 0x17;
    let error = decode_with(DecoderKind::TurboJpeg, &bytes, 1).unwrap_err();
    assert!(error.to_string().contains("cannot hold"), "{error}");
}

#[test]
fn a_header_that_differs_from_the_manifest_is_refused() {
    let bytes = jpeg(64, 48, ColorType::Rgb, |_| ());
    let meta = ImageMeta { width: 48, height: 64, ..probe(&bytes).unwrap() };
    let mut decoder = decoder(DecoderKind::default(), DecodeLimits::default());
    let mut out = Pixels::default();
    let error = decoder.decode(&bytes, &meta, &DecodeRequest::WHOLE, &mut out).unwrap_err();
    assert_eq!(error.to_string(), "damaged image: the header says 64x48, the manifest 48x64");
}

#[test]
fn one_decoder_takes_any_sequence_of_images() {
    for kind in DecoderKind::ALL {
        let mut decoder = decoder(kind, DecodeLimits::default());
        let mut out = Pixels::default();
        for round in 0..2 {
            for (name, bytes, _) in table() {
                let meta = probe(&bytes).unwrap();
                decoder.decode(&bytes, &meta, &DecodeRequest::WHOLE, &mut out).unwrap();
                let fresh = decode_with(kind, &bytes, 1).unwrap();
                assert!(out.data == fresh.data, "{name} by {kind} in round {round}");
                let cut = &bytes[..bytes.len() - 20];
                assert!(decoder.decode(cut, &meta, &DecodeRequest::WHOLE, &mut out).is_err());
            }
        }
    }
}

fn png_file(
    colour: ::png::ColorType,
    depth: ::png::BitDepth,
    data: &[u8],
    configure: impl FnOnce(&mut ::png::Encoder<'_, &mut Vec<u8>>),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut bytes, 2, 1);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    configure(&mut encoder);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(data).unwrap();
    writer.finish().unwrap();
    bytes
}

#[test]
fn png_of_every_kind_becomes_rgb_as_in_pil() {
    use ::png::{BitDepth, ColorType};
    let cases = [
        (
            png_file(ColorType::Rgb, BitDepth::Eight, &[1, 2, 3, 4, 5, 6], |_| ()),
            [1, 2, 3, 4, 5, 6],
        ),
        (
            png_file(ColorType::Rgba, BitDepth::Eight, &[1, 2, 3, 0, 4, 5, 6, 9], |_| ()),
            [1, 2, 3, 4, 5, 6],
        ),
        (
            png_file(ColorType::Grayscale, BitDepth::Eight, &[7, 200], |_| ()),
            [7, 7, 7, 200, 200, 200],
        ),
        (
            png_file(ColorType::Grayscale, BitDepth::One, &[0b0100_0000], |_| ()),
            [0, 0, 0, 255, 255, 255],
        ),
        (
            png_file(ColorType::GrayscaleAlpha, BitDepth::Eight, &[7, 0, 200, 128], |_| ()),
            [7, 7, 7, 200, 200, 200],
        ),
        (
            png_file(
                ColorType::Rgb,
                BitDepth::Sixteen,
                &[1, 255, 2, 0, 3, 128, 4, 0, 5, 0, 6, 0],
                |_| (),
            ),
            [1, 2, 3, 4, 5, 6],
        ),
        (
            png_file(ColorType::Indexed, BitDepth::Eight, &[1, 0], |encoder| {
                encoder.set_palette(vec![10, 20, 30, 40, 50, 60]);
                encoder.set_trns(vec![255, 0]);
            }),
            [40, 50, 60, 10, 20, 30],
        ),
    ];
    for (bytes, expected) in cases {
        let found = decode_with(DecoderKind::default(), &bytes, 1).unwrap();
        assert_eq!(found.data, expected);
        for length in 0..bytes.len() - 12 {
            let cut = decode_with(DecoderKind::default(), &bytes[..length], 1);
            assert!(cut.is_err(), "{length} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn webp_becomes_rgb_and_drops_alpha() {
    use image_webp::{ColorType, WebPEncoder};
    for (colour, pixels) in [
        (ColorType::Rgb8, vec![1, 2, 3, 4, 5, 6]),
        (ColorType::Rgba8, vec![1, 2, 3, 9, 4, 5, 6, 255]),
    ] {
        let mut bytes = Vec::new();
        WebPEncoder::new(&mut bytes).encode(&pixels, 2, 1, colour).unwrap();
        let found = decode_with(DecoderKind::default(), &bytes, 1).unwrap();
        assert_eq!(found.data, [1, 2, 3, 4, 5, 6]);
    }
}

#[test]
fn decoder_names_go_both_ways() {
    for kind in DecoderKind::ALL {
        assert_eq!(kind.to_string().parse(), Ok(kind));
        assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        assert_eq!(decoder(kind, DecodeLimits::default()).name(), kind.as_str());
    }
    let error = "libjpeg".parse::<DecoderKind>().unwrap_err();
    assert!(error.to_string().contains("zune-jpeg"));
}
